"""What the durable benchmarks share: files on a real disk, our own durable actors, stores that are full already.

Run by itself, `durable.py PATH COUNT waiting|finished` fills a store; `full_store` does so in a process of its own, so
that the memory it takes is not that of a contender.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from report import RESULTS
from support import Absent, Contender, check

from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Retention, Sqlite
from upright.persistence.sqlite_engine import Synchronous
from upright.supervision import ChildSpec, child, supervisor

BODY = bytes(range(100))
"""What each message brings besides its number."""
SHARED = "BENCH_SHARED"


class Tally:
    """What was handled: which numbers, and how many in all."""

    def __init__(self) -> None:
        self.numbers = bytearray()
        self.count: int = 0

    def add(self, number: int) -> None:
        self.count += 1
        if number >= len(self.numbers):
            self.numbers.extend(bytes(number + 1 - len(self.numbers)))
        self.numbers[number] = min(self.numbers[number] + 1, 2)

    def check(self, count: int) -> None:
        """Each number below `count` once, and no others."""
        check(self.count, count)
        check(self.numbers, bytearray(b"\x01" * count))


class Worker(Actor):
    """Does nothing, and notes what it was told to do."""

    mailbox = Durable("worker")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    async def work(self, number: int, body: bytes) -> None:
        self.tally.add(number)


def worker_at(number: int) -> type[Worker]:
    """A class with an address of its own."""
    return type(f"Worker{number}", (Worker,), {"mailbox": Durable(f"worker-{number}")})


class FreeWorker(Worker):
    """The same, for messages that may pass each other."""

    mailbox = Durable("worker", order="free")


def durable_system(
    path: Path, *actors: ChildSpec[Any], synchronous: Synchronous = "full", runs: bool = True
) -> ActorSystem:
    """A system with a store at that path, and a supervisor `bench` above the actors; nobody hears its events.

    One that `runs` nothing stores what its actors are told.
    """
    # The sweeps of a store as it is, but none that takes from a full one what its contender counts.
    store = Sqlite(path, synchronous=synchronous, retention=Retention(finished_count=None))
    return ActorSystem(supervisor("bench", *actors), store=store, log=None, only=None if runs else ())


def on_all_cores(contender: Contender) -> Contender:
    """The contender with all cores, as servers beside it have them: what keeps a disk busy need not be in its way."""

    def run() -> Any:
        if sys.platform == "linux":
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        return contender()

    return run


@contextmanager
def on_disk() -> Generator[Path, None, None]:
    """A folder for files, gone afterwards: in `$BENCH_DATA`, or else in `results/` here. Raises `Absent` for memory."""
    parent = Path(os.environ.get("BENCH_DATA", RESULTS))
    parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "linux":
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(parent)], capture_output=True, text=True, check=True)
        if kind.stdout.strip() in ("tmpfs", "ramfs"):
            raise Absent(f"expected a folder on a disk in $BENCH_DATA, got {parent}, which is memory")
    with tempfile.TemporaryDirectory(prefix="durable-", dir=parent) as folder:
        yield Path(folder)


def disk_per_s(folder: Path, count: int = 100) -> float:
    """How often per second the disk can be made sure of 4 KiB that were appended: what everything here stands on."""
    page = bytes(4_096)
    file = os.open(folder / f"appended-{time.monotonic_ns()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        since = time.perf_counter()
        for _ in range(count):
            os.write(file, page)
            os.fdatasync(file)
        took = time.perf_counter() - since
        check(os.fstat(file).st_size, count * len(page))
    finally:
        os.close(file)
    return count / took


@contextmanager
def sharing() -> Generator[None, None, None]:
    """A folder for what the first contender makes and the others use; around `compare`."""
    if SHARED in os.environ:
        yield
        return
    with on_disk() as folder:
        os.environ[SHARED] = str(folder)
        yield


def full_store(count: int, state: str) -> Path:
    """A store with so many messages for `worker`, which are waiting, or finished and kept; made by the first who asks.

    Raises `Absent` if it cannot be made.
    """
    path = Path(os.environ[SHARED]) / f"{state}-{count}.db"
    if not path.exists():
        subprocess.run([sys.executable, __file__, str(path), str(count), state], check=True)
    return path


def stored(path: Path, column: str = "count(*)") -> int:
    """So many messages are in the file; or what else one asks of the table, as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute(f"SELECT {column} FROM message").fetchone()[0]
        return found


async def fill(path: Path, count: int, state: str) -> None:
    """Have one message stored as ever, and copy it by hand until there are enough of them."""
    async with durable_system(path, child("worker", Worker, Tally()), runs=state == "finished") as system:
        await system.ref("/bench/worker", Worker).tell(Worker.work, 0, BODY)
        await system.idle()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        execute = connection.execute
        execute("PRAGMA journal_mode = OFF").fetchall()
        execute("PRAGMA synchronous = OFF")
        columns = ", ".join(row[1] for row in execute("PRAGMA table_info(message)") if row[1] != "id")
        execute("BEGIN")
        execute(
            "WITH RECURSIVE more(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < ?)"
            f" INSERT INTO message({columns}) SELECT {columns} FROM more, message WHERE message.id = 1",
            (count,),
        )
        execute("UPDATE mailbox SET depth = (SELECT count(*) FROM message WHERE mailbox = mailbox.id AND state < 2)")
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL").fetchall()
    os.sync()  # or the disk would still be at it while others are measured
    check(stored(path, f"sum(state = {0 if state == 'waiting' else 2})"), count)


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
