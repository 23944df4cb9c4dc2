"""The laws of the outbox: a message is stored by the sender's own transaction, in its place, or never was."""

import asyncio
import random
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

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
from upright.persistence import Memory, NoTransaction, Sqlite, StoreError, sqlite_session

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


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the sqlite3 of this Python knows no autocommit")
async def test_so_is_one_that_is_told_to_commit_by_itself(system: Systems, store: Sqlite) -> None:
    async with running(system, worker(Book()), store=store) as s:
        options: dict[str, Any] = {"autocommit": True}
        database = sqlite3.connect(store.path, **options)
        async with aiosqlite.connect(store.path, **options) as other:
            for connection in (database, other):
                with pytest.raises(NoTransaction):
                    await store.outbox(connection).tell(worker_ref(s), Worker.note, "x")
        assert await store.counts() == {}
        options["autocommit"] = False
        with sqlite3.connect(store.path, **options) as always:
            await store.outbox(always).tell(worker_ref(s), Worker.note, "x")
        await s.idle()
        always.close()
        database.close()


@pytest.mark.parametrize("kind", ["of another store", "of no store", "in memory"])
async def test_a_connection_on_another_file_is_refused_with_the_names_of_both(
    system: Systems, store: Sqlite, tmp_path: Path, kind: str
) -> None:
    other = Sqlite(tmp_path / "other.db")
    name = {"of another store": str(other.path), "of no store": str(tmp_path / "none.db"), "in memory": ":memory:"}[
        kind
    ]
    async with running(system, worker(Book()), store=other), running(system, worker(Book()), store=store) as s:
        async with aiosqlite.connect(name) as database:
            with pytest.raises(StoreError) as caught:
                await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
            await database.commit()
        assert str(store.path) in str(caught.value)
        assert name.strip(":") in str(caught.value)
        assert await other.counts() == await store.counts() == {}


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
async def test_a_ref_of_a_system_with_another_store_is_refused_with_the_names_of_both(
    system: Systems, store: Sqlite, tmp_path: Path, kind: str
) -> None:
    other = Sqlite(tmp_path / "other.db") if kind == "sqlite" else Memory()
    async with running(system, worker(Book()), store=other) as theirs, running(system, worker(Book()), store=store):
        async with aiosqlite.connect(store.path) as database:
            with pytest.raises(StoreError) as caught:
                await store.outbox(database).tell(worker_ref(theirs), Worker.note, "x")
            await database.commit()
        assert str(store.path) in str(caught.value)
        assert (str(other.path) if isinstance(other, Sqlite) else "Memory") in str(caught.value)
        assert await store.counts() == {}


async def test_a_file_that_has_two_names_is_one_file(system: Systems, store: Sqlite, tmp_path: Path) -> None:
    book, link = Book(), tmp_path / "link.db"
    link.symlink_to(store.path)
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(link) as database:
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        await database.commit()
        await until(lambda: book.words == ["x"])


async def test_many_may_tell_at_once_on_one_connection_and_the_depth_is_right(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await s.idle()
        outbox, ref = store.outbox(database), worker_ref(s)
        keys = ("k", "k", "", "l", "", "k", "l", "")
        telling = [outbox.tell(ref.once(key) if key else ref, Worker.note, key) for key in keys]
        await asyncio.gather(*telling)
        assert await depth(database) == 5
        await database.commit()
        await until(lambda: len(book.words) == 5)
        await s.idle()
        assert (sorted(book.words), await store.counts()) == (["", "", "", "k", "l"], {})


async def test_it_does_not_matter_what_else_the_connection_writes_meanwhile(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await database.execute("CREATE TABLE mine(x)")
        outbox, ref = store.outbox(database), worker_ref(s)
        telling = [outbox.tell(ref.once(str(number)), Worker.note, str(number)) for number in (1, 2, 1, 2)]
        writing = [database.execute("INSERT INTO mine VALUES (?)", (number,)) for number in range(40)]
        await asyncio.gather(*telling, *writing)
        await database.commit()
        await until(lambda: len(book.words) == 2)
        await s.idle()
        assert (sorted(book.words), await store.counts()) == (["1", "2"], {})


async def test_one_who_is_cancelled_while_telling_leaves_the_depth_right(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await s.idle()
        for rounds in range(1, 12):
            telling = asyncio.ensure_future(store.outbox(database).tell(worker_ref(s), Worker.note, "x"))
            for _ in range(rounds):
                await database.execute("SELECT 1")
            telling.cancel()
            await asyncio.wait([telling])
            await database.commit()
        await has_looked(store)
        await s.idle()
        assert (await depth(database), await store.counts()) == (0, {})


async def test_a_connection_that_makes_rows_of_its_own_kind_does_as_well(system: Systems, store: Sqlite) -> None:
    book = Book()
    async with running(system, worker(book), store=store) as s, aiosqlite.connect(store.path) as database:
        database.row_factory = cast("Any", named)
        database.text_factory = bytes
        await store.outbox(database).tell(worker_ref(s), Worker.note, "x")
        await database.commit()
        await until(lambda: book.words == ["x"])


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


def named(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> dict[str, object]:
    """A row as many like it."""
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


async def depth(database: aiosqlite.Connection) -> int:
    """How many unfinished messages the store says that there are for the worker."""
    async with database.execute("SELECT depth FROM mailbox WHERE address = 'work'") as found:
        row: Any = await found.fetchone()
    return int(row[0])


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
