"""How many questions per second are answered when a hundred askers wait at once?"""

import asyncio
from functools import partial

from asking import Ask, actio, bare, upright, xoscar
from beam import erlang
from report import AtLeast, Figures
from support import Stopwatch, check, compare, in_python, on_asyncio, on_uvloop, rate, scaled

ASKERS = 100
EACH = scaled(400)
COUNT = ASKERS * EACH


async def measure(ask: Ask) -> Figures:
    async def asker() -> None:
        for _ in range(EACH):
            await ask(1)

    with Stopwatch() as watch:
        await asyncio.gather(*(asker() for _ in range(ASKERS)))
    check(await ask(0), COUNT)
    return rate(COUNT, watch)


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


if __name__ == "__main__":
    compare(
        "ask: replies per second, 100 askers at once",
        {
            "upright": on_asyncio(partial(upright, measure)),
            "upright on uvloop": on_uvloop(partial(upright, measure)),
            "upright, in Python": in_python(on_asyncio(partial(upright, measure))),
            "deque and futures (limit)": on_asyncio(partial(bare, measure)),
            "pykka": pykka,
            "actio": on_asyncio(partial(actio, measure)),
            "xoscar (no mailbox)": on_asyncio(partial(xoscar, measure)),
            "Erlang/OTP": erlang("messages", "ask_at_once", COUNT, ASKERS),
        },
        goals=[
            AtLeast("pykka", 10),
            AtLeast("Erlang/OTP", 0.5),
            AtLeast("Erlang/OTP", 0.7, ours="upright on uvloop"),
        ],
    )
