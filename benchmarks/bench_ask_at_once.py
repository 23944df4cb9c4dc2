"""How many questions per second are answered when a hundred askers wait at once?"""

import asyncio
from collections.abc import Awaitable, Callable

from beam import erlang
from report import AtLeast, Figures
from subjects import Counter, quiet
from support import Stopwatch, check, compare, on_asyncio, on_uvloop, rate, scaled

ASKERS = 100
EACH = scaled(400)
COUNT = ASKERS * EACH


async def measure(ask: Callable[[int], Awaitable[int]], each: int = EACH) -> Figures:
    async def asker() -> None:
        for _ in range(each):
            await ask(1)

    with Stopwatch() as watch:
        await asyncio.gather(*(asker() for _ in range(ASKERS)))
    check(await ask(0), ASKERS * each)
    return rate(ASKERS * each, watch)


async def upright() -> Figures:
    async with quiet() as system:
        counter = await system.spawn("counter", Counter)
        return await measure(lambda amount: counter.ask(Counter.add, amount))


async def bare() -> Figures:
    from subjects_bare import BareCounter

    counter = BareCounter()
    reader = asyncio.create_task(counter.serve())
    figures = await measure(counter.ask)
    reader.cancel()
    return figures


def pykka() -> Figures:
    from concurrent.futures import ThreadPoolExecutor

    from subjects_pykka import Counter

    counter, each = Counter.start(), max(1, EACH // 4)

    def asker(_: int) -> None:
        for _ in range(each):
            counter.ask(1)

    with ThreadPoolExecutor(ASKERS) as threads, Stopwatch() as watch:
        list(threads.map(asker, range(ASKERS)))
    check(counter.ask(0), ASKERS * each)
    counter.stop()
    return rate(ASKERS * each, watch)


async def actio() -> Figures:
    from actio import ActorSystem
    from subjects_actio import Counter, ask

    system = ActorSystem()
    counter = system.create(Counter())
    figures = await measure(lambda amount: ask(system, counter, amount))
    await system.shutdown()
    return figures


async def xoscar() -> Figures:
    from subjects_xoscar import Counter, xoscar_pool

    async with xoscar_pool() as pool:
        counter = await pool.spawn("counter", Counter)
        return await measure(counter.add)


if __name__ == "__main__":
    compare(
        "ask: replies per second, 100 askers at once",
        {
            "upright": on_asyncio(upright),
            "upright on uvloop": on_uvloop(upright),
            "deque and futures (limit)": on_asyncio(bare),
            "pykka": pykka,
            "actio": on_asyncio(actio),
            "xoscar (no mailbox)": on_asyncio(xoscar),
            "Erlang/OTP": erlang("messages", "ask_at_once", COUNT, ASKERS),
        },
        goals=[
            AtLeast("pykka", 10),
            AtLeast("Erlang/OTP", 0.5),
            AtLeast("Erlang/OTP", 0.7, ours="upright on uvloop"),
        ],
    )
