"""What do events cost per message: with the log at info, with a subscriber, with every message logged?

The costs are small beside what a busy machine adds, so each contender takes turns in one process with a system that
nobody listens to, and `ns_more` is how much longer its quickest burst took. What it costs to find that nobody listens
cannot be had by leaving it out: "the check" measures it alone, as what the path of a message asks of the bus.
"""

import logging
import os
import time
from functools import partial

from report import AtMost, Figures
from subjects import Counter, quiet
from support import check, compare, on_asyncio, scaled

from upright.actors import ActorSystem, EventBus, EventLog, Ref
from upright.actors.events import MessageProcessed
from upright.operations.logs import configure_logs

BURSTS = 100
BURST = scaled(1_000)


async def beside_unheard(heard: ActorSystem, size: int = BURST) -> Figures:
    """A tell and its handling, in nanoseconds."""
    async with quiet() as unheard, heard:
        counters = [await system.spawn("counter", Counter) for system in (unheard, heard)]
        bursts = [[await burst(counter, size) for counter in counters] for _ in range(BURSTS)]
        for counter in counters:
            check(await counter.ask(Counter.add, 0), BURSTS * size)
    without, with_listeners = (min(column) / size * 1e9 for column in zip(*bursts, strict=True))
    return {"ns_more": with_listeners - without, "ns_each": with_listeners}


async def burst(counter: Ref[Counter], size: int) -> float:
    began = time.perf_counter()
    for _ in range(size):
        await counter.tell(Counter.add, 1)
    await counter.ask(Counter.add, 0)
    return time.perf_counter() - began


async def nobody() -> Figures:
    """Two that nobody listens to: the error of the measurement."""
    return await beside_unheard(quiet())


async def subscriber() -> Figures:
    """A subscriber that only counts."""
    seen = 0

    def count(_: MessageProcessed) -> None:
        nonlocal seen
        seen += 1

    system = quiet()
    system.subscribe(count, MessageProcessed)
    figures = await beside_unheard(system)
    check(seen >= BURSTS * BURST, True)
    return figures


async def logged(level: int, size: int) -> Figures:
    """The log that applications have, at that level, written to nowhere."""
    with open(os.devnull, "w") as nowhere:
        configure_logs(level, nowhere)
        return await beside_unheard(ActorSystem(log=EventLog(level)), size)


def the_check() -> Figures:
    """Before the handler and after it: does anybody listen? Less an empty loop."""
    bus, heard = EventBus(), 0
    empty, asked = list[float](), list[float]()
    for _ in range(BURSTS):
        began = time.perf_counter()
        for _ in range(BURST):
            pass
        empty.append(time.perf_counter() - began)
        began = time.perf_counter()
        for _ in range(BURST):
            if bus.every_message:
                heard += 1
            if bus.every_message:
                heard += 1
        asked.append(time.perf_counter() - began)
    check(heard, 0)
    cost = (min(asked) - min(empty)) / BURST * 1e9
    return {"ns_more": cost, "ns_each": cost}


if __name__ == "__main__":
    compare(
        "events: nanoseconds per message that listeners cost",
        {
            "nobody": on_asyncio(nobody),
            "the check": the_check,
            "structlog at info": on_asyncio(partial(logged, logging.INFO, BURST)),
            "a subscriber": on_asyncio(subscriber),
            "structlog at debug": on_asyncio(partial(logged, logging.DEBUG, max(1, BURST // 10))),
        },
        figure="ns_more",
        ours=None,
        goals=[AtMost("ns_more", 35, ours="the check"), AtMost("ns_more", 35, ours="structlog at info")],
    )
