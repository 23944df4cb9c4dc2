"""Actors that decide what becomes of their children: the seam on which supervisors stand."""

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

    async def restart(self) -> None:
        """Begin the next incarnation. Raises `StartFailed`; the child is then down again."""
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

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """A child has ended by itself; here it is buried."""
        await child.end("it ended")
