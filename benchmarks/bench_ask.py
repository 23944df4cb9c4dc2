"""How many questions per second are answered, one after another, and how long does one take?"""

import time
from collections.abc import Callable
from functools import partial

from asking import Ask, actio, bare, upright, xoscar
from beam import erlang
from report import AtLeast, Figures
from support import Stopwatch, check, compare, latencies, on_asyncio, on_uvloop, rate, scaled

COUNT = scaled(20_000)


async def measure(ask: Ask) -> Figures:
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


if __name__ == "__main__":
    compare(
        "ask: replies per second, one after another",
        {
            "upright": on_asyncio(partial(upright, measure)),
            "upright on uvloop": on_uvloop(partial(upright, measure)),
            "deque and futures (limit)": on_asyncio(partial(bare, measure)),
            "pykka": pykka,
            "thespian": thespian,
            "actio": on_asyncio(partial(actio, measure)),
            "actio on uvloop": on_uvloop(partial(actio, measure)),
            "xoscar (no mailbox)": on_asyncio(partial(xoscar, measure)),
            "Erlang/OTP": erlang("messages", "ask", COUNT),
        },
        goals=[
            AtLeast("actio", 2, ours="upright on uvloop"),
            AtLeast("actio on uvloop", 2, ours="upright on uvloop"),
        ],
    )
