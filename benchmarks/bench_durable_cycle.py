"""How many jobs per second go all the way: stored, handled, and known to the disk as done?

The jobs do nothing. Ours are told by a hundred producers, each of which waits until its message is on the disk, while
the actor handles them. The peers store all jobs first, then do them one after the other.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from durable import BODY, FreeWorker, Tally, Worker, durable_system, on_all_cores, on_disk, stored
from report import AtLeast, AtMost, Figures
from support import Contender, Stopwatch, check, compare, on_asyncio, on_uvloop, scaled

from upright.persistence.sqlite_engine import Synchronous
from upright.supervision import child

PRODUCERS = 100
COUNT = PRODUCERS * (scaled(15_000) // PRODUCERS or 1)
FEW = max(1, COUNT // 15)
"""For the slower ones."""
BATCH = 100


def per_job(count: int, watch: Stopwatch) -> Figures:
    return {"per_s": count / watch.seconds, "us_each": watch.seconds / count * 1e6}


def upright(actor: type[Worker] = Worker, synchronous: Synchronous = "full", uvloop: bool = False) -> Contender:
    async def run() -> Figures:
        tally = Tally()
        with on_disk() as folder:
            path = folder / "store.db"
            async with durable_system(path, child("worker", actor, tally), synchronous=synchronous) as system:
                worker = system.ref("/bench/worker", actor)

                async def produce(first: int) -> None:
                    for number in range(first, COUNT, PRODUCERS):
                        await worker.tell(actor.work, number, BODY)

                with Stopwatch() as watch:
                    await asyncio.gather(*(produce(producer) for producer in range(PRODUCERS)))
                    await system.idle()
            check(stored(path), COUNT)
            check(stored(path, "sum(state = 2)"), COUNT)
        tally.check(COUNT)
        return per_job(COUNT, watch)

    return on_all_cores((on_uvloop if uvloop else on_asyncio)(run))


def in_a_file(cycle: Callable[[Path, int], Tally], count: int) -> Figures:
    """A peer that puts all jobs into a file and gets them out again."""
    with on_disk() as folder, Stopwatch() as watch:
        tally = cycle(folder / "queue.db", count)
    tally.check(count)
    return per_job(count, watch)


def huey(normal: bool) -> Figures:
    from subjects_huey import cycle

    return in_a_file(partial(cycle, normal=normal), FEW)


def litequeue() -> Figures:
    from subjects_queues import litequeue as cycle

    return in_a_file(cycle, FEW)


def persist_queue() -> Figures:
    from subjects_queues import persist_queue as cycle

    return in_a_file(cycle, FEW // 2 or 1)


async def pgqueuer() -> Figures:
    from subjects_pgqueuer import cycle, database

    async with database() as connection:
        with Stopwatch() as watch:
            tally = await cycle(connection, COUNT // 3)
    tally.check(COUNT // 3)
    return per_job(COUNT // 3, watch)


async def jetstream() -> Figures:
    from subjects_nats import cycle, stream

    async with stream() as (client, name):
        with Stopwatch() as watch:
            tally = await cycle(client, name, COUNT // 3)
    tally.check(COUNT // 3)
    return per_job(COUNT // 3, watch)


def sqlite() -> Figures:
    """The raw limit: insert, claim, delete, each of a hundred in a transaction that the disk has before the next."""
    tally = Tally()
    with on_disk() as folder, closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as connection:
        execute, executemany = connection.execute, connection.executemany
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("CREATE TABLE job(id INTEGER PRIMARY KEY, state INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL)")
        with Stopwatch() as watch:
            for first in range(0, COUNT, BATCH):
                execute("BEGIN IMMEDIATE")
                executemany("INSERT INTO job(id, body) VALUES (?, ?)", [(first + n, BODY) for n in range(BATCH)])
                execute("COMMIT")
                execute("BEGIN IMMEDIATE")
                claimed = execute(
                    "UPDATE job SET state = 1 WHERE id IN (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT ?)"
                    " RETURNING id, body", (BATCH,),
                ).fetchall()  # fmt: skip
                execute("COMMIT")
                for number, _ in claimed:
                    tally.add(number)
                execute("BEGIN IMMEDIATE")
                executemany("DELETE FROM job WHERE id = ? AND state = 1", [(number,) for number, _ in claimed])
                execute("COMMIT")
        check(execute("SELECT count(*) FROM job").fetchone()[0], 0)
    tally.check(COUNT)
    return per_job(COUNT, watch)


if __name__ == "__main__":
    compare(
        "durable cycle: jobs per second, stored, handled and acknowledged",
        {
            "upright": upright(),
            "upright, free order": upright(FreeWorker),
            "upright on uvloop": upright(uvloop=True),
            "upright, NORMAL": upright(synchronous="normal"),
            "sqlite3, 100 at once (limit)": on_all_cores(sqlite),
            "huey": on_all_cores(partial(huey, normal=False)),
            "huey, NORMAL": on_all_cores(partial(huey, normal=True)),
            "litequeue": on_all_cores(litequeue),
            "persist-queue": on_all_cores(persist_queue),
            "pgqueuer": on_all_cores(on_asyncio(pgqueuer)),
            "NATS JetStream": on_all_cores(on_asyncio(jetstream)),
        },
        goals=[
            AtMost("us_each", 1e6 / 30_000),
            AtLeast("huey", 20),
            AtLeast("huey, NORMAL", 20),
            AtLeast("litequeue", 8),
            AtLeast("pgqueuer", 3),
            AtLeast("NATS JetStream", 2.5),
        ],
    )
