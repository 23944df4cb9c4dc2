"""One message goes around a ring of actors, each of which sends it on: the work of two questions, with all contenders.

Two nodes are a ping-pong, where the same two actors are always at hand; a thousand are always somewhere else.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from beam import erlang
from report import AtLeast, Figures
from subjects import Hopper, quiet
from support import Contender, Stopwatch, check, in_python, on_asyncio, on_uvloop, rate, scaled

HOPS = scaled(100_000)
FEW = HOPS // 5
"""For the slower ones."""

GOALS = [AtLeast("pykka", 12), AtLeast("thespian", 3), AtLeast("Erlang/OTP", 0.12)]


def contenders(nodes: int) -> dict[str, Contender]:
    """Everybody, with rings of that size."""

    def sized(main: Callable[[int], Coroutine[Any, Any, Figures]]) -> Callable[[], Coroutine[Any, Any, Figures]]:
        return partial(main, nodes)

    return {
        "upright": on_asyncio(sized(upright)),
        "upright on uvloop": on_uvloop(sized(upright)),
        "upright, in Python": in_python(on_asyncio(sized(upright))),
        "asyncio.Queue": on_asyncio(sized(asyncio_queue)),
        "pykka": partial(pykka, nodes),
        "thespian": partial(thespian, nodes),
        "actio": on_asyncio(sized(actio)),
        "xoscar": on_asyncio(sized(xoscar)),
        "Erlang/OTP": erlang("hops", "ring", nodes, 5 * HOPS),
    }


async def upright(nodes: int) -> Figures:
    arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with quiet() as system:
        ring = [await system.spawn(f"hopper-{number}", Hopper, number, nodes, arrived) for number in range(nodes)]
        with Stopwatch() as watch:
            await ring[0].tell(Hopper.hop, HOPS)
            last = await arrived
    check(last, HOPS % nodes)
    return rate(HOPS, watch)


async def asyncio_queue(nodes: int) -> Figures:
    """A task and a queue for each node."""
    queues = [asyncio.Queue[int](1_000) for _ in range(nodes)]
    arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve(number: int) -> None:
        mine, follower = queues[number], queues[(number + 1) % nodes]
        while left := await mine.get():
            await follower.put(left - 1)
        arrived.set_result(number)

    tasks = [asyncio.create_task(serve(number)) for number in range(nodes)]
    await asyncio.sleep(0)
    with Stopwatch() as watch:
        await queues[0].put(HOPS)
        last = await arrived
    for task in tasks:
        task.cancel()
    check(last, HOPS % nodes)
    return rate(HOPS, watch)


def pykka(nodes: int) -> Figures:
    from concurrent.futures import Future

    from pykka import ActorRef
    from subjects_pykka import Hopper

    ring: list[ActorRef[Hopper]] = []
    arrived: Future[int] = Future()
    ring.extend(Hopper.start(number, ring, arrived) for number in range(nodes))
    with Stopwatch() as watch:
        ring[0].tell(FEW)
        last = arrived.result()
    for ref in ring:
        ref.stop(block=False)
    check(last, FEW % nodes)
    return rate(FEW, watch)


def thespian(nodes: int) -> Figures:
    from subjects_thespian import Hopper, thespian_system

    with thespian_system() as system:
        ring = [system.createActor(Hopper) for _ in range(nodes)]
        for number, hopper in enumerate(ring):
            system.tell(hopper, (number, ring[(number + 1) % nodes]))
        with Stopwatch() as watch:
            last = system.ask(ring[0], FEW)
    check(last, ("arrived", FEW % nodes))
    return rate(FEW, watch)


async def actio(nodes: int) -> Figures:
    from actio import ActorSystem
    from subjects_actio import Hopper

    system, ring = ActorSystem(), list[Any]()
    arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    ring.extend(system.create(Hopper(number, ring, arrived)) for number in range(nodes))
    await asyncio.sleep(0)
    with Stopwatch() as watch:
        system.tell(ring[0], FEW)
        last = await arrived
    await system.shutdown()
    check(last, FEW % nodes)
    return rate(FEW, watch)


async def xoscar(nodes: int) -> Figures:
    from subjects_xoscar import Hopper, xoscar_pool

    ring: list[Any] = []
    arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with xoscar_pool() as pool:
        for number in range(nodes):
            ring.append(await pool.spawn(f"hopper-{number}", Hopper, number, ring, arrived))
        with Stopwatch() as watch:
            await ring[0].hop.tell(FEW)
            last = await arrived
    check(last, FEW % nodes)
    return rate(FEW, watch)
