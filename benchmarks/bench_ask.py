"""How many questions per second are answered, one after another, and how long does one take?"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from beam import erlang
from report import AtLeast, Figures
from subjects import Counter, quiet
from support import Stopwatch, check, compare, latencies, on_asyncio, on_uvloop, rate, scaled

COUNT = scaled(20_000)


async def measure(ask: Callable[[int], Awaitable[int]]) -> Figures:
    took: list[float] = []
    with Stopwatch() as watch:
        for _ in range(COUNT):
            began = time.perf_counter()
            await ask(1)
            took.append(time.perf_counter() - began)
    check(await ask(0), COUNT)
    return rate(COUNT, watch) | latencies(took)


def measure_blocking(ask: Callable[[int], int]) -> Figures:
    took: list[float] = []
    with Stopwatch() as watch:
        for _ in range(COUNT):
            began = time.perf_counter()
            ask(1)
            took.append(time.perf_counter() - began)
    check(ask(0), COUNT)
    return rate(COUNT, watch) | latencies(took)


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
    from subjects_pykka import Counter

    counter = Counter.start()
    figures = measure_blocking(lambda amount: counter.ask(amount, block=True))
    counter.stop()
    return figures


def thespian() -> Figures:
    from subjects_thespian import Counter, thespian_system

    with thespian_system() as system:
        counter = system.createActor(Counter)
        return measure_blocking(lambda amount: system.ask(counter, (amount,)))


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
        "ask: replies per second, one after another",
        {
            "upright": on_asyncio(upright),
            "upright on uvloop": on_uvloop(upright),
            "deque and futures (limit)": on_asyncio(bare),
            "pykka": pykka,
            "thespian": thespian,
            "actio": on_asyncio(actio),
            "actio on uvloop": on_uvloop(actio),
            "xoscar (no mailbox)": on_asyncio(xoscar),
            "Erlang/OTP": erlang("messages", "ask", COUNT),
        },
        goals=[
            AtLeast("actio", 2, ours="upright on uvloop"),
            AtLeast("actio on uvloop", 2, ours="upright on uvloop"),
        ],
    )
