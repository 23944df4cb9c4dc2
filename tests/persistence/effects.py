"""What the steps of handlers do in tests: effects on a world outside, which counts them."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    Book,
    Worker,
    running,
    worker,
    worker_ref,
)
from upright.persistence import Store
from upright.persistence.records import steps_of
from upright.persistence.reports import RecordFilter


class Coin(msgspec.Struct):
    cents: int


class Effects:
    """The world outside: counts what is done to it."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    async def do(self, what: str) -> int:
        self.done[what] += 1
        return self.done[what]

    async def pay(self, cents: int) -> Coin:
        self.done["pay"] += 1
        return Coin(cents)


async def kept_steps(store: Store, id: int) -> list[str]:
    return [one.name for one in await store.desk.records(RecordFilter(steps_of(id)))]


async def run(
    system: Systems, store: Store, deed: Callable[[Any], Awaitable[Any]], spec: Any = None, **options: Any
) -> list[str]:
    """Tell a worker that deed and wait until that is over; the steps that are kept of it."""
    book = Book()
    name = book.deed(deed)
    async with running(system, spec(book) if spec else worker(book, **options), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.do, name)
        await s.idle()
        assert receipt is not None
        return await kept_steps(store, receipt.id)


def failing_at(attempts: int) -> Callable[[Any], None]:
    """Raises in the first attempts."""

    def check(me: Any) -> None:
        if me.ctx.delivery.attempt <= attempts:
            raise Oops("on purpose")

    return check
