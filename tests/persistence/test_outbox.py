"""The laws of the outbox: a message is stored by the sender's own transaction, in its place, or never was."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Plain,
    Worker,
    letters,
    plain_ref,
    running,
    until,
    worker,
    worker_ref,
)
from upright.actors.errors import NotDurable
from upright.persistence import NoTransaction, Sqlite, sqlite_session

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Sqlite:
    return Sqlite(tmp_path / "jobs.db")


def set_clock(store: Sqlite, time: float) -> None:
    """The clock of the machine is set."""
    store.now = store._sqlite.now = lambda: time


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_a_message_is_stored_if_the_transaction_commits_and_else_never_was(
    system: Systems, store: Sqlite, ends: str
) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        assert book.words == []
        await getattr(database, ends)()
        await worker_ref(s).tell(Worker.note, "y")
        await until(lambda: "y" in book.words and (ends == "rollback" or "x" in book.words))
        await s.idle()
        assert book.words == (["x", "y"] if ends == "commit" else ["y"])
        assert await store.counts() == {}
        await has_looked(store)


async def test_it_is_handled_soon_though_nothing_else_is_told(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await s.idle()
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        await database.commit()
        await until(lambda: book.words == ["x"])


async def test_a_plain_connection_does_as_well(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s:
        database = sqlite3.connect(store.path)
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        database.commit()
        database.close()
        await until(lambda: book.words == ["x"])


async def test_a_connection_that_commits_each_statement_is_refused(system: Systems, store: Sqlite) -> None:
    async with running(system, worker(Book()), worker(Book(), Plain, "b"), store=store) as s:
        database = sqlite3.connect(store.path, isolation_level=None)
        with pytest.raises(NoTransaction):
            await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        with pytest.raises(NotDurable):
            await store.outbox(database).tell(plain_ref(s), Plain.note, "x")
        database.close()
        assert await store.counts() == {}


async def test_an_idempotency_key_counts_in_it_and_the_depth_with_it(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await worker_ref(s).once("key").tell(Worker.note, "first")
        await s.idle()
        await store.outbox(database).tell(worker_ref(s).once("key"), Worker.note, "second")
        await database.commit()
        await worker_ref(s).tell(Worker.note, "last")
        await s.idle()
        assert (book.words, await store.counts()) == (["first", "last"], {})
        await has_looked(store)


async def has_looked(store: Sqlite) -> None:
    """Have the session see that something was written beside it, so that it watches out no more."""
    session = store._sqlite._open_session
    beside = sqlite3.connect(store.path)
    beside.execute(f"CREATE TABLE beside_{random.getrandbits(60)}(x)")
    beside.commit()
    beside.close()
    await until(lambda: not session._expected)


async def later_than_all(system: Systems, store: Sqlite, book: Book) -> list[str]:
    """Handle what is stored, in its order."""
    async with running(system, worker(book), store=Sqlite(store.path)) as s:
        await s.idle()
    return book.words


@pytest.mark.parametrize("first", ["tell", "outbox"])
async def test_it_stands_behind_and_before_others_in_the_order_of_coming_though_the_clock_is_set_back(
    system: Systems, store: Sqlite, first: str
) -> None:
    book = Book()
    async with running(system, store=store) as s, aiosqlite.connect(store.path) as database:
        now = store.now()
        for number, after in enumerate((0.0, 10.0, -3600.0, -1800.0)):
            set_clock(store, now + after)
            if number % 2 == (first == "tell"):
                await store.outbox(database).tell(worker_ref(s), Worker.note, str(number))
                await database.commit()
                await has_looked(store)
            else:
                await worker_ref(s).tell(Worker.note, str(number))
    assert await later_than_all(system, store, book) == ["0", "1", "2", "3"]


async def test_what_is_told_in_it_for_a_later_time_comes_then_and_leaves_others_in_their_places(
    system: Systems, store: Sqlite
) -> None:
    book = Book()
    async with running(system, store=store) as s, aiosqlite.connect(store.path) as database:
        await store.outbox(database).tell(worker_ref(s).later(0.1), Worker.note, "late")
        await database.commit()
        await has_looked(store)
        await worker_ref(s).tell(Worker.note, "second")
        await store.outbox(database).tell(worker_ref(s).priority(5), Worker.note, "first")
        await database.commit()
        await has_looked(store)
        await worker_ref(s).tell(Worker.note, "third")
    assert await later_than_all(system, store, book) == ["first", "second", "third", "late"]
    assert await letters(store) == []


def look_often(store: Sqlite, patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Have the session look every millisecond whether something was committed; the result says how often it has."""
    session: Any = store._sqlite._open_session
    looked, version = [0], session._data_version

    def count() -> Any:
        looked[0] += 1
        return version()

    patch.setattr(sqlite_session, "LOOK_EVERY", 0.001)
    patch.setattr(session, "_data_version", count)
    return lambda: looked[0]


async def test_what_is_committed_is_handled_though_the_next_transaction_to_its_address_is_rolled_back(
    system: Systems, store: Sqlite
) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        database = sqlite3.connect(store.path)
        await store.outbox(database).tell(worker_ref(s), Worker.note, "committed")
        database.commit()
        await store.outbox(database).tell(worker_ref(s), Worker.note, "undone")
        database.rollback()
        await until(lambda: bool(book.words))
        database.close()
    assert book.words == ["committed"]


async def test_a_transaction_may_take_as_long_as_it_likes(
    system: Systems, store: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await s.idle()
        looked = look_often(store, monkeypatch)
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        await until(lambda: looked() > 100)
        await database.commit()
        await until(lambda: book.words == ["x"])


async def test_nobody_looks_any_more_when_the_transaction_is_over(
    system: Systems, store: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(system, worker(Book()), store=store) as s, aiosqlite.connect(store.path) as database:
        await s.idle()
        looked = look_often(store, monkeypatch)
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        await database.rollback()
        await until(lambda: not store._sqlite._open_session._expected)
        before = looked()
        await asyncio.sleep(0.05)
        assert looked() == before
