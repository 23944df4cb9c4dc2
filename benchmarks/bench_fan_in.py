"""How many messages per second does one bounded mailbox take from a hundred senders at once?"""

import asyncio

from beam import erlang
from report import AtLeast, Figures
from subjects import Counter, quiet
from support import Stopwatch, check, compare, on_asyncio, on_uvloop, rate, scaled

SENDERS = 100
EACH = scaled(1_000)
FEW = scaled(200)
"""For the slower ones."""
COUNT = SENDERS * EACH


async def upright() -> Figures:
    async with quiet() as system:
        counter = await system.spawn("counter", Counter)

        async def send() -> None:
            for _ in range(EACH):
                await counter.tell(Counter.add, 1)

        with Stopwatch() as watch:
            await asyncio.gather(*(send() for _ in range(SENDERS)))
            total = await counter.within(60.0).ask(Counter.add, 0)
    check(total, COUNT)
    return rate(COUNT, watch)


async def asyncio_queue() -> Figures:
    queue: asyncio.Queue[int] = asyncio.Queue(1_000)

    async def send() -> None:
        for _ in range(EACH):
            await queue.put(1)

    async def serve() -> int:
        total = 0
        while total < COUNT:
            total += await queue.get()
        return total

    with Stopwatch() as watch:
        total, *_ = await asyncio.gather(serve(), *(send() for _ in range(SENDERS)))
    check(total, COUNT)
    return rate(COUNT, watch)


def pykka() -> Figures:
    from concurrent.futures import ThreadPoolExecutor

    from subjects_pykka import Counter

    counter = Counter.start()

    def send(_: int) -> None:
        for _ in range(EACH):
            counter.tell(1)

    with ThreadPoolExecutor(SENDERS) as threads, Stopwatch() as watch:
        list(threads.map(send, range(SENDERS)))
        total = counter.ask(0)
    counter.stop()
    check(total, COUNT)
    return rate(COUNT, watch)


async def actio() -> Figures:
    """Its tell never waits, so each sender is done in one turn of the loop."""
    from actio import ActorSystem
    from subjects_actio import Counter, ask

    system = ActorSystem()
    counter = system.create(Counter())

    async def send() -> None:
        for _ in range(FEW):
            system.tell(counter, 1)

    with Stopwatch() as watch:
        await asyncio.gather(*(send() for _ in range(SENDERS)))
        total = await ask(system, counter, 0)
    await system.shutdown()
    check(total, SENDERS * FEW)
    return rate(SENDERS * FEW, watch)


async def xoscar() -> Figures:
    from subjects_xoscar import Counter, xoscar_pool

    async with xoscar_pool() as pool:
        counter = await pool.spawn("counter", Counter)

        async def send() -> None:
            for _ in range(FEW):
                await counter.add.tell(1)

        with Stopwatch() as watch:
            await asyncio.gather(*(send() for _ in range(SENDERS)))
            total = await counter.add(0)
    check(total, SENDERS * FEW)
    return rate(SENDERS * FEW, watch)


if __name__ == "__main__":
    compare(
        "fan-in: messages per second, 100 senders",
        {
            "upright": on_asyncio(upright),
            "upright on uvloop": on_uvloop(upright),
            "asyncio.Queue": on_asyncio(asyncio_queue),
            "pykka": pykka,
            "actio": on_asyncio(actio),
            "xoscar": on_asyncio(xoscar),
            "Erlang/OTP": erlang("messages", "fan_in", COUNT, SENDERS),
        },
        goals=[AtLeast("pykka", 4), AtLeast("Erlang/OTP", 1)],
    )
