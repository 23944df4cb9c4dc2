"""A durable shop whose books can be checked: what is accepted comes, over two others, into one last book.

A desk (strict, with state) adds each number up and tells it to porters (a free pool), which tell it to an archive
(strict, with state). As a program it works until it is killed: `python -m tests.persistence.testing.chaotic_shop FILE
POINT TIME`.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Retry, Sqlite, Store, StoreError
from upright.persistence.crash_points import Point
from upright.persistence.testing import StoreChaos
from upright.supervision import ChildSpec, Supervisor, child, pool, supervisor

STUBBORN = Retry(max_attempts=1000, base=0.05, cap=1.0)
CALM = {"crash": 0.0, "fail": 0.0, "duplicate": 0.0, "slow": 0.0}


class Sum(msgspec.Struct):
    count: int = 0
    total: int = 0


class Shelf(msgspec.Struct):
    numbers: list[int] = []


class Archive(Actor[Shelf]):
    mailbox = Durable("archive", retry=STUBBORN)

    async def keep(self, number: int) -> None:
        self.state.numbers.append(number)

    async def all(self) -> list[int]:
        return self.state.numbers


class Porter(Actor):
    mailbox = Durable("porters", order="free", retry=STUBBORN)

    async def carry(self, number: int) -> None:
        await self.ctx.ref("/shop/archive", Archive).tell(Archive.keep, number)
        await asyncio.sleep(0.01 * (number % 5))


class Desk(Actor[Sum]):
    mailbox = Durable("desk", retry=STUBBORN)

    async def take(self, number: int) -> int:
        self.state.count += 1
        self.state.total += number
        await self.ctx.ref("/shop/porters", Porter).tell(Porter.carry, number)
        return number

    async def sum(self) -> tuple[int, int]:
        return self.state.count, self.state.total


def tree() -> ChildSpec[Supervisor]:
    return supervisor("shop", child("archive", Archive), pool("porters", Porter, size=3), child("desk", Desk))


async def send(system: ActorSystem, number: int) -> None:
    """Tell the desk a number until it is accepted: as often as it takes, and with a key, so that it counts once."""
    while True:
        try:
            await system.ref("/shop/desk", Desk).once(f"n{number}").tell(Desk.take, number)
        except StoreError:
            await asyncio.sleep(0.1)
        else:
            return


async def checked(system: ActorSystem, store: Store, numbers: list[int]) -> None:
    """Every invariant: nothing accepted is lost, the state is the sum of what was acked, all came once each, and
    nothing waits, is in hand or in quarantine.
    """
    assert tuple(await system.ref("/shop/desk", Desk).ask(Desk.sum)) == (len(numbers), sum(numbers))
    assert sorted(await system.ref("/shop/archive", Archive).ask(Archive.all)) == sorted(numbers)
    await system.idle()
    assert {name: one for name, one in (await store.counts()).items() if one.waiting or one.claimed} == {}
    assert await store.quarantine.groups() == []


async def serve(path: Path, kill: Point, time: int) -> None:
    store = Sqlite(path)
    system, trouble = (
        ActorSystem(tree(), store=store, log=None, allows_chaos=True),
        StoreChaos(1, **CALM, kill=kill, time=time),
    )
    async with system, trouble.on(system, store):
        for number in range(50):
            await send(system, number)
        await system.idle()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Point(int(sys.argv[2])), int(sys.argv[3])))
