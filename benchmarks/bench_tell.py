"""How many messages per second does one sender get through one bounded mailbox?"""

import asyncio
from collections import deque

from beam import erlang
from report import AtLeast, Figures
from subjects import Counter, quiet
from support import Stopwatch, check, compare, in_python, on_asyncio, on_uvloop, rate, scaled

COUNT = scaled(100_000)
FEW = COUNT // 5
"""For the slower ones."""


async def upright() -> Figures:
    async with quiet() as system:
        counter = await system.spawn("counter", Counter)
        with Stopwatch() as watch:
            for _ in range(COUNT):
                await counter.tell(Counter.add, 1)
            total = await counter.within(60.0).ask(Counter.add, 0)
    check(total, COUNT)
    return rate(COUNT, watch)


async def bounded_deque() -> Figures:
    """The raw limit: a bounded deque, one future, an awaited handler."""
    loop, queue, total = asyncio.get_running_loop(), deque[int](), 0
    filled, emptied = loop.create_future(), loop.create_future()

    async def add(amount: int) -> None:
        nonlocal total
        total += amount

    async def serve() -> None:
        nonlocal filled, emptied
        while total < COUNT:
            if not queue:
                filled = loop.create_future()
                await filled
            while queue:
                await add(queue.popleft())
            if not emptied.done():
                emptied.set_result(None)

    with Stopwatch() as watch:
        reader = asyncio.create_task(serve())
        await asyncio.sleep(0)
        for _ in range(COUNT):
            if len(queue) >= 1_000:
                emptied = loop.create_future()
                await emptied
            queue.append(1)
            if not filled.done():
                filled.set_result(None)
        await reader
    check(total, COUNT)
    return rate(COUNT, watch)


async def asyncio_queue() -> Figures:
    queue: asyncio.Queue[int] = asyncio.Queue(1_000)

    async def serve() -> int:
        total = 0
        while total < COUNT:
            total += await queue.get()
        return total

    with Stopwatch() as watch:
        reader = asyncio.create_task(serve())
        for _ in range(COUNT):
            await queue.put(1)
        total = await reader
    check(total, COUNT)
    return rate(COUNT, watch)


def pykka() -> Figures:
    from subjects_pykka import Counter

    counter = Counter.start()
    with Stopwatch() as watch:
        for _ in range(COUNT):
            counter.tell(1)
        total = counter.ask(0)
    counter.stop()
    check(total, COUNT)
    return rate(COUNT, watch)


def thespian() -> Figures:
    from subjects_thespian import Counter, thespian_system

    with thespian_system() as system:
        counter = system.createActor(Counter)
        with Stopwatch() as watch:
            for _ in range(FEW):
                system.tell(counter, 1)
            total = system.ask(counter, (0,))
    check(total, FEW)
    return rate(FEW, watch)


async def actio() -> Figures:
    from actio import ActorSystem
    from subjects_actio import Counter, ask

    system = ActorSystem()
    counter = system.create(Counter())
    with Stopwatch() as watch:
        for _ in range(FEW):
            system.tell(counter, 1)
        total = await ask(system, counter, 0)
    await system.shutdown()
    check(total, FEW)
    return rate(FEW, watch)


async def xoscar() -> Figures:
    from subjects_xoscar import Counter, xoscar_pool

    async with xoscar_pool() as pool:
        counter = await pool.spawn("counter", Counter)
        with Stopwatch() as watch:
            for _ in range(FEW):
                await counter.add.tell(1)
            total = await counter.add(0)
    check(total, FEW)
    return rate(FEW, watch)


if __name__ == "__main__":
    compare(
        "tell: messages per second, one sender",
        {
            "upright": on_asyncio(upright),
            "upright on uvloop": on_uvloop(upright),
            "upright, in Python": in_python(on_asyncio(upright)),
            "bounded deque (limit)": on_asyncio(bounded_deque),
            "asyncio.Queue": on_asyncio(asyncio_queue),
            "pykka": pykka,
            "thespian": thespian,
            "actio": on_asyncio(actio),
            "xoscar": on_asyncio(xoscar),
            "Erlang/OTP": erlang("messages", "tell", COUNT),
        },
        goals=[AtLeast("pykka", 4), AtLeast("bounded deque (limit)", 0.5), AtLeast("Erlang/OTP", 0.33)],
    )
