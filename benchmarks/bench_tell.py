"""How many messages per second does one sender get through one bounded mailbox?"""

import asyncio
from collections import deque

from subjects import Counter
from support import Stopwatch, compare

from upright.actors import ActorSystem

COUNT = 300_000


def upright() -> dict[str, float]:
    async def main() -> float:
        async with ActorSystem(log=None) as system:
            counter = await system.spawn("counter", Counter)
            with Stopwatch() as watch:
                for _ in range(COUNT):
                    await counter.tell(Counter.add, 1)
                total = await counter.within(60.0).ask(Counter.add, 0)
            assert total == COUNT
            return COUNT / watch.seconds

    return {"per_s": asyncio.run(main())}


def bounded_deque() -> dict[str, float]:
    """The raw limit: a bounded deque, one future, an awaited handler."""

    class Handler:
        total = 0

        async def add(self, amount: int) -> int:
            self.total += amount
            return self.total

    async def main() -> float:
        loop, queue, handler = asyncio.get_running_loop(), deque[int](), Handler()
        filled, emptied = loop.create_future(), loop.create_future()

        async def serve() -> None:
            nonlocal filled, emptied
            while handler.total < COUNT:
                if not queue:
                    filled = loop.create_future()
                    await filled
                while queue:
                    await handler.add(queue.popleft())
                if not emptied.done():
                    emptied.set_result(None)

        with Stopwatch() as watch:
            task = asyncio.create_task(serve())
            await asyncio.sleep(0)
            for _ in range(COUNT):
                if len(queue) >= 1_000:
                    emptied = loop.create_future()
                    await emptied
                queue.append(1)
                if not filled.done():
                    filled.set_result(None)
            await task
        return COUNT / watch.seconds

    return {"per_s": asyncio.run(main())}


def asyncio_queue() -> dict[str, float]:
    async def main() -> float:
        queue: asyncio.Queue[int] = asyncio.Queue(1_000)

        async def serve() -> None:
            for _ in range(COUNT):
                await queue.get()

        with Stopwatch() as watch:
            task = asyncio.create_task(serve())
            for _ in range(COUNT):
                await queue.put(1)
            await task
        return COUNT / watch.seconds

    return {"per_s": asyncio.run(main())}


def pykka() -> dict[str, float]:
    import pykka

    class Peer(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        def on_receive(self, message: int) -> int:
            self.total += message
            return self.total

    ref = Peer.start()
    with Stopwatch() as watch:
        for _ in range(COUNT):
            ref.tell(1)
        assert ref.ask(0) == COUNT
    ref.stop()
    return {"per_s": COUNT / watch.seconds}


if __name__ == "__main__":
    compare(
        "tell: messages per second, one sender",
        {"upright": upright, "bounded deque (limit)": bounded_deque, "asyncio.Queue": asyncio_queue, "pykka": pykka},
    )
