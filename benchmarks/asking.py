"""Who can be asked, each with its counter: the work of two questions, which `measure` tells apart."""

import asyncio
from collections.abc import Awaitable, Callable

from report import Figures
from subjects import Counter, quiet

Ask = Callable[[int], Awaitable[int]]
Measure = Callable[[Ask], Awaitable[Figures]]


async def upright(measure: Measure) -> Figures:
    async with quiet() as system:
        counter = await system.spawn("counter", Counter)
        return await measure(lambda amount: counter.ask(Counter.add, amount))


async def bare(measure: Measure) -> Figures:
    from subjects_bare import BareCounter

    counter = BareCounter()
    reader = asyncio.create_task(counter.serve())
    figures = await measure(counter.ask)
    reader.cancel()
    return figures


async def actio(measure: Measure) -> Figures:
    from actio import ActorSystem
    from subjects_actio import Counter, ask

    system = ActorSystem()
    counter = system.create(Counter())
    figures = await measure(lambda amount: ask(system, counter, amount))
    await system.shutdown()
    return figures


async def xoscar(measure: Measure) -> Figures:
    from subjects_xoscar import Counter, xoscar_pool

    async with xoscar_pool() as pool:
        counter = await pool.spawn("counter", Counter)
        return await measure(counter.add)
