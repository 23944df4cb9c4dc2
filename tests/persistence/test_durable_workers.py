"""The laws of what is sent to one worker of a durable pool: it is stored, as all else, and any worker may handle it."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Plain,
    Stores,
    Worker,
    held,
    plain_ref,
    rest,
    running,
    story,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import Ref
from upright.actors.errors import NotDurable
from upright.persistence import Durable, Memory
from upright.supervision import ChildSpec, Pool, pool

pytestmark = pytest.mark.anyio


def workers(book: Book, size: int = 2, **options: Any) -> ChildSpec[Any]:
    """A pool at `/top/a` of workers that write into the book."""
    chosen: dict[str, Any] = {"order": "free", "retry": QUICK, **options}

    class Member(Worker):
        mailbox = Durable("work", **chosen)

        def __init__(self) -> None:
            super().__init__(book)

        async def started(self) -> None:
            await super().started()
            self.ctx.subscribe(self.ctx.topic("news", str), Member.note)

    return pool("a", Member, size=size)


def one(s: Any, number: int = 0) -> Ref[Worker]:
    found: Ref[Worker] = s.ref(f"/top/a/{number}", Worker)
    return found


async def test_a_tell_to_one_is_stored_and_brings_a_receipt(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, workers(book), store=store) as s:
        receipt = await one(s).tell(Worker.note, "x")
        assert receipt is not None
        await s.idle()
        assert book.words == ["x"]
        assert await story(store, receipt.id) == ["stored", "claimed", "acked"]


async def test_what_was_told_to_one_outlives_the_system(system: Systems, stores: Stores) -> None:
    book = Book()
    began = asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    tree = workers(book, 1).options(shutdown="brutal")
    async with running(system, tree, store=stores()) as s:
        await one(s).tell(Worker.do, "hold")
        await began.wait()
        await one(s).tell(Worker.note, "1")
        await one(s).tell_many(Worker.note, ["2", "3"])
    book.deeds["hold"] = rest
    async with running(system, workers(book), store=stores()) as s:
        await s.idle()
    assert Counter(book.words) == Counter("123")


async def test_it_is_handled_by_another_one_when_that_one_is_busy(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, workers(book), store=stores()) as s:
        await one(s).tell(Worker.do, "hold")
        await began.wait()
        for number in (0, 1):
            await one(s, number).tell(Worker.note, str(number))
        await until(lambda: len(book.words) == 2)
        gate.set()
        await s.idle()
        assert Counter(book.words) == Counter("01")


async def test_one_is_asked_as_the_pool_is_and_each_ask_gets_its_answer(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, workers(book, 3), store=stores()) as s:
        asks = [one(s, n % 3).ask(Worker.note, str(n)) for n in range(30)]
        assert await asyncio.gather(*asks) == [str(n) for n in range(30)]
        key = one(s).once("key")
        assert (await key.ask(Worker.note, "a"), await key.ask(Worker.note, "b")) == ("a", "a")


async def test_tell_many_to_one_stores_each_and_once(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, workers(book, 3), store=stores()) as s:
        receipts = await one(s).tell_many(Worker.note, [str(n) for n in range(50)])
        assert len({receipt.id for receipt in receipts}) == 50
        await s.idle()
        assert Counter(book.words) == Counter(str(n) for n in range(50))


async def test_what_is_published_to_workers_is_stored_once_for_each_subscriber(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, workers(book, 3), store=store) as s:
        assert await s.topic("news", str).publish("x") == 3
        await s.idle()
        assert book.words == ["x"] * 3
        assert [(await story(store, id))[-1] for id in (1, 2, 3)] == ["acked"] * 3


async def test_what_was_published_to_a_busy_one_outlives_the_system(system: Systems, stores: Stores) -> None:
    book = Book()
    began = asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    async with running(system, workers(book, 1).options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        assert await s.topic("news", str).publish("x") == 1
    book.deeds["hold"] = rest
    async with running(system, workers(book, 1), store=stores()) as s:
        await s.idle()
    assert book.words == ["x"]


async def test_one_may_be_told_inside_a_delivery_and_it_is_staged(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def tell_and_fail(me: Worker) -> None:
        await me.ctx.ref("/top/a/0", Worker).tell(Worker.note, f"x{me.ctx.delivery.attempt}")
        if me.ctx.delivery.attempt == 1:
            raise ValueError("after it has told")

    async with running(system, workers(book), worker(book, name="c", address="elsewhere"), store=stores()) as s:
        await worker_ref(s, "c").tell(Worker.do, tell_and_fail)
        await s.idle()
        assert book.words == ["x2"]


async def test_an_actor_in_memory_may_tell_one_and_ask_one(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def send(me: Plain) -> str:
        await me.ctx.ref("/top/a/1", Worker).tell(Worker.note, "told")
        return await me.ctx.ref("/top/a/0", Worker).ask(Worker.note, "asked")

    async with running(system, workers(book), worker(book, Plain, "b"), store=stores()) as s:
        assert await plain_ref(s).ask(Plain.do, send) == "asked"
        await s.idle()
        assert Counter(book.words) == Counter(["told", "asked"])


async def test_try_tell_to_one_is_refused_for_it_could_promise_nothing(system: Systems, stores: Stores) -> None:
    async with running(system, workers(Book()), store=stores()) as s:
        with pytest.raises(NotDurable, match="/top/a/0"):
            one(s).try_tell(Worker.note, "x")


async def test_the_pool_itself_is_still_administered_by_messages_in_memory(system: Systems) -> None:
    book, store = Book(), Memory()
    async with running(system, workers(book), store=store) as s:
        administration = s.ref("/top/a", Pool)
        await administration.ask(Pool.resize, 3)
        assert await administration.ask(Pool.size) == 3
        assert await store.counts() == {}


async def test_a_pool_that_shrinks_and_grows_under_load_loses_and_doubles_nothing(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, workers(book, 4), store=stores()) as s:
        administration = s.ref("/top/a", Pool)
        for size in (1, 5, 2, 4):
            words = [f"{size}-{n}" for n in range(40)]
            telling = asyncio.gather(*(worker_ref(s).tell(Worker.note, word) for word in words))
            await turns(3)
            await administration.ask(Pool.resize, size)
            await telling
        await s.idle()
        assert Counter(book.words) == Counter(f"{size}-{n}" for size in (1, 5, 2, 4) for n in range(40))
