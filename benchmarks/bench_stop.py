"""How long does it take to stop one idle actor and to know that it has ended?"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from beam import erlang
from report import Figures
from subjects import Counter, quiet
from support import check, compare, latencies, on_asyncio, on_uvloop, scaled

COUNT = scaled(1_000)
A = TypeVar("A")


async def measure(actors: Sequence[A], stop: Callable[[A], Awaitable[object]]) -> Figures:
    took: list[float] = []
    for actor in actors:
        began = time.perf_counter()
        await stop(actor)
        took.append(time.perf_counter() - began)
    return latencies(took)


async def upright() -> Figures:
    async with quiet() as system:
        idle = len(system.tree().children)
        refs = [await system.spawn(f"counter-{number}", Counter) for number in range(COUNT)]
        figures = await measure(refs, system.end)
        check(len(system.tree().children), idle)
        return figures


async def cancelled_task() -> Figures:
    """The least: a task that is cancelled and awaited."""

    async def cancel(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait({task})

    tasks = [asyncio.create_task(asyncio.sleep(3_600)) for _ in range(COUNT)]
    await asyncio.sleep(0)
    figures = await measure(tasks, cancel)
    check(all(task.cancelled() for task in tasks), True)
    return figures


def pykka() -> Figures:
    from subjects_pykka import Counter

    took: list[float] = []
    refs = [Counter.start() for _ in range(COUNT)]
    for ref in refs:
        began = time.perf_counter()
        ref.stop(block=True)
        took.append(time.perf_counter() - began)
    check([ref for ref in refs if ref.is_alive()], [])
    return latencies(took)


async def actio() -> Figures:
    from actio import ActorSystem
    from subjects_actio import Counter

    system = ActorSystem()
    actors = [Counter() for _ in range(COUNT)]
    for actor in actors:
        system.create(actor)
    await asyncio.sleep(0)

    async def stop(actor: Any) -> None:
        ended = actor._context.is_stopped  # no public name for it
        actor.stop()
        await ended.wait()

    figures = await measure(actors, stop)
    check([actor for actor in actors if system.get_actor_instance(actor.actor_ref)], [])
    return figures


async def xoscar() -> Figures:
    from subjects_xoscar import Counter, xoscar_pool

    async with xoscar_pool() as pool:
        refs = [await pool.spawn(f"counter-{number}", Counter) for number in range(COUNT)]
        figures = await measure(refs, pool.destroy)
        check([ref for ref in refs if await pool.has(ref)], [])
    return figures


if __name__ == "__main__":
    compare(
        "stop: one idle actor, until it is known to have ended",
        {
            "upright": on_asyncio(upright),
            "upright on uvloop": on_uvloop(upright),
            "cancelled task (limit)": on_asyncio(cancelled_task),
            "pykka": pykka,
            "actio": on_asyncio(actio),
            "xoscar": on_asyncio(xoscar),
            "Erlang/OTP": erlang("lives", "stop", COUNT),
        },
        figure="p50_us",
    )
