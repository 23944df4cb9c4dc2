"""How many messages per second go to ten thousand entities of which a thousand are awake, and what do those cost that
sleep?

A message adds to the durable state of its entity, which is saved with its end. Most messages wake an entity, and put
another one to sleep. `mib` is what the process has grown by at the end; beside a million entities that are known to the
file none but those with messages should cost any.
"""

import asyncio
import random
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
from durable import BODY, FreeWorker, Tally, Worker, durable_system, on_all_cores, on_disk, stored
from report import AtMost, Figures
from support import Contender, Stopwatch, check, compare, on_asyncio, resident_bytes, scaled

from upright.actors import Actor
from upright.persistence import Durable, entities
from upright.supervision import child

PRODUCERS = 100
COUNT = PRODUCERS * (scaled(10_000) // PRODUCERS or 1)
MANY, AWAKE = 10_000, 1_000
MILLION = scaled(1_000_000)


class Balance(msgspec.Struct):
    count: int = 0


class Account(Actor[Balance]):
    mailbox = Durable("accounts", order="keyed")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    async def work(self, number: int, body: bytes) -> None:
        self.state.count += 1
        self.tally.add(number)


def figures(watch: Stopwatch, before: int) -> Figures:
    grown = (resident_bytes() - before) / (1 << 20)
    return {"per_s": COUNT / watch.seconds, "us_each": watch.seconds / COUNT * 1e6, "mib": grown}


def counted(path: Path) -> int:
    """What all states say together."""
    with closing(sqlite3.connect(path)) as connection:
        bodies = connection.execute("SELECT body FROM record WHERE kind = 'accounts'").fetchall()
    return sum(msgspec.msgpack.decode(body)[1]["count"] for (body,) in bodies)


def known(path: Path, count: int) -> None:
    """Make so many entities known to the file, in which each has an empty state."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "WITH RECURSIVE more(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM more WHERE n < ? - 1)"
            " INSERT INTO record(kind, name, version, status, position, made, changed, body)"
            " SELECT 'accounts', 'a-' || n, 1, '', '', 0, 0, ? FROM more",
            (count, b"\x92\x01" + msgspec.msgpack.encode(Balance())),
        )


def to_entities(many: int, file_has: int = 0) -> Contender:
    async def run() -> Figures:
        tally, ids = Tally(), random.Random(17)
        keys = [f"a-{ids.randrange(many)}" for _ in range(COUNT)]
        with on_disk() as folder:
            path = folder / "store.db"
            async with durable_system(path):
                pass
            if file_has:
                known(path, file_has)
            before = resident_bytes()
            spec = entities("accounts", partial(Account, tally), at_most=AWAKE)
            async with durable_system(path, spec) as system:
                accounts = system.ref("/bench/accounts", Account)

                async def produce(first: int) -> None:
                    for number in range(first, COUNT, PRODUCERS):
                        await accounts.entity(keys[number]).tell(Account.work, number, BODY)

                with Stopwatch() as watch:
                    await asyncio.gather(*(produce(producer) for producer in range(PRODUCERS)))
                    await system.idle()
                found = figures(watch, before)
            check(counted(path), COUNT)
        tally.check(COUNT)
        return found

    return on_all_cores(on_asyncio(run))


def plain(actor: type[Worker]) -> Contender:
    async def run() -> Figures:
        tally, before = Tally(), resident_bytes()
        with on_disk() as folder:
            path = folder / "store.db"
            async with durable_system(path, child("worker", actor, tally)) as system:
                worker = system.ref("/bench/worker", actor)

                async def produce(first: int) -> None:
                    for number in range(first, COUNT, PRODUCERS):
                        await worker.tell(actor.work, number, BODY)

                with Stopwatch() as watch:
                    await asyncio.gather(*(produce(producer) for producer in range(PRODUCERS)))
                    await system.idle()
                found = figures(watch, before)
            check(stored(path, "sum(state = 2)"), COUNT)
        tally.check(COUNT)
        return found

    return on_all_cores(on_asyncio(run))


if __name__ == "__main__":
    compare(
        f"durable entities: messages per second to {MANY:,} of which {AWAKE:,} are awake",
        {
            "upright": to_entities(MANY),
            "upright, all awake": to_entities(AWAKE),
            "upright, a million known": to_entities(MANY, MILLION),
            "upright, one plain actor": plain(Worker),
            "upright, one in free order": plain(FreeWorker),
        },
        figure="per_s",
        goals=[AtMost("us_each", 1e6 / 2_000)],
    )
