"""Durable actors that use policies for a dependency which is down for a while: for the tests of their pauses."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from tests.actors.lives import Systems, quiet
from tests.actors.outage import Dependency, using
from tests.persistence.jobs import Book, Worker, kept
from upright.actors import ActorSystem, Ref
from upright.persistence import Retry, Store
from upright.supervision import ChildSpec, child, pool, supervisor

THRICE = Retry(max_attempts=3)


class Outage:
    """A dependency, and the book whose deed `call` calls it. `attempts`: of each message that got through, by id.

    `tried`: the ids of all calls, in order.
    """

    def __init__(self) -> None:
        self.book, self.dependency = Book(), Dependency()
        self.attempts: dict[int, int] = {}
        self.tried: list[int] = []
        self.done: list[int] = []
        self.book.deeds["call"] = self.call

    async def call(self, me: Any) -> None:
        delivery = me.ctx.delivery
        self.tried.append(delivery.id)
        await self.dependency.call(delivery.id)
        self.attempts[delivery.id] = delivery.attempt
        self.done.append(delivery.id)

    def spec(self, *policies: Any, name: str = "a", size: int = 0, **options: Any) -> ChildSpec[Any]:
        """An actor, or a pool of that size, that uses these policies; with these options of its mailbox."""
        chosen: dict[str, Any] = {"retry": THRICE, **options}
        one = child(name, kept(using(Worker, *policies), **chosen), self.book)
        return pool(name, one, size=size) if size else one


@contextlib.asynccontextmanager
async def running(system: Systems, *specs: ChildSpec[Any], store: Store, **options: Any) -> AsyncGenerator[ActorSystem]:
    """A system with these below `/top`, for as long as it takes on virtual time."""
    options.setdefault("grace", 1.0)
    tree = supervisor("top", *specs, max_restarts=options.pop("max_restarts", 0))
    async with quiet(system, tree=tree, store=store, **options) as made:
        yield made


def at(system: ActorSystem, name: str = "a") -> Ref[Worker]:
    return system.ref(f"/top/{name}", Worker)


async def calls(ref: Ref[Worker], number: int) -> list[int]:
    """Tell it so many calls; their ids."""
    return [receipt.id for receipt in await ref.tell_many(Worker.do, ["call"] * number)]


async def claimed(store: Store, address: str = "work") -> int:
    """How many messages of an address are claimed."""
    counts = await store.counts()
    return counts[address].claimed if address in counts else 0


async def failures(store: Store, ids: list[int]) -> int:
    """How many attempts of these have failed, as their stories tell."""
    return sum([sum(event.name == "failed" for event in await store.story(id)) for id in ids])
