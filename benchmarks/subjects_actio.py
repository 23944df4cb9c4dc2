"""actio's actors: a task and an unbounded queue each. It has no ask: the message carries a future."""

import asyncio
from typing import Any

from actio import Actor


class Counter(Actor):  # type: ignore[misc]  # actio has no types, here and below
    """Counts what it is told. A number is told; a number with a future is asked and answered with the total."""

    def __init__(self) -> None:
        self.total = 0

    async def receive(self, sender: Any, message: Any) -> None:
        if type(message) is int:
            self.total += message
        else:
            amount, reply = message
            self.total += amount
            reply.set_result(self.total)


class Hopper(Actor):  # type: ignore[misc]
    """Sends a message on to the next in the ring; where it ends, the number is told."""

    def __init__(self, number: int, ring: list[Any], arrived: asyncio.Future[int]) -> None:
        self.number, self.ring, self.arrived = number, ring, arrived

    async def receive(self, sender: Any, message: Any) -> None:
        if message:
            self.tell(self.ring[(self.number + 1) % len(self.ring)], message - 1)
        else:
            self.arrived.set_result(self.number)


async def ask(system: Any, actor: Any, amount: int) -> int:
    """What one writes by hand for an ask."""
    reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    system.tell(actor, (amount, reply))
    return await reply
