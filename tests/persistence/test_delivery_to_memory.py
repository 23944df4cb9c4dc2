"""The laws of what a handler with a durable message in hand sends to actors in memory."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import Book, Plain, Stores, Weather, Worker, running, turns, worker, worker_ref

pytestmark = pytest.mark.anyio


async def test_a_tell_to_an_actor_in_memory_is_sent_after_the_commit(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    told = asyncio.Event()

    @book.deed
    async def tell(me: Worker) -> None:
        await me.ctx.ref("b", Plain).tell(Plain.note, "x")
        weather.calm.clear()
        told.set()

    async with running(system, worker(book), worker(book, Plain, "b"), store=store) as s:
        weather = Weather(store)
        await worker_ref(s).tell(Worker.do, tell)
        await told.wait()
        await turns()
        assert book.words == []
        weather.calm.set()
        await s.idle()
        assert book.words == ["x"]


async def test_a_tell_to_an_actor_in_memory_is_never_sent_if_the_handler_failed(
    system: Systems, stores: Stores
) -> None:
    book = Book()

    @book.deed
    async def tell(me: Worker) -> None:
        await me.ctx.ref("b", Plain).tell(Plain.note, f"x{me.ctx.delivery.attempt}")
        if me.ctx.delivery.attempt < 3:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, tell)
        await s.idle()
        assert book.words == ["x3"]


async def test_try_tell_to_an_actor_in_memory_happens_at_once_and_at_each_attempt(
    system: Systems, stores: Stores
) -> None:
    book = Book()

    @book.deed
    async def try_tell(me: Worker) -> None:
        assert me.ctx.ref("b", Plain).try_tell(Plain.note, "x")
        raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, try_tell)
        await s.idle()
        assert book.words == ["x"] * 3


async def test_an_ask_of_an_actor_in_memory_happens_at_once_and_again_at_a_retry(
    system: Systems, stores: Stores
) -> None:
    book = Book()

    @book.deed
    async def ask(me: Worker) -> None:
        assert await me.ctx.ref("b", Plain).ask(Plain.note, "x") == "x"
        if me.ctx.delivery.attempt < 3:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert book.words == ["x"] * 3
