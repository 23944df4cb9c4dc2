"""The laws of asks that get no answer: however the message ends, whoever asked hears of it, and waits no longer."""

import asyncio
import math
from pathlib import Path

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Stores,
    Weather,
    Worker,
    fail,
    hang,
    held,
    running,
    until,
    worker,
    worker_ref,
)
from upright.actors import ActorFailed, ActorGone, ActorSystem
from upright.persistence import Memory, Retry, Sqlite, Store
from upright.supervision import child

pytestmark = pytest.mark.anyio


def ask(s: ActorSystem, word: str = "x", delay: float = 60.0) -> "asyncio.Task[str]":
    """An ask without an end, of a message that is not handled before that delay."""
    return asyncio.ensure_future(worker_ref(s).later(delay).within(math.inf).ask(Worker.note, word))


async def waits(store: Store) -> None:
    """Until a message waits."""
    while not (counts := await store.counts()) or counts["work"].waiting == 0:  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0.001)


async def test_whoever_asked_hears_that_the_message_was_cancelled_before_it_was_handled(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    async with running(system, worker(Book()), store=store) as s:
        asking = ask(s)
        await waits(store)
        assert await store.cancel(1)
        with pytest.raises(ActorFailed, match="/top/a did not handle note: the message was cancelled") as caught:
            await asking
        assert caught.value.handled is False


async def test_whoever_asked_hears_it_of_one_that_was_tried_before_too(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    policy = Retry(base=60.0, jitter="none")
    async with running(system, worker(book, retry=policy), store=store) as s:
        asking = asyncio.ensure_future(worker_ref(s).within(math.inf).ask(Worker.do, "fail"))
        await until(lambda: book.begun["fail"] == 1)
        await waits(store)
        assert await store.cancel(1)
        with pytest.raises(ActorFailed, match="cancelled") as caught:
            await asking
        assert caught.value.handled is True


async def test_all_who_asked_with_that_key_hear_it_and_the_next_one_with_it_is_handled(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        ref = worker_ref(s).once("key").within(math.inf)
        asking = [asyncio.ensure_future(ref.later(60).ask(Worker.note, str(number))) for number in range(3)]
        await waits(store)
        await until(lambda: len(store._asked.get(1, ())) == 3)
        assert await store.cancel(1)
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in ended] == [ActorFailed] * 3
        assert await ref.ask(Worker.note, "again") == "again"


async def test_whoever_asked_in_another_process_hears_it_too(system: Systems, tmp_path: Path) -> None:
    here, there = (Sqlite(tmp_path / "jobs.db") for _ in range(2))
    async with running(system, worker(Book()), store=here) as s, running(system, store=there):
        asking = ask(s)
        await waits(here)
        assert await there.cancel(1)
        with pytest.raises(ActorFailed, match="cancelled"):
            await asking


async def test_a_store_that_keeps_nothing_tells_of_it_all_the_same(system: Systems) -> None:
    store = Memory(keep=0)
    async with running(system, worker(Book()), store=store) as s:
        asking = ask(s)
        await waits(store)
        assert await store.cancel(1)
        with pytest.raises(ActorFailed, match="cancelled"):
            await asking


async def test_what_was_told_is_cancelled_as_before(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        receipt = await worker_ref(s).later(60).tell(Worker.note, "x")
        assert receipt is not None
        assert await store.cancel(receipt.id)
        await s.idle()
    assert book.words == []


async def test_whoever_asks_hears_that_the_system_has_stopped_and_that_the_message_is_stored(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    book.deeds["hang"] = hang
    first = child("a", Worker, book).options(shutdown=0.01)
    async with running(system, first, store=store) as s:
        begun = asyncio.ensure_future(worker_ref(s).within(math.inf).ask(Worker.do, "hang"))
        await until(lambda: book.begun["hang"] == 1)
        asking = ask(s, delay=0.0)
        await until(lambda: len(store._asked) == 2)
    for number, task in enumerate((begun, asking), 1):
        with pytest.raises(ActorGone, match=rf"from /top/a: the system has stopped; message {number} is stored"):
            await task
    book.deeds["hang"] = fail
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert book.words == ["x"]


async def test_so_does_one_whose_message_is_being_stored_while_the_system_stops(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        weather = Weather(store)
        weather.calm.clear()
        asking = ask(s)
        await until(lambda: weather.writes == 1)
        asyncio.get_running_loop().call_later(0.05, weather.calm.set)
    with pytest.raises(ActorGone, match="message 1 is stored"):
        await asking
    assert not store._asked


async def test_a_reply_that_is_there_before_the_end_is_the_answer(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=stores()) as s:
        asking = asyncio.ensure_future(worker_ref(s).ask(Worker.do, "hold"))
        await began.wait()
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert await asking is None
