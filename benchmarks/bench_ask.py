"""How many questions per second are answered, when a hundred askers wait at once?"""

import asyncio

from subjects import Counter
from support import Stopwatch, compare

from upright.actors import ActorSystem

COUNT, ASKERS = 50_000, 100


async def measure() -> float:
    async with ActorSystem(log=None) as system:
        counter = await system.spawn("counter", Counter)

        async def ask() -> None:
            for _ in range(COUNT // ASKERS):
                await counter.ask(Counter.add, 1)

        with Stopwatch() as watch:
            await asyncio.gather(*(ask() for _ in range(ASKERS)))
        return COUNT / watch.seconds


def upright() -> dict[str, float]:
    return {"per_s": asyncio.run(measure())}


def upright_uvloop() -> dict[str, float]:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return {"per_s": runner.run(measure())}


def pykka() -> dict[str, float]:
    from concurrent.futures import ThreadPoolExecutor

    import pykka

    class Peer(pykka.ThreadingActor):
        def on_receive(self, message: int) -> int:
            return message

    ref = Peer.start()

    def ask(_: int) -> None:
        for _ in range(COUNT // ASKERS):
            ref.ask(1)

    with ThreadPoolExecutor(ASKERS) as threads, Stopwatch() as watch:
        list(threads.map(ask, range(ASKERS)))
    ref.stop()
    return {"per_s": COUNT / watch.seconds}


if __name__ == "__main__":
    compare(
        "ask: replies per second, 100 askers",
        {"upright": upright, "upright on uvloop": upright_uvloop, "pykka": pykka},
    )
