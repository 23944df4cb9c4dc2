"""The shop that every program of this folder has inside: what it runs, where it is kept, what it says to a client.

Nothing here knows a web framework. `SHOP_DB` is the file of the store, `SHOP_DRAIN` the seconds that a stop may take.
"""

import asyncio
import math
import os
from collections.abc import AsyncIterator

import msgspec

from upright.actors import Actor, ActorError, ActorFailed, ActorSystem, AskTimedOut, GuardRefused, Refuse, concurrent
from upright.actors.events import Event
from upright.persistence import Durable, Retry, Sqlite
from upright.supervision import Backoff, CircuitBreaker, child, supervisor

ORDERS, STOCK = "/shop/orders", "/shop/stock"
DRAIN = float(os.environ.get("SHOP_DRAIN", "25"))
WAREHOUSE = CircuitBreaker("warehouse", consecutive=1, wait=Backoff(5.0, 60.0))
SHELVES = {"tea": 12, "coffee": 7}
STILL = 15.0
"""Seconds after which a silent stream says that it is there: proxies keep it, and a client that went is noticed."""


class Orders(Actor):
    """Durable: an order that was accepted is shipped, whatever happens to the process in between."""

    mailbox = Durable("orders", order="free", retry=Retry(max_attempts=3, base=1.0))

    async def ship(self, item: str, seconds: float = 0.0) -> str:
        """Take so many seconds, and answer what was shipped."""
        if not 0.0 <= seconds <= 3_600.0:
            raise Refuse(f"expected seconds to be from 0 to 3600, got {seconds:g}")
        await asyncio.sleep(seconds)
        return item


class Stock(Actor):
    """In memory: asks a warehouse how much is left, and not while the circuit to it is open."""

    @concurrent(100)
    async def left(self, item: str) -> int:
        if item not in {*SHELVES, "far", "lost"}:
            raise Refuse(f"expected one of {', '.join(SHELVES)}, got {item}")
        async with self.ctx.guard(WAREHOUSE):
            return await look(item)


async def look(item: str) -> int:
    """A stand-in for a warehouse on the network, with two bad days: `far` takes a minute, `lost` cannot be reached."""
    if item == "far":
        await asyncio.sleep(60.0)
    if item == "lost":
        raise ConnectionError("no route to the warehouse")
    return SHELVES.get(item, 0)


tree = supervisor("shop", child("stock", Stock), child("orders", Orders))


def new_system() -> ActorSystem:
    """A system for this process, on the store that all processes share."""
    return ActorSystem(tree, store=Sqlite(os.environ.get("SHOP_DB", "shop.db")))


def answer_to(error: ActorError) -> tuple[int, dict[str, str]]:
    """The HTTP status for an error of an actor, and headers for it."""
    match error:
        case GuardRefused():  # a circuit is open, a limit is reached: nothing was tried
            return 503, {"Retry-After": str(max(math.ceil(error.retry_after), 1))}
        case Refuse():  # the actor says that the client is wrong
            return 422, {}
        case AskTimedOut():
            return 504, {}
        case ActorFailed():  # a fault of ours: it crashed with the question in hand
            return 500, {}
        case _:  # gone, restarting, full, the store takes nothing: worth another try, later
            return 503, {"Retry-After": "1"}


async def events_of(system: ActorSystem) -> AsyncIterator[str]:
    """What happens in the system, as the lines of a stream of server-sent events; it never ends by itself."""
    waiting: asyncio.Queue[Event] = asyncio.Queue(1_000)

    def note(event: Event) -> None:
        if not waiting.full():  # a client that reads too slowly misses some, and holds nobody up
            waiting.put_nowait(event)

    system.subscribe(note)
    try:
        yield ": connected\n\n"
        while True:
            try:
                event = await asyncio.wait_for(waiting.get(), STILL)
            except TimeoutError:
                yield ": still here\n\n"
            else:
                yield f"event: {event.name}\ndata: {msgspec.json.encode({'path': event.path}).decode()}\n\n"
    finally:
        system.unsubscribe(note)
