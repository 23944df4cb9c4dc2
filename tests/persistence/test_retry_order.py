"""The laws of order around a message that waits for its retry."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    Book,
    Stores,
    Weather,
    Worker,
    failing,
    held,
    kept,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.persistence import Retry
from upright.supervision import child

pytestmark = pytest.mark.anyio


async def test_strictly_ordered_messages_wait_behind_a_retry(system: Systems, stores: Stores) -> None:
    book = Book()

    async def first(_: Worker) -> None:
        book.add("first")

    book.deeds["first"] = failing(2, first)
    async with running(system, worker(book, order="strict"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "first")
        await worker_ref(s).tell(Worker.note, "second")
        await worker_ref(s).priority(9).tell(Worker.note, "urgent")
        await s.idle()
        assert book.words in (["first", "urgent", "second"], ["first", "second", "urgent"])


async def test_freely_ordered_messages_pass_a_retry(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()

    async def first(_: Worker) -> None:
        book.add("first")

    async def wait_and_fail(me: Worker) -> None:
        if me.ctx.delivery.attempt == 1:
            await held(began, gate)(me)
            raise Oops("on purpose")
        await first(me)

    book.deeds["first"] = wait_and_fail
    async with running(system, worker(book, order="free"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "first")
        await began.wait()
        await worker_ref(s).tell(Worker.note, "second")
        gate.set()
        await s.idle()
        assert book.words == ["second", "first"]


async def test_keyed_messages_wait_behind_a_retry_of_their_key_alone(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()

    async def wait_and_fail(me: Worker) -> None:
        if me.ctx.delivery.attempt == 1:
            await held(began, gate)(me)
            raise Oops("on purpose")
        book.add("x1")

    book.deeds["x1"] = wait_and_fail
    async with running(system, worker(book, order="keyed"), store=stores()) as s:
        await worker_ref(s).keyed("x").tell(Worker.do, "x1")
        await began.wait()
        for key, word in (("x", "x2"), ("y", "y1"), ("x", "x3"), ("y", "y2")):
            await worker_ref(s).keyed(key).tell(Worker.note, word)
        await worker_ref(s).tell(Worker.note, "free")
        gate.set()
        await s.idle()
        assert book.words == ["y1", "y2", "free", "x1", "x2", "x3"]


async def test_a_message_claimed_while_the_one_before_it_fails_waits_for_its_retry_all_the_same(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait_and_fail(me: Worker) -> None:
        if me.ctx.delivery.attempt == 1:
            await held(began, gate)(me)
            failed.set()
            raise Oops("on purpose")
        book.add("first")

    book.deeds["first"] = wait_and_fail

    async def let_it_fail(_: object) -> None:
        """The second is written and claimed; before that is synced, the first one fails."""
        gate.set()
        await failed.wait()
        await turns()

    async with running(system, worker(book, order="strict"), store=store) as s:
        await worker_ref(s).tell(Worker.do, "first")
        await began.wait()
        Weather(store).next = let_it_fail
        await worker_ref(s).tell(Worker.note, "second")
        await s.idle()
        assert book.words == ["first", "second"]


async def test_a_retry_holds_those_of_its_key_of_every_priority_while_other_keys_go_on(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    gate = asyncio.Event()

    async def fail_once(me: Worker) -> None:
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")
        book.add("x1")

    async def open_gate(_: Worker) -> None:
        gate.set()

    book.deeds |= {"x1": fail_once, "others are done": open_gate}
    policy = Retry(max_attempts=3, base=0.3, jitter="none")
    async with running(system, worker(book, order="keyed", retry=policy), store=store) as s:
        await worker_ref(s).keyed("x").tell(Worker.do, "x1")
        await until(lambda: book.begun["x1"] == 1)
        await worker_ref(s).keyed("x").priority(9).tell(Worker.note, "x2")
        await worker_ref(s).keyed("x").priority(-9).tell(Worker.note, "x3")
        await worker_ref(s).keyed("y").priority(-9).tell(Worker.note, "y")
        await worker_ref(s).priority(-10).tell(Worker.do, "others are done")
        await gate.wait()
        assert (book.words, book.begun["x1"]) == (["y"], 1)
        await s.idle()
        assert book.words == ["y", "x1", "x2", "x3"]


@pytest.mark.parametrize("order", ["strict", "keyed"])
async def test_a_retry_that_a_shutdown_cut_off_still_goes_before_a_higher_priority(
    system: Systems, stores: Stores, order: str
) -> None:
    book = Book()
    again, gate = asyncio.Event(), asyncio.Event()

    @book.deed
    async def fail_and_hold(me: Worker) -> None:
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")
        again.set()
        await gate.wait()
        book.add("first")

    first = child("a", kept(Worker, order=order, retry=Retry(base=0.01, jitter="none")), book).options(shutdown=0.01)
    async with running(system, first, store=stores()) as s:
        await worker_ref(s).keyed("x").tell(Worker.do, fail_and_hold)
        await again.wait()
        await worker_ref(s).keyed("x").priority(9).tell(Worker.note, "urgent")
    gate.set()
    async with running(system, worker(book, order=order), store=stores()) as s:
        await s.idle()
        assert book.words == ["first", "urgent"]


async def test_a_retry_that_waits_for_its_turn_goes_before_a_higher_priority_of_its_key_and_not_of_others(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()

    @book.deed
    async def fail_once(me: Worker) -> None:
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")
        book.add("x1")

    book.deeds["hold"] = held(began, gate)

    async def are_claimed(number: int) -> None:
        while (await store.counts())["work"].claimed != number:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0.001)

    async with running(system, worker(book, order="keyed"), store=store) as s:
        await worker_ref(s).keyed("x").tell(Worker.do, fail_once)
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        await are_claimed(2)
        await worker_ref(s).keyed("y").tell(Worker.note, "y")
        await worker_ref(s).keyed("x").priority(9).tell(Worker.note, "x2")
        await worker_ref(s).keyed("y").priority(10).tell(Worker.note, "urgent y")
        await are_claimed(5)
        gate.set()
        await s.idle()
        assert book.words == ["urgent y", "x1", "x2", "y"]
