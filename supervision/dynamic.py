"""The dynamic supervisor: many children of a kind, started on demand, addressed by ref, ended all at once.

It is Elixir's `DynamicSupervisor`: no order, `one_for_one` only, and starting or ending one child costs the same
however many there are.
"""

from typing import Any, TypeVar

from upright.actors.errors import Ignore, NameTaken, StartFailed
from upright.actors.message import told
from upright.actors.refs import Ref

from .charge import Charge
from .errors import AlreadyStarted, InvalidSpec, NotFound, NotStarted, TooManyChildren
from .intensity import Intensity, Restarts
from .keeper import Keeper
from .spec import ChildSpec

A = TypeVar("A")


class DynamicSupervisor(Keeper):
    """Keeps children up that were started while it runs; `dynamic("sessions", max_children=10_000)` makes one.

    A child's spec is forgotten when it has ended for good, and when this supervisor ends: it comes back without
    children.
    """

    ends_children_together = True

    def __init__(self, intensity: Intensity, max_children: int | None = None) -> None:
        super().__init__()
        self._max_children = max_children
        self._restarts = Restarts(intensity)

    async def start_child(self, spec: ChildSpec[A]) -> Ref[A]:
        """Start a child at `<path>/<id>`.

        Raises `InvalidSpec`, `AlreadyStarted`, `TooManyChildren`, `NotStarted`; nothing is kept then.
        """
        given: object = spec
        if not isinstance(given, ChildSpec):
            raise InvalidSpec(f"expected a child spec, such as child('s-1', Session), got {given!r}", "")
        if spec.significant:
            raise InvalidSpec(f"expected no significant child at {self.ctx.path}, got {spec.id!r}", spec.id)
        known = self._charges.get(spec.id)
        if known is not None and known.child is not None:
            raise AlreadyStarted(spec.id, known.child.self_ref)
        if self._max_children is not None and len(self._charges) >= self._max_children:
            raise TooManyChildren(f"expected at most {self._max_children} children at {self.ctx.path}", spec.id)
        charge = self._charges[spec.id] = Charge(spec)
        try:
            ref = await self.ctx.spawn_from(spec.blueprint())
        except (StartFailed, Ignore, NameTaken) as error:
            del self._charges[spec.id]
            failure = (
                error if isinstance(error, StartFailed) else StartFailed(f"{self.ctx.path}/{spec.id}", told(error))
            )
            raise NotStarted(failure, spec.id) from error.__cause__
        charge.child, charge.standing = ref.recipient, "running"  # type: ignore[assignment]  # as its parent sees it
        found: Ref[A] = ref
        return found

    async def terminate_child(self, ref: Ref[Any]) -> None:
        """End a child, or its attempts to come back. Raises `NotFound`."""
        given: object = ref
        if not isinstance(given, Ref):
            raise NotFound(f"expected the ref of a child of {self.ctx.path}, got {ref!r}", "")
        id = ref.path.rpartition("/")[2]
        charge = self._charges.get(id)
        if charge is None or charge.child is None or charge.child.self_ref != ref:
            raise NotFound(f"expected the ref of a child of {self.ctx.path}, got {ref.path}", id)
        await self._let_go(charge)

    async def _bring_back(self, charge: Charge) -> None:
        if charge.child is not None and not self.ctx.ending:
            await self._start_or_retry(charge)

    async def _let_go(self, charge: Charge, forget: bool = True) -> None:
        """End a child for good. Nothing is kept of it here; its id is free at once."""
        self._charges.pop(charge.spec.id, None)
        await super()._let_go(charge, forget)
