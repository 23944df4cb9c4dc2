"""How many bytes does an idle actor take, of each kind, and how many when it has had a message?

The process is measured before and after many of them have come up. Classes, tables and the loop are there before.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from durable import Tally, durable_system, on_disk, worker_at
from report import AtMost, Figures
from subjects import Counter, quiet
from support import check, compare, on_asyncio, resident_bytes, scaled

from upright.actors import Actor, ActorSystem, Ref
from upright.actors.exits import Exit
from upright.persistence import Durable, Sqlite, entities
from upright.supervision import DynamicSupervisor, child, dynamic, pool, supervisor

COUNT = scaled(10_000)
FEW = COUNT // 10
"""Of those that have a store, or a task, of their own."""


class Ceremonious(Counter):
    """Has a `stopping()`, and so a task for as long as it lives."""

    async def stopping(self, reason: Exit) -> None:
        self.total = 0


class Known(Actor):
    """One of many entities."""

    mailbox = Durable("known", order="keyed")

    async def touch(self) -> None: ...


async def grown(count: int, more: Callable[[], Awaitable[object]]) -> Figures:
    """What each of so many costs, after a first hundredth of them."""
    for _ in range(max(count // 100, 1)):
        await more()
    before = resident_bytes()
    for _ in range(count):
        await more()
    return {"bytes_each": (resident_bytes() - before) / count, "count": count}


async def plain() -> Figures:
    async with quiet() as system:
        names = itertools.count()
        return await grown(COUNT, lambda: system.spawn(f"a-{next(names)}", Counter))


async def used() -> Figures:
    """Each has handled a message since it came up."""
    async with quiet() as system:
        names = itertools.count()

        async def more() -> None:
            ref = await system.spawn(f"a-{next(names)}", Counter)
            check(await ref.ask(Counter.add, 1), 1)

        return await grown(COUNT, more)


async def supervised() -> Figures:
    async with quiet(dynamic("top")) as system:
        top: Ref[DynamicSupervisor] = system.ref("/top", DynamicSupervisor)
        names = itertools.count()
        return await grown(COUNT, lambda: top.ask(DynamicSupervisor.start_child, child(f"a-{next(names)}", Counter)))


async def ceremonious() -> Figures:
    async with quiet() as system:
        names = itertools.count()
        return await grown(FEW, lambda: system.spawn(f"a-{next(names)}", Ceremonious))


async def workers() -> Figures:
    """In pools of ten; the pool's own cost is shared out among them."""
    async with quiet(dynamic("top")) as system:
        top: Ref[DynamicSupervisor] = system.ref("/top", DynamicSupervisor)
        names = itertools.count()
        found = await grown(
            FEW, lambda: top.ask(DynamicSupervisor.start_child, pool(f"p-{next(names)}", Counter, size=10))
        )
        return {"bytes_each": found["bytes_each"] / 10, "count": FEW * 10}


async def durable() -> Figures:
    """Each has an address of its own; its class is there before."""
    with on_disk() as folder:
        async with durable_system(folder / "store.db", dynamic("top")) as system:
            top: Ref[DynamicSupervisor] = system.ref("/bench/top", DynamicSupervisor)
            kinds, tally = [worker_at(number) for number in range(FEW + FEW // 100 + 1)], Tally()
            names = iter(range(len(kinds)))

            async def more() -> None:
                number = next(names)
                await top.ask(DynamicSupervisor.start_child, child(f"w-{number}", kinds[number], tally))

            return await grown(FEW, more)


async def awake() -> Figures:
    """Entities that have had a message, and are awake."""
    with on_disk() as folder:
        tree = supervisor("top", entities("known", Known, at_most=2 * COUNT, idle=3_600.0))
        async with ActorSystem(tree, store=Sqlite(folder / "store.db"), log=None) as system:
            known, names = system.ref("/top/known", Known), itertools.count()
            return await grown(FEW, lambda: known.entity(f"e-{next(names)}").ask(Known.touch))


async def task_and_queue() -> Figures:
    """The least that one writes by hand."""
    tasks: list[asyncio.Task[int]] = []

    async def more() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        tasks.append(asyncio.create_task(queue.get()))
        await asyncio.sleep(0)

    found = await grown(COUNT, more)
    for task in tasks:
        task.cancel()
    return found


if __name__ == "__main__":
    compare(
        "memory: bytes of an idle actor, by kind",
        {
            "upright": on_asyncio(plain),
            "upright, after a message": on_asyncio(used),
            "upright, supervised": on_asyncio(supervised),
            "upright, with stopping()": on_asyncio(ceremonious),
            "upright, worker of a pool": on_asyncio(workers),
            "upright, durable": on_asyncio(durable),
            "upright, entity awake": on_asyncio(awake),
            "task and queue": on_asyncio(task_and_queue),
        },
        figure="bytes_each",
        goals=[AtMost("bytes_each", 2_000, ours="upright, supervised")],
    )
