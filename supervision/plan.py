"""What a supervisor is to do, as one value: its children, its strategy, its limits."""

from collections.abc import Iterable
from typing import Any

import msgspec

from .checks import one_of
from .decision import AUTO_SHUTDOWNS, STRATEGIES, AutoShutdown, Strategy
from .intensity import Intensity
from .spec import ChildSpec


class Plan(msgspec.Struct, frozen=True):
    """The children in start order, and how they are kept up. All of it is checked before any child starts.

    `strategy`: `one_for_one` (only the child that failed is restarted), `one_for_all` (all are), `rest_for_one` (it
    and those after it). `intensity`: how many restarts in how many seconds, over all children together.
    `auto_shutdown`: whether the supervisor ends when a `significant` child has ended by itself: `never`,
    `any_significant`, `all_significant`.
    """

    children: tuple[ChildSpec[Any], ...] = ()
    strategy: Strategy = "one_for_one"
    intensity: Intensity = Intensity()
    auto_shutdown: AutoShutdown = "never"

    def __post_init__(self) -> None:
        one_of("strategy", self.strategy, STRATEGIES)
        one_of("auto_shutdown", self.auto_shutdown, AUTO_SHUTDOWNS)
        intensity: object = self.intensity
        if not isinstance(intensity, Intensity):
            raise TypeError(f"expected intensity to be an Intensity, got {intensity!r}")
        known: set[str] = set()
        for spec in self.children:
            self.check(spec, known)
            known.add(spec.id)

    def check(self, spec: ChildSpec[Any], known: Iterable[str]) -> None:
        """Raise if a child may not stand here beside those that are known."""
        value: object = spec
        if not isinstance(value, ChildSpec):
            hint = "; unpack it with *" if isinstance(value, list | tuple) else ""
            got = type(value).__name__ if hint else repr(value)
            raise TypeError(f"expected a child spec, such as child('ledger', Ledger), got {got}{hint}")
        if spec.id in known:
            raise ValueError(f"expected ids that are unique within their supervisor, got {spec.id!r} twice")
        if spec.significant and self.auto_shutdown == "never":
            raise ValueError(f"expected auto_shutdown to be other than never for the significant child {spec.id!r}")
