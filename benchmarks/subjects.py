"""Our own actors that the benchmarks share, in a system as an application has it, only without a log."""

import asyncio
from collections.abc import Callable
from typing import Any

from upright.actors import Actor, ActorSystem
from upright.supervision import ChildSpec


class Counter(Actor):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.total = 0

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total


class Hopper(Actor):
    """Sends a message on to the next in the ring; where it ends, the number is told."""

    def __init__(self, number: int, nodes: int, arrived: asyncio.Future[int]) -> None:
        self.number, self.arrived = number, arrived
        self.follower = self.ctx.ref(f"/hopper-{(number + 1) % nodes}", Hopper)

    async def hop(self, left: int) -> None:
        if left:
            await self.follower.tell(Hopper.hop, left - 1)
        else:
            self.arrived.set_result(self.number)


class Crasher(Actor):
    """Crashes when told to, and says when an instance is up."""

    def __init__(self, up: Callable[[], None]) -> None:
        self.up = up

    async def started(self) -> None:
        self.up()

    async def crash(self) -> None:
        raise RuntimeError("as told")


def quiet(tree: ChildSpec[Any] | None = None) -> ActorSystem:
    """A system of which nobody hears events."""
    return ActorSystem(tree, log=None)
