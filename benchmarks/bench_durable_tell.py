"""How many awaited tells per second get onto the disk, and how long does one take?

`synchronous=FULL` everywhere: nobody is answered before the disk has it. The system runs no actors, so that a tell
costs what storing costs; "handled too" has one that keeps up. The speed of a disk drifts: `syncs_each`
says how many times the disk could have synced in the time of one tell, as measured right before and after.
"""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing

from durable import BODY, Tally, Worker, disk_per_s, durable_system, on_all_cores, on_disk, stored
from report import AtLeast, AtMost, Figures
from support import Contender, Stopwatch, check, compare, latencies, on_asyncio, rate, scaled

from upright.supervision import child

OTHER_WORK = 50e-6
"""Seconds of each turn of the loop, in the contender whose loop has something else to do as well."""


def upright(producers: int, count: int, *, handled: bool = False, busy: bool = False) -> Contender:
    """So many producers, each of which waits for one message after the other."""
    each = scaled(count) // producers or 1
    count = each * producers

    async def run() -> Figures:
        tally, took = Tally(), list[float]()

        async def produce(first: int) -> None:
            for number in range(first, first + each):
                since = time.perf_counter()
                await worker.tell(Worker.work, number, BODY)
                took.append(time.perf_counter() - since)

        with on_disk() as folder:
            path = folder / "store.db"
            async with durable_system(path, child("worker", Worker, tally), runs=handled) as system:
                worker = system.ref("/bench/worker", Worker)
                await worker.tell(Worker.work, count, BODY)
                disk = [disk_per_s(folder)]
                stop = keep_busy() if busy else None
                with Stopwatch() as watch:
                    await asyncio.gather(*(produce(producer * each) for producer in range(producers)))
                if stop is not None:
                    stop()
                disk.append(disk_per_s(folder))
                if handled:
                    await system.idle()
            check(stored(path), count + 1)
            check(stored(path, "sum(state = 2)" if handled else "count(DISTINCT body)"), count + 1)
        if handled:
            tally.check(count + 1)
        syncs = statistics.mean(disk) * watch.seconds / count
        return rate(count, watch) | latencies(took) | {"syncs_each": syncs}

    return on_all_cores(on_asyncio(run))


def keep_busy() -> Callable[[], None]:
    """Give each turn of the loop some other work; what is returned ends that."""
    loop = asyncio.get_running_loop()
    going = True

    def work() -> None:
        until = time.perf_counter() + OTHER_WORK
        while time.perf_counter() < until:
            pass
        if going:
            loop.call_soon(work)

    def stop() -> None:
        nonlocal going
        going = False

    loop.call_soon(work)
    return stop


def sqlite(per_transaction: int, count: int) -> Contender:
    """The raw limit: a table of an id, a number, and the body, written by one who has nothing else to do."""
    transactions = scaled(count) // per_transaction or 1

    def run() -> Figures:
        with on_disk() as folder, closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE message(id INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, body BLOB)")
            rows = [(1, BODY)] * per_transaction
            took: list[float] = []
            with Stopwatch() as watch:
                for _ in range(transactions):
                    since = time.perf_counter()
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany("INSERT INTO message(mailbox, body) VALUES (?, ?)", rows)
                    connection.execute("COMMIT")
                    took.append(time.perf_counter() - since)
            check(connection.execute("SELECT count(*) FROM message").fetchone()[0], transactions * per_transaction)
        return rate(transactions * per_transaction, watch) | latencies(took)

    return on_all_cores(run)


def fdatasync() -> Figures:
    """What the disk itself can: 4 KiB appended, and on the disk."""
    with on_disk() as folder:
        return {"per_s": disk_per_s(folder, scaled(400))}


ONE, HUNDRED, BUSY = "upright, 1 producer", "upright, 100 producers", "upright, 100, busy loop"

if __name__ == "__main__":
    compare(
        "durable tell: messages per second onto the disk, awaited one by one by each producer",
        {
            HUNDRED: upright(100, 15_000),
            "sqlite3, 100 a transaction": sqlite(100, 50_000),
            BUSY: upright(100, 15_000, busy=True),
            "upright, 100, handled too": upright(100, 15_000, handled=True),
            ONE: upright(1, 300),
            "sqlite3, 1 a transaction": sqlite(1, 400),
            "fdatasync of 4 KiB (limit)": on_all_cores(fdatasync),
            "upright, 10 producers": upright(10, 2_000),
            "sqlite3, 10 a transaction": sqlite(10, 4_000),
            "upright, 1,000 producers": upright(1_000, 20_000),
        },
        ours=HUNDRED,
        goals=[
            AtMost("syncs_each", 1 / 15, ours=HUNDRED),
            AtLeast("sqlite3, 100 a transaction", 0.35, ours=HUNDRED),
            AtMost("p99_us", 5_000, ours=HUNDRED),
            AtMost("p99_us", 5_000, ours=BUSY),
            AtMost("syncs_each", 1 / 0.8, ours=ONE),
        ],
    )
