"""The laws of the total deadline: it counts from when a message could have been handled first."""

from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Stores, Worker, failing, letters, running, until, worker, worker_ref
from upright.persistence import Durable, Retry
from upright.supervision import pool

pytestmark = pytest.mark.anyio
SHORT = Retry(max_attempts=100, base=0.01, factor=1.0, jitter="none", deadline=0.3)


@pytest.mark.parametrize("order", ["strict", "free", "keyed"])
async def test_a_message_that_was_delayed_for_longer_than_its_deadline_gets_its_attempts(
    system: Systems, stores: Stores, order: Any
) -> None:
    book, store = Book(), stores()
    book.deeds["try"] = failing(3)
    async with running(system, worker(book, order=order, retry=SHORT), store=store) as s:
        await worker_ref(s).later(0.4).tell(Worker.do, "try")
        await s.idle()
        assert (book.begun["try"], await letters(store)) == (4, [])


async def test_so_it_does_in_a_pool(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    book.deeds["try"] = failing(3)

    class Member(Worker):
        mailbox = Durable("work", order="free", retry=SHORT)

        def __init__(self) -> None:
            super().__init__(book)

    async with running(system, pool("a", Member, size=2), store=store) as s:
        await worker_ref(s).later(0.4).tell(Worker.do, "try")
        await s.idle()
        assert (book.begun["try"], await letters(store)) == (4, [])


async def test_from_then_on_the_deadline_holds(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=SHORT), store=store) as s:
        await worker_ref(s).later(0.05).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        assert letter.reason == "deadline"
        assert letter.attempts[-1].ended - letter.stored < 0.05 + 0.3 + 0.3


async def test_a_redriven_message_has_a_deadline_of_its_own(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=SHORT), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        first = len(letter.attempts)
        end = store.now() + 0.3
        await until(lambda: store.now() > end)
        await store.quarantine.redrive(letter.id)
        await s.idle()
        (letter,) = await letters(store)
        assert letter.reason == "deadline"
        assert len(letter.attempts) > first + 3
