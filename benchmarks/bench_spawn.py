"""How many actors per second come up, and how much memory does one that idles take?"""

import asyncio

from subjects import Counter
from support import Stopwatch, compare, resident_bytes

from upright.actors import ActorSystem

COUNT = 10_000


def upright() -> dict[str, float]:
    async def main() -> dict[str, float]:
        async with ActorSystem(log=None) as system:
            before = resident_bytes()
            with Stopwatch() as watch:
                for number in range(COUNT):
                    await system.spawn(f"counter-{number}", Counter)
            return {"per_s": COUNT / watch.seconds, "bytes_each": (resident_bytes() - before) / COUNT}

    return asyncio.run(main())


def task_and_queue() -> dict[str, float]:
    """The least that one writes by hand: a task that waits on a queue."""

    async def main() -> dict[str, float]:
        async def serve(queue: asyncio.Queue[int]) -> None:
            while await queue.get():
                pass

        before = resident_bytes()
        with Stopwatch() as watch:
            queues = [asyncio.Queue[int]() for _ in range(COUNT)]
            tasks = [asyncio.create_task(serve(queue)) for queue in queues]
            await asyncio.sleep(0)
        figures = {"per_s": COUNT / watch.seconds, "bytes_each": (resident_bytes() - before) / COUNT}
        for task in tasks:
            task.cancel()
        return figures

    return asyncio.run(main())


def pykka() -> dict[str, float]:
    import pykka

    class Peer(pykka.ThreadingActor):
        pass

    before, count = resident_bytes(), COUNT // 10
    with Stopwatch() as watch:
        refs = [Peer.start() for _ in range(count)]
    figures = {"per_s": count / watch.seconds, "bytes_each": (resident_bytes() - before) / count}
    for ref in refs:
        ref.stop(block=False)
    return figures


if __name__ == "__main__":
    compare(
        "spawn: actors per second, and bytes of an idle one",
        {"upright": upright, "task and queue": task_and_queue, "pykka": pykka},
    )
