"""With a million messages stored: how long from a start until the first is handled, and how much memory does it take?

The file was put out of the system's cache before. "After a kill" starts beside what a process left behind that was
killed while it worked: its claims, its write-ahead log, the marks of what it had in hand.
"""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from durable import Tally, Worker, durable_system, full_store, on_all_cores, sharing, stored
from report import AtMost, Figures
from support import check, compare, on_asyncio, scaled

from upright.persistence.sqlite_schema import CLAIMED, DONE
from upright.supervision import child

COUNT = scaled(1_000_000)
BEFORE = 1_000
"""How many the process that is killed has handled by then."""


class First(Tally):
    """Notes when the first message is handled, and what memory was taken by then."""

    def __init__(self) -> None:
        super().__init__()
        self.done = asyncio.Event()
        self.at, self.peak = 0.0, 0.0

    def add(self, number: int) -> None:
        if not self.count:
            self.at, self.peak = time.perf_counter(), peak_mb()
        self.count += 1
        if self.count >= 10:
            self.done.set()


class Last(Tally):
    """Kills the process in one of its messages, before it is acknowledged."""

    def add(self, number: int) -> None:
        self.count += 1
        if self.count == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)


def after_a_kill() -> Figures:
    path = cold()
    done = stored(path, f"sum(state = {DONE})")
    other = os.fork()
    if not other:
        asyncio.run(work_until_killed())
        os._exit(0)
    check(os.WTERMSIG(os.waitpid(other, 0)[1]), signal.SIGKILL)
    check(stored(path, f"sum(state = {CLAIMED}) > 0"), True)
    check(stored(path, f"sum(state = {DONE})") - done < BEFORE, True)
    return on_asyncio(start)()


async def start() -> Figures:
    path, first = cold(), First()
    done = stored(path, f"sum(state = {DONE})")
    since = time.perf_counter()
    async with durable_system(path, child("worker", Worker, first)):
        await first.done.wait()
    check(stored(path, f"sum(state = {CLAIMED})"), 0)
    check(stored(path, f"sum(state = {DONE})") - done, first.count)
    check(stored(path), COUNT)
    return {"first_ms": (first.at - since) * 1e3, "peak_mb": first.peak}


async def work_until_killed() -> None:
    async with durable_system(full_store(COUNT, "waiting"), child("worker", Worker, Last())):
        await asyncio.sleep(60)


def sqlite() -> Figures:
    """The raw limit: open the file and find the oldest message."""
    path = cold()
    since = time.perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT id, body FROM message WHERE mailbox = 1 AND state = 0 ORDER BY priority DESC, due, id LIMIT 1"
        ).fetchone()
        took = time.perf_counter() - since
    check(bool(found), True)
    return {"first_ms": took * 1e3, "peak_mb": peak_mb()}


def cold() -> Path:
    """The store, of which nothing is in the system's cache any more."""
    path = full_store(COUNT, "waiting")
    if sys.platform == "linux":
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
    return path


def peak_mb() -> float:
    """The most memory that this process has had, in megabytes (Linux)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1_024 / 1e6


if __name__ == "__main__":
    with sharing():
        compare(
            f"durable recovery: first of {COUNT:,} stored messages handled after a start",
            {
                "upright": on_all_cores(on_asyncio(start)),
                "upright, after a kill": on_all_cores(after_a_kill),
                "sqlite3 (limit)": on_all_cores(sqlite),
            },
            figure="first_ms",
            goals=[
                AtMost("first_ms", 1_000),
                AtMost("first_ms", 1_000, ours="upright, after a kill"),
                AtMost("peak_mb", 200),
                AtMost("peak_mb", 200, ours="upright, after a kill"),
            ],
        )
