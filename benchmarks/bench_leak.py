"""Does memory stay flat over messages, restarts, and asks that time out?

Each contender warms up with a tenth of its work, and then tells by how much the process has grown over all of it. The
count of allocated blocks is exact: a single object that is left behind each time shows as one block each. `--scale 10`
does 10⁷ messages, 10⁵ restarts and 10⁵ asks.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from report import AtMost, Figures
from subjects import Counter, Crasher, quiet
from support import check, compare, on_asyncio, resident_bytes, scaled

from upright.actors import Actor, AskTimedOut, Ref
from upright.supervision import child, supervisor

MESSAGES, RESTARTS = scaled(1_000_000), scaled(10_000)
AT_ONCE = 100
ASKS = AT_ONCE * scaled(100)


class Doorkeeper(Actor):
    """Lets messages wait until a future is done."""

    def __init__(self) -> None:
        self.handled = 0

    async def hold(self, opened: asyncio.Future[None]) -> None:
        await opened

    async def knock(self) -> int:
        self.handled += 1
        return self.handled


async def growth(count: int, work: Callable[[int], Awaitable[None]]) -> Figures:
    """How much it leaves behind when it does so many of them, after a first tenth."""
    await work(count // 10)
    resident, blocks = resident_bytes(), sys.getallocatedblocks()
    await work(count)
    kilobytes = (resident_bytes() - resident) / 1_000
    return {"grown_kb": kilobytes, "grown_blocks": sys.getallocatedblocks() - blocks, "count": count}


async def messages() -> Figures:
    async with quiet() as system:
        counter = await system.spawn("counter", Counter)

        async def work(count: int) -> None:
            for _ in range(count):
                await counter.tell(Counter.add, 1)
            await counter.within(60.0).ask(Counter.add, 0)

        figures = await growth(MESSAGES, work)
        check(await counter.ask(Counter.add, 0), MESSAGES + MESSAGES // 10)
        return figures


async def restarts() -> Figures:
    up, starts = asyncio.Event(), 0

    def came_up() -> None:
        nonlocal starts
        starts += 1
        up.set()

    tree = supervisor("top", child("crasher", Crasher, came_up), max_restarts=1_000_000, within=0.01)
    async with quiet(tree) as system:
        crasher = system.ref("/top/crasher", Crasher)

        async def work(count: int) -> None:
            for _ in range(count):
                up.clear()
                await crasher.tell(Crasher.crash)
                await up.wait()

        figures = await growth(RESTARTS, work)
    check(starts, 1 + RESTARTS + RESTARTS // 10)
    return figures


async def timed_out_asks() -> Figures:
    """Asks to an actor that is busy until all of them have been given up."""
    async with quiet() as system:
        doorkeeper = await system.spawn("doorkeeper", Doorkeeper)
        expired = 0

        async def ask(ref: Ref[Doorkeeper]) -> None:
            nonlocal expired
            try:
                await ref.ask(Doorkeeper.knock)
            except AskTimedOut:
                expired += 1

        async def work(count: int) -> None:
            for _ in range(count // AT_ONCE):
                opened = asyncio.get_running_loop().create_future()
                await doorkeeper.tell(Doorkeeper.hold, opened)
                await asyncio.gather(*(ask(doorkeeper.within(0.01)) for _ in range(AT_ONCE)))
                opened.set_result(None)
                await system.idle()

        figures = await growth(ASKS, work)
        check(await doorkeeper.ask(Doorkeeper.knock), 1)
    check(expired, AT_ONCE * (ASKS // AT_ONCE + ASKS // 10 // AT_ONCE))
    return figures


CONTENDERS = {
    "messages": on_asyncio(messages),
    "restarts": on_asyncio(restarts),
    "asks that time out": on_asyncio(timed_out_asks),
}

if __name__ == "__main__":
    compare(
        "leak: growth of the process over messages, restarts, and asks that time out",
        CONTENDERS,
        figure="grown_blocks",
        ours=None,
        goals=[AtMost("grown_blocks", 1_000, ours=name) for name in CONTENDERS]
        + [AtMost("grown_kb", 1_000, ours=name) for name in CONTENDERS],
    )
