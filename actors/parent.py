"""Actors that decide what becomes of their children: the seam on which supervisors stand."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from .actor import Actor
from .exits import Exit
from .refs import Ref


class Child(Protocol):
    """What a parent that judges may do with a child."""

    @property
    def path(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def self_ref(self) -> Ref[Any]: ...

    async def restart(self, held_back: float = 0.0) -> None:
        """Begin the next incarnation, held back for so many seconds. Raises `StartFailed`; it is then down again."""
        ...

    async def halt(self, why: str) -> None:
        """End the incarnation; the child is then down, its mailbox kept."""
        ...

    async def end(self, why: str) -> Exit:
        """End the incarnation, if there is one, and the actor for good."""
        ...


class Parent(Actor[None]):
    """An actor whose children stay down when they end, until it restarts or ends them.

    It hears of each end that it did not cause through `child_ended`, on the control lane.
    """

    ends_children_together: ClassVar[bool] = False
    """Whether its children are ended all at once, and not one after the other from the youngest on."""

    children_stand_beside: ClassVar[bool] = False
    """Whether `ctx.ref("name")` of a child finds this actor's own siblings, and not the child's: workers of a pool."""

    def start_order(self) -> Sequence[str]:
        """The names of its children, the last in start order first, if that is not simply the order of their
        spawning.
        """
        return ()

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """A child has ended by itself; here it is buried."""
        await child.end("it ended")


def ending_order(instance: object, children: Iterable[str]) -> list[str]:
    """In which order to end children: reverse start order, as their parent tells it if it does."""
    names = list(reversed(list(children)))
    if isinstance(instance, Parent) and (order := instance.start_order()):
        place = {name: number for number, name in enumerate(order)}
        names.sort(key=lambda name: place.get(name, len(place)), reverse=True)
    return names
