"""For how long does the event loop stand still while one actor is flooded?

One sender floods, and something else only asks for its turn, again and again; what it waits for each turn is what
every other actor, timer and socket on the loop waits too. The clock is the thread's own, so that a stall is what we
did meanwhile, and not what the machine did.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from report import AtMost, Figures
from subjects import Counter, quiet
from support import Stopwatch, check, compare, on_asyncio, on_uvloop, percentile, rate, scaled

COUNT = scaled(300_000)


async def measure(flood: Coroutine[Any, Any, int]) -> Figures:
    turns: list[float] = []
    flooding = asyncio.create_task(flood)
    with Stopwatch() as watch:
        while not flooding.done():
            began = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - began)
    check(await flooding, COUNT)
    stalls = {"p99_us": percentile(turns, 0.99) * 1e6, "most_us": max(turns) * 1e6}
    return stalls | {"turns": len(turns)} | rate(COUNT, watch)


async def upright() -> Figures:
    async with quiet() as system:
        counter = await system.spawn("counter", Counter)

        async def flood() -> int:
            for _ in range(COUNT):
                await counter.tell(Counter.add, 1)
            return await counter.within(60.0).ask(Counter.add, 0)

        return await measure(flood())


async def asyncio_queue() -> Figures:
    queue: asyncio.Queue[int] = asyncio.Queue(1_000)

    async def serve() -> int:
        total = 0
        while total < COUNT:
            total += await queue.get()
        return total

    async def flood() -> int:
        reader = asyncio.create_task(serve())
        for _ in range(COUNT):
            await queue.put(1)
        return await reader

    return await measure(flood())


async def actio() -> Figures:
    """Its tell never waits and its queue has no bound, so a flood that did not pause would be one single stall."""
    from actio import ActorSystem
    from subjects_actio import Counter, ask

    system = ActorSystem()
    counter = system.create(Counter())

    async def flood() -> int:
        for number in range(COUNT):
            system.tell(counter, 1)
            if number % 1_000 == 0:
                await asyncio.sleep(0)
        return await ask(system, counter, 0)

    figures = await measure(flood())
    await system.shutdown()
    return figures


if __name__ == "__main__":
    compare(
        "fairness: stalls of the loop while one actor is flooded",
        {
            "upright": on_asyncio(upright),
            "upright on uvloop": on_uvloop(upright),
            "asyncio.Queue": on_asyncio(asyncio_queue),
            "actio": on_asyncio(actio),
        },
        figure="p99_us",
        goals=[AtMost("p99_us", 1_000), AtMost("p99_us", 1_000, ours="upright on uvloop")],
    )
