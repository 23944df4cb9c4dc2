"""Actors come up one after another until there are many: the work of two questions.

An actor is up when it would answer; afterwards each hundredth is asked whether it does. Memory is what the process
grew by.
"""

import asyncio
from typing import Any

from report import Figures
from subjects import Counter, quiet
from support import Stopwatch, check, rate, resident_bytes

from upright.actors import Ref
from upright.supervision import DynamicSupervisor, child, dynamic

EVERY = 100


async def upright(count: int) -> Figures:
    """Below the root, which restarts them when they crash. The loop's end is theirs: to stop is another question."""
    system = await quiet().start()
    before = resident_bytes()
    with Stopwatch() as watch:
        for number in range(count):
            await system.spawn(f"counter-{number}", Counter)
    figures = up(count, watch, before)
    await answer([system.ref(f"/counter-{number}", Counter) for number in range(0, count, EVERY)])
    return figures


async def supervised(count: int) -> Figures:
    """Below a dynamic supervisor, which is asked for each of them, and keeps their specs."""
    system = await quiet(dynamic("top")).start()
    top = system.ref("/top", DynamicSupervisor)
    before = resident_bytes()
    with Stopwatch() as watch:
        for number in range(count):
            await top.ask(DynamicSupervisor.start_child, child(f"counter-{number}", Counter))
    figures = up(count, watch, before)
    await answer([system.ref(f"/top/counter-{number}", Counter) for number in range(0, count, EVERY)])
    return figures


async def answer(refs: list[Ref[Counter]]) -> None:
    for ref in refs:
        check(await ref.ask(Counter.add, 1), 1)


async def task_and_queue(count: int) -> Figures:
    """The least that one writes by hand."""

    async def serve(queue: asyncio.Queue[asyncio.Future[int]]) -> None:
        while True:
            (await queue.get()).set_result(1)

    before = resident_bytes()
    with Stopwatch() as watch:
        queues = [asyncio.Queue[asyncio.Future[int]]() for _ in range(count)]
        tasks = [asyncio.create_task(serve(queue)) for queue in queues]
        await asyncio.sleep(0)
    figures = up(count, watch, before)
    for queue in queues[::EVERY]:
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        queue.put_nowait(reply)
        check(await reply, 1)
    for task in tasks:
        task.cancel()
    return figures


def pykka(count: int) -> Figures:
    from subjects_pykka import Counter

    before = resident_bytes()
    with Stopwatch() as watch:
        refs = [Counter.start() for _ in range(count)]
    figures = up(count, watch, before)
    check([ref.ask(1) for ref in refs[::EVERY]], [1] * len(refs[::EVERY]))
    for ref in refs:
        ref.stop(block=False)
    return figures


def thespian(count: int) -> Figures:
    from subjects_thespian import Counter, thespian_system

    with thespian_system() as system:
        before = resident_bytes()
        with Stopwatch() as watch:
            refs: list[Any] = [system.createActor(Counter) for _ in range(count)]
        figures = up(count, watch, before)
        check([system.ask(ref, (1,)) for ref in refs[::EVERY]], [1] * len(refs[::EVERY]))
    return figures


async def actio(count: int) -> Figures:
    from actio import ActorSystem
    from subjects_actio import Counter, ask

    system = ActorSystem()
    before = resident_bytes()
    with Stopwatch() as watch:
        refs: list[Any] = [system.create(Counter()) for _ in range(count)]
        await ask(system, refs[-1], 1)
    figures = up(count, watch, before)
    for ref in refs[:-1:EVERY]:
        check(await ask(system, ref, 1), 1)
    await system.shutdown()
    return figures


async def xoscar(count: int) -> Figures:
    from subjects_xoscar import Counter, xoscar_pool

    async with xoscar_pool() as pool:
        before = resident_bytes()
        with Stopwatch() as watch:
            refs: list[Any] = [await pool.spawn(f"counter-{number}", Counter) for number in range(count)]
        figures = up(count, watch, before)
        for ref in refs[::EVERY]:
            check(await ref.add(1), 1)
    return figures


def up(count: int, watch: Stopwatch, before: int) -> Figures:
    """So many came up in that time, and took so much memory each."""
    return rate(count, watch) | {"bytes_each": (resident_bytes() - before) / count}
