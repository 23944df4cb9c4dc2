"""Stands before an actor for one delivery, so that its handler crashes where chaos says."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from ..hand import Hand

Call = Callable[..., Awaitable[Any]]


class StandIn:
    """Has the state of the actor, and for a class one in which the handler is another function.

    A delivery looks its handler up on the class of whoever it is given to, when all that comes before is done.
    """

    def __init__(self, actor: Any, method: str, call: Call) -> None:
        self._actor, self._kind = actor, SimpleNamespace(**{method: call})

    @property  # type: ignore[misc]  # it is only read
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Where the handler is looked for."""
        return self._kind

    @property
    def state(self) -> Any:
        """The actor's."""
        return self._actor.state

    @state.setter
    def state(self, state: Any) -> None:
        self._actor.state = state


async def run_struck(actor: Any, hand: Hand, told: Callable[[], Exception], before: bool) -> None:
    """Run a delivery whose handler raises what is `told`, before its first line or after its last."""
    method = hand.codec.method
    real: Call = getattr(actor.__class__, method)

    async def crash(_: Any, *args: Any, **kwargs: Any) -> None:
        if not before:
            await real(actor, *args, **kwargs)
        raise told()

    await hand.run(StandIn(actor, method, crash))
