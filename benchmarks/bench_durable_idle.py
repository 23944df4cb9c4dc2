"""What do a thousand durable actors cost that have nothing to do?

Counted are this process and those that it started. `wakes_per_s` tells how often any thread of them woke up, so here
it is a cost, whatever its name says.
"""

import asyncio
import os
import time
from pathlib import Path

from durable import Tally, Worker, durable_system, on_all_cores, on_disk, worker_at
from report import AtMost, Figures
from subjects import Counter, quiet
from support import check, compare, on_asyncio

from upright.supervision import child, supervisor

ACTORS = 1_000
SETTLE, SECONDS = 8.0, 8.0
"""A store that has just been written to is swept soon, and then ever more seldom, to once in half a minute."""
TICK = os.sysconf("SC_CLK_TCK")


async def upright() -> Figures:
    tally = Tally()
    children = [child(f"worker-{number}", worker_at(number), tally) for number in range(ACTORS)]
    with on_disk() as folder:
        async with durable_system(folder / "store.db", *children) as system:
            for number in range(ACTORS):  # each has had a message, and so is fully there
                ref = system.ref(f"/bench/worker-{number}", Worker)
                await ref.tell(Worker.work, number, b"")
            await system.idle()
            found = await spent(SETTLE)
    tally.check(ACTORS)
    return found


async def in_memory() -> Figures:
    children = [child(f"counter-{number}", Counter) for number in range(ACTORS)]
    async with quiet(supervisor("bench", *children)) as system:
        for number in range(ACTORS):
            check(await system.ref(f"/bench/counter-{number}", Counter).ask(Counter.add, 1), 1)
        return await spent()


async def nothing() -> Figures:
    return await spent()


async def spent(settle: float = 0.5) -> Figures:
    """What processor time goes while nothing happens. The clock of the system's own figures is too coarse for us."""
    await asyncio.sleep(settle)
    before, since = (processor_ns(), wakes()), time.perf_counter()
    await asyncio.sleep(SECONDS)
    took = time.perf_counter() - since
    return {
        "cpu_percent": (processor_ns() - before[0]) / 1e9 / took * 100,
        "wakes_per_s": (wakes() - before[1]) / took,
    }


def threads() -> list[Path]:
    """All threads of this process and of its children, as folders of /proc."""
    mine = list(Path("/proc/self/task").iterdir())
    children = [pid for thread in mine for pid in (thread / "children").read_text().split()]
    return mine + [thread for pid in children for thread in Path(f"/proc/{pid}/task").iterdir()]


def processor_ns() -> int:
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads())


def wakes() -> int:
    lines = [line for thread in threads() for line in (thread / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


if __name__ == "__main__":
    compare(
        f"durable idle: share of one core that {ACTORS:,} idle actors take",
        {
            "upright": on_all_cores(on_asyncio(upright)),
            "upright, in memory": on_all_cores(on_asyncio(in_memory)),
            "asyncio (limit)": on_all_cores(on_asyncio(nothing)),
        },
        figure="cpu_percent",
        goals=[AtMost("cpu_percent", 0.5)],
    )
