"""xoscar's actors in one process, with the refs to local actors that are its fastest.

Such a ref has no mailbox: an ask runs the method in the asker's task, under the actor's lock; a tell makes a task.
"""

# pyright: basic
# xoscar has no types.

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import xoscar


class Counter(xoscar.Actor):  # type: ignore[misc]
    """Counts what it is told."""

    def __init__(self) -> None:
        self.total = 0

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total


class Hopper(xoscar.Actor):  # type: ignore[misc]
    """Sends a message on to the next in the ring; where it ends, the number is told."""

    def __init__(self, number: int, ring: list[Any], arrived: asyncio.Future[int]) -> None:
        self.number, self.ring, self.arrived = number, ring, arrived

    async def hop(self, left: int) -> None:
        if left:
            await self.ring[(self.number + 1) % len(self.ring)].hop.tell(left - 1)
        else:
            self.arrived.set_result(self.number)


class Pool:
    """Where actors are made."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def spawn(self, name: str, actor: type[Any], *args: Any) -> Any:
        """Make an actor, and a ref to it that knows that it is near."""
        await xoscar.create_actor(actor, *args, address=self.address, uid=name)
        return await xoscar.actor_ref(name, address=self.address)

    async def destroy(self, ref: Any) -> None:
        """End an actor."""
        await xoscar.destroy_actor(ref)

    async def has(self, ref: Any) -> bool:
        """Whether it is there."""
        return bool(await xoscar.has_actor(ref))


@asynccontextmanager
async def xoscar_pool() -> AsyncGenerator[Pool, None]:
    """A pool without other processes."""
    pool = await xoscar.create_actor_pool("127.0.0.1:0", n_process=0)
    try:
        yield Pool(pool.external_address)
    finally:
        await pool.stop()
