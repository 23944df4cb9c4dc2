"""How many machines of three steps are run per second, each step with a commit of its own, and how long does one take?

The steps do nothing. Ours are started by a hundred producers, each of which waits until its run is on the disk; then
one after another, each from its start to its result; then ten thousand at once, whose results are all waited for. After
a kill: a process dies when half of the steps are done, and the time counts from the next start until all runs are.
"""

import asyncio
import enum
import functools
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
from durable import durable_system, on_all_cores, on_disk
from report import AtLeast, AtMost, Figures
from support import Contender, Stopwatch, check, compare, latencies, on_asyncio, on_uvloop, scaled

from upright.actors import ActorSystem
from upright.persistence import StateMachine, machine, step

PRODUCERS = 100
COUNT = PRODUCERS * (scaled(6_000) // PRODUCERS or 1)
IN_FLIGHT = scaled(10_000)
LONE = scaled(600)
"""One after another."""
HALF_DONE = scaled(2_000)
FEW, VERY_FEW = scaled(300), scaled(60)
"""For those who take longer."""
BATCH = 100


class Steps:
    """How many steps were run, and after how many the process dies."""

    def __init__(self, fatal: int = 0) -> None:
        self.count, self.fatal = 0, fatal

    def add(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


class Order(msgspec.Struct):
    number: int
    charge: str = ""
    tracking: str = ""


class ProcessOrder(StateMachine[Order]):
    """Charge, reserve, ship."""

    class State(enum.StrEnum):
        PENDING = "pending"
        CHARGED = "charged"
        RESERVED = "reserved"
        SHIPPED = "shipped"

    initial = State.PENDING

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    @step(State.PENDING, to=State.CHARGED)
    async def charge(self, order: Order) -> None:
        self.steps.add()
        order.charge = "ch-1"

    @step(State.CHARGED, to=State.RESERVED)
    async def reserve(self, order: Order) -> None:
        self.steps.add()

    @step(State.RESERVED, to=State.SHIPPED)
    async def ship(self, order: Order) -> None:
        self.steps.add()
        order.tracking = "tr-1"


def machines(path: Path, steps: Steps, runs: bool = True) -> ActorSystem:
    return durable_system(path, machine("orders", functools.partial(ProcessOrder, steps)), runs=runs)


async def start(system: ActorSystem, number: int) -> None:
    await ProcessOrder.start(system, Order(number), id=f"order-{number}")


async def run_one(system: ActorSystem, number: int) -> None:
    """One run, from its start to its result."""
    run = await ProcessOrder.start(system, Order(number), id=f"order-{number}")
    order = await run.result()
    check((order.number, order.charge, order.tracking), (number, "ch-1", "tr-1"))


def check_all(path: Path, count: int) -> None:
    """All runs are completed, and known to be on the disk."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT status, count(*) FROM record GROUP BY status").fetchall()
    check(found, [("completed", count)])


def per_machine(count: int, watch: Stopwatch) -> Figures:
    return {"per_s": count / watch.seconds, "us_each": watch.seconds / count * 1e6}


async def throughput() -> Figures:
    steps = Steps()
    with on_disk() as folder:
        path = folder / "store.db"
        async with machines(path, steps) as system:

            async def produce(first: int) -> None:
                for number in range(first, COUNT, PRODUCERS):
                    await start(system, number)

            with Stopwatch() as watch:
                await asyncio.gather(*(produce(producer) for producer in range(PRODUCERS)))
                await system.idle()
        check_all(path, COUNT)
    check(steps.count, 3 * COUNT)
    return per_machine(COUNT, watch)


async def one_after_another() -> Figures:
    steps, took = Steps(), list[float]()
    with on_disk() as folder:
        path = folder / "store.db"
        async with machines(path, steps) as system:
            with Stopwatch() as watch:
                for number in range(LONE):
                    since = time.perf_counter()
                    await run_one(system, number)
                    took.append(time.perf_counter() - since)
        check_all(path, LONE)
    check(steps.count, 3 * LONE)
    return per_machine(LONE, watch) | latencies(took)


async def in_flight() -> Figures:
    """All are started before the first result is waited for."""
    steps = Steps()
    with on_disk() as folder:
        path = folder / "store.db"
        async with machines(path, steps) as system:
            with Stopwatch() as watch:
                numbers = range(IN_FLIGHT)
                runs = await asyncio.gather(
                    *(ProcessOrder.start(system, Order(number), id=f"order-{number}") for number in numbers)
                )
                left = IN_FLIGHT - steps.count / 3
                orders = await asyncio.gather(*(run.result() for run in runs))
                check([order.number for order in orders], list(numbers))
        check_all(path, IN_FLIGHT)
    check(steps.count, 3 * IN_FLIGHT)
    return per_machine(IN_FLIGHT, watch) | {"peak_mb": peak_mb(), "left_when_all_are_started": left}


def after_a_kill() -> Figures:
    with on_disk() as folder:
        path = folder / "store.db"
        killed(lambda: asyncio.run(work_until_killed(path)))
        return asyncio.run(recover(path))


async def work_until_killed(path: Path) -> None:
    async with machines(path, Steps(), runs=False) as system:
        await asyncio.gather(*(start(system, number) for number in range(HALF_DONE)))
    async with machines(path, Steps(3 * HALF_DONE // 2)):
        await asyncio.sleep(600)


async def recover(path: Path) -> Figures:
    steps = Steps()
    with Stopwatch() as watch:
        async with machines(path, steps) as system:
            await system.idle()
    check_all(path, HALF_DONE)
    check(3 * HALF_DONE // 2 <= steps.count < 3 * HALF_DONE, True)
    return per_machine(HALF_DONE, watch) | {"recovery_s": watch.seconds}


def killed(work: Callable[[], None]) -> None:
    """Have a child process do that work, which kills it."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    check(os.WTERMSIG(os.waitpid(child, 0)[1]), signal.SIGKILL)


def peak_mb() -> float:
    """The most memory that this process has had, in megabytes (Linux)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1_024 / 1e6


def sqlite() -> Figures:
    """The raw limit: a row, and three changes of it, each of a hundred in a transaction that the disk has."""
    body = bytes(300)
    with on_disk() as folder, closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as connection:
        execute, executemany = connection.execute, connection.executemany
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("CREATE TABLE run(id TEXT PRIMARY KEY, state INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID")
        with Stopwatch() as watch:
            for first in range(0, COUNT, BATCH):
                names = [f"order-{number}" for number in range(first, first + BATCH)]
                execute("BEGIN IMMEDIATE")
                executemany("INSERT INTO run VALUES (?, 0, ?)", [(name, body) for name in names])
                execute("COMMIT")
                for state in range(1, 4):
                    execute("BEGIN IMMEDIATE")
                    changes = [(state, body, name, state - 1) for name in names]
                    executemany("UPDATE run SET state = ?, body = ? WHERE id = ? AND state = ?", changes)
                    execute("COMMIT")
        check(execute("SELECT count(*) FROM run WHERE state = 3").fetchone()[0], COUNT)
    return per_machine(COUNT, watch)


def dbos() -> Figures:
    import subjects_dbos as subject

    with on_disk() as folder, subject.dbos(folder / "dbos.db"), Stopwatch() as watch:
        took = subject.one_after_another(FEW)
    return per_machine(FEW, watch) | latencies(took)


def dbos_at_once() -> Figures:
    import subjects_dbos as subject

    with on_disk() as folder, subject.dbos(folder / "dbos.db"), Stopwatch() as watch:
        subject.at_once(FEW)
    return per_machine(FEW, watch)


def dbos_after_a_kill() -> Figures:
    import subjects_dbos as subject

    with on_disk() as folder:
        path = folder / "dbos.db"
        killed(lambda: subject.work_until_killed(path, FEW))
        with Stopwatch() as watch:
            check(subject.recover(path, FEW) > 0, True)
    return per_machine(FEW, watch) | {"recovery_s": watch.seconds}


async def temporal() -> Figures:
    import subjects_temporal as subject

    with on_disk() as folder:
        async with subject.server(folder) as client:
            with Stopwatch() as watch:
                await subject.at_once(client, VERY_FEW)
    return per_machine(VERY_FEW, watch)


async def temporal_one_after_another() -> Figures:
    import subjects_temporal as subject

    with on_disk() as folder:
        async with subject.server(folder) as client:
            with Stopwatch() as watch:
                took = await subject.one_after_another(client, VERY_FEW // 2)
    return per_machine(VERY_FEW // 2, watch) | latencies(took)


async def temporal_after_a_kill() -> Figures:
    """The worker dies, and the server stays: that is how it is run."""
    import subjects_temporal as subject

    with on_disk() as folder:
        async with subject.server(folder) as client:
            address = client.service_client.config.target_host
            command = f"import subjects_temporal; subjects_temporal.work_until_killed({address!r}, {VERY_FEW})"
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", command, cwd=Path(__file__).parent, stderr=asyncio.subprocess.DEVNULL
            )
            check(await child.wait(), -signal.SIGKILL)
            with Stopwatch() as watch:
                await subject.recover(client, VERY_FEW)
    return per_machine(VERY_FEW, watch) | {"recovery_s": watch.seconds}


if __name__ == "__main__":
    ours: dict[str, Contender] = {
        "upright": on_asyncio(throughput),
        "upright on uvloop": on_uvloop(throughput),
        "upright, one after another": on_asyncio(one_after_another),
        "upright, 10,000 in flight": on_asyncio(in_flight),
        "upright, after a kill": after_a_kill,
    }
    peers: dict[str, Contender] = {
        "sqlite3, 100 at once (limit)": sqlite,
        "DBOS": dbos,
        "DBOS, at once": dbos_at_once,
        "DBOS, after a kill": dbos_after_a_kill,
        "Temporal": on_asyncio(temporal),
        "Temporal, one after another": on_asyncio(temporal_one_after_another),
        "Temporal, after a kill": on_asyncio(temporal_after_a_kill),
    }
    compare(
        "durable machines: runs of three steps per second, each step on the disk before the next",
        {name: on_all_cores(contender) for name, contender in {**ours, **peers}.items()},
        goals=[
            AtMost("us_each", 1e6 / 2_000),
            AtLeast("DBOS", 20),
            AtLeast("Temporal", 100),
            AtMost("p50_us", 3_000, ours="upright, one after another"),
        ],
    )
