"""A handler of several steps whose process is killed in their midst; a program for `points.forking`.

What its steps did is recorded beside the store, as `crashes` does it: `did` by the step, `returned` by its handler.
"""

from functools import partial
from pathlib import Path

from tests.persistence.crashes import SOON, Record
from tests.persistence.points import Order, serve, take_for_dead
from upright.actors import Actor, ActorSystem
from upright.actors.errors import Detached
from upright.persistence import Durable, Sqlite, crash_points
from upright.supervision import child, supervisor

STEPS = 4
NEWS = 100
"""Added to the number of a step in what it tells."""


class Hearer(Actor):
    mailbox = Durable("hearer", retry=SOON)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def hear(self, number: int) -> None:
        self.record.note("heard", number)


class Stepper(Actor):
    mailbox = Durable("stepper", retry=SOON)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def take_all(self) -> None:
        for number in range(STEPS):
            assert await self.ctx.step(f"step {number}", self.take, number) == number
            self.record.note("returned", number)

    async def lose(self) -> None:
        """Have the first attempt taken away, and then take a step."""
        if self.ctx.delivery.attempt == 1:
            take_for_dead(self.record.path.with_name("jobs.db"))
        try:
            await self.ctx.step("last", self.take, STEPS)
        except Detached:
            self.record.note("detached", STEPS)
            raise

    async def take(self, number: int) -> int:
        self.record.note("did", number)
        await self.ctx.ref("hearer", Hearer).tell(Hearer.hear, NEWS + number)
        return number


async def work(order: Order) -> None:
    """One run: the first tells it to take its steps, and dies; the next has them finished."""
    path = Path(order.folder) / "record"
    record = Record(path, order.run)
    tree = supervisor("top", child("hearer", Hearer, record), child("stepper", Stepper, record))
    async with ActorSystem(tree, store=Sqlite(path.with_name("jobs.db")), log=None) as system:
        await system.idle()
        if order.deed == "lose":
            await system.ref("/top/stepper", Stepper).tell(Stepper.lose)
        if order.at is not None:
            stepper = system.ref("/top/stepper", Stepper)
            arm = partial(crash_points.arm, order.at.point, order.at.time)
            await stepper.tell(Stepper.take_all)
            arm()
        await system.idle()


if __name__ == "__main__":
    serve(work)
