"""A service of entities whose process is killed, or shares its file with another; a program for `points.forking`."""

import asyncio
from functools import partial
from pathlib import Path

from tests.persistence.crashes import SOON, Record
from tests.persistence.points import Order, serve
from tests.persistence.tills import Balance
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Sqlite, crash_points, entities
from upright.supervision import supervisor

IDS, EACH = 6, 40
"""How many entities there are, and how many messages each gets from a process."""


class Teller(Actor[Balance]):
    mailbox = Durable("tills", order="keyed", retry=SOON, window=4)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def deposit(self, number: int) -> None:
        self.record.note("began", number)
        self.state.cents += 1
        await asyncio.sleep(0.001)
        self.record.note("done", number)


async def tell(system: ActorSystem, number: int, times: int) -> None:
    for _ in range(times):
        await system.ref("/top/tills", Teller).entity(f"till {number}").tell(Teller.deposit, number)


async def work(order: Order) -> None:
    """One run."""
    path = Path(order.folder) / "record"
    record = Record(path, order.run)
    tree = supervisor("top", entities("tills", partial(Teller, record), idle=0.05, at_most=4))
    async with ActorSystem(tree, store=Sqlite(path.with_name("jobs.db")), log=None) as system:
        if order.at is not None:
            crash_points.arm(order.at.point, order.at.time)
        if order.deed != "finish":
            await asyncio.gather(*(tell(system, number, EACH) for number in range(IDS)))
        await system.idle()


if __name__ == "__main__":
    serve(work)
