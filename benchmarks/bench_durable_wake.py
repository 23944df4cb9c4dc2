"""How long after a tell in one process does another process on the same file handle the message?

`p50_ms` and `p99_ms` count from when the tell is made, so they hold its commit and its sync as well; `after_p99_ms`
counts from when it returned, and is less than nothing where the other process was faster than our own answer. Both
processes read the same clock, the system's monotonic one (Linux).
"""

import asyncio
import os
import struct
import time
from pathlib import Path

from durable import BODY, Tally, Worker, durable_system, on_all_cores, on_disk, stored
from report import AtMost, Figures
from support import check, compare, on_asyncio, percentile, scaled

from upright.supervision import child

COUNT = scaled(200)
PAUSE = 0.005
"""Seconds between two messages, so that each finds the other process asleep."""
MOMENT = struct.Struct("=Id")


class Clock(Tally):
    """Notes when each message was handled."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, float] = {}
        self.done = asyncio.Event()

    def add(self, number: int) -> None:
        super().add(number)
        self.at[number] = time.perf_counter()
        if self.count == COUNT:
            self.done.set()


async def handle(path: Path, answers: int) -> None:
    """What the other process does: say that it is there, handle all, and say when it handled which."""
    clock = Clock()
    async with durable_system(path, child("worker", Worker, clock)) as system:
        os.write(answers, b"!")
        await clock.done.wait()
        await system.idle()
    clock.check(COUNT)
    os.write(answers, b"".join(MOMENT.pack(number, at) for number, at in clock.at.items()))


async def produce(path: Path) -> list[tuple[float, float]]:
    """Tell all, one after the other; when each tell was made, and when it returned."""
    async with durable_system(path, child("worker", Worker, Tally()), runs=False) as system:
        worker = system.ref("/bench/worker", Worker)
        told: list[tuple[float, float]] = []
        for number in range(COUNT):
            await asyncio.sleep(PAUSE)
            since = time.perf_counter()
            await worker.tell(Worker.work, number, BODY)
            told.append((since, time.perf_counter()))
    return told


def two_processes() -> Figures:
    with on_disk() as folder:
        path = folder / "store.db"
        read, write = os.pipe()
        other = os.fork()
        if not other:
            code = 1
            try:
                asyncio.run(handle(path, write))
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        check(os.read(read, 1), b"!")
        told = asyncio.run(produce(path))
        with os.fdopen(read, "rb") as answers:
            handled: dict[int, float] = dict(MOMENT.iter_unpack(answers.read()))
        check(os.waitpid(other, 0)[1], 0)
        check(stored(path, "sum(state = 2)"), COUNT)
    check(sorted(handled), list(range(COUNT)))
    return delays(told, handled)


async def one_process() -> Figures:
    clock, told = Clock(), list[tuple[float, float]]()
    with on_disk() as folder:
        async with durable_system(folder / "store.db", child("worker", Worker, clock)) as system:
            worker = system.ref("/bench/worker", Worker)
            for number in range(COUNT):
                await asyncio.sleep(PAUSE)
                since = time.perf_counter()
                await worker.tell(Worker.work, number, BODY)
                told.append((since, time.perf_counter()))
            await system.idle()
    clock.check(COUNT)
    return delays(told, clock.at)


def delays(told: list[tuple[float, float]], handled: dict[int, float]) -> Figures:
    took = [(handled[number] - since) * 1e3 for number, (since, _) in enumerate(told)]
    after = [(handled[number] - returned) * 1e3 for number, (_, returned) in enumerate(told)]
    return {
        "p99_ms": percentile(took, 0.99),
        "p50_ms": percentile(took, 0.5),
        "after_p50_ms": percentile(after, 0.5),
        "after_p99_ms": percentile(after, 0.99),
    }


if __name__ == "__main__":
    compare(
        "durable wake-up: from a tell in one process until another process handles it",
        {"upright": on_all_cores(two_processes), "upright, one process": on_all_cores(on_asyncio(one_process))},
        figure="p99_ms",
        goals=[AtMost("after_p99_ms", 10)],
    )
