"""How long does it take from a crash to the new instance, and does that depend on the number of siblings?

The clock runs from the message that crashes an actor until whoever sent it knows that the next instance has started.
"""

import asyncio
import time
from functools import partial

from beam import erlang
from report import AtLeast, Figures
from subjects import Counter, Crasher, quiet
from support import check, compare, latencies, on_asyncio, on_uvloop, scaled

from upright.supervision import Supervisor, child, supervisor

TIMES = scaled(500)


async def upright(siblings: int) -> Figures:
    loop, starts, took = asyncio.get_running_loop(), 0, list[float]()
    up = loop.create_future()

    def came_up() -> None:
        nonlocal starts
        starts += 1
        up.set_result(None)

    idle = [child(f"idle-{number}", Counter) for number in range(siblings)]
    crashing = child("crasher", Crasher, came_up)
    tree = supervisor("top", *idle, crashing, max_restarts=1_000_000, within=1.0)
    async with quiet(tree) as system:
        crasher = system.ref("/top/crasher", Crasher)
        for _ in range(TIMES):
            up = loop.create_future()
            began = time.perf_counter()
            await crasher.tell(Crasher.crash)
            await up
            took.append(time.perf_counter() - began)
        await system.idle()
        counts = await system.ref("/top", Supervisor).ask(Supervisor.count_children)
    check((starts, counts.active), (TIMES + 1, siblings + 1))
    return latencies(took)


def thespian() -> Figures:
    """By hand: an actor ends, its parent hears of that and makes another."""
    from subjects_thespian import Keeper, thespian_system

    took: list[float] = []
    with thespian_system() as system:
        keeper = system.createActor(Keeper)
        made = [str(system.ask(keeper, "start"))]
        for _ in range(TIMES):
            began = time.perf_counter()
            child = system.ask(keeper, "crash")
            took.append(time.perf_counter() - began)
            made.append(str(child))
    check(len(set(made)), TIMES + 1)
    return latencies(took)


async def there_and_back() -> Figures:
    """Nobody crashes: a task wakes another through a future and is woken by it. No restart in a loop can be faster."""
    loop, took = asyncio.get_running_loop(), list[float]()
    told, up = loop.create_future(), loop.create_future()

    async def other() -> None:
        nonlocal told
        while True:
            await told
            told = loop.create_future()
            up.set_result(None)

    task = asyncio.create_task(other())
    for _ in range(TIMES):
        await asyncio.sleep(0)
        up = loop.create_future()
        began = time.perf_counter()
        told.set_result(None)
        await up
        took.append(time.perf_counter() - began)
    task.cancel()
    return latencies(took)


if __name__ == "__main__":
    compare(
        "restart: from the crash to the new instance",
        {
            "upright": on_asyncio(partial(upright, 0)),
            "upright on uvloop": on_uvloop(partial(upright, 0)),
            "upright, 1,000 siblings": on_asyncio(partial(upright, 1_000)),
            "upright, 10,000 siblings": on_asyncio(partial(upright, 10_000)),
            "two steps of the loop": on_asyncio(there_and_back),
            "thespian, by hand": thespian,
            "Erlang/OTP": erlang("lives", "restart", 0, TIMES),
            "Erlang/OTP, 1,000 siblings": erlang("lives", "restart", 1_000, TIMES),
            "Erlang/OTP, 10,000 siblings": erlang("lives", "restart", 10_000, TIMES),
        },
        figure="p50_us",
        goals=[
            AtLeast("Erlang/OTP", 1.5),
            AtLeast("upright", 0.8, ours="upright, 1,000 siblings"),
            AtLeast("upright", 0.8, ours="upright, 10,000 siblings"),
        ],
    )
