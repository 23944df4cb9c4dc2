"""The laws of a store that closes while another process holds its file: it waits so long, and loses nothing."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import BOUND, Book, Other, Worker, held, letters, running, turns, worker, worker_ref
from upright.persistence import Sqlite, sqlite_engine
from upright.persistence import store as stores
from upright.persistence.sqlite_engine import SqliteEngine

pytestmark = pytest.mark.anyio
FOR_EVER = 1e9


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a file whose lock a store waits for as long as it takes, if nothing else has it end."""
    monkeypatch.setattr(sqlite_engine, "LOCKED_FOR", FOR_EVER)
    return tmp_path / "jobs.db"


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Somebody else is in the middle of a write, and stays there; but for a store that would never end otherwise."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        rescue = asyncio.get_running_loop().call_later(BOUND / 2, other.execute, "ROLLBACK")
        yield
        rescue.cancel()
        assert other.in_transaction, "it was waited for"
        other.execute("ROLLBACK")


async def test_a_store_that_closes_while_its_file_is_locked_ends_and_what_had_run_is_handed_out_anew(
    system: Systems, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "CLOSES_IN", 0.05)
    book, attempts = Book(), list[int]()
    began, gate = asyncio.Event(), asyncio.Event()

    @book.deed
    async def work(me: Worker) -> None:
        attempts.append(me.ctx.delivery.attempt)
        await held(began, gate)(me)

    with contextlib.ExitStack() as lock:
        async with running(system, worker(book), worker(book, Other, "b"), store=Sqlite(path)) as s:
            await worker_ref(s).tell(Worker.do, work)
            await began.wait()
            lock.enter_context(locked(path))
            gate.set()
            await turns()
    store = Sqlite(path)
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        assert attempts == [1, 1], "of the first nothing is known"
        assert await letters(store) == []
        assert await store.counts() == {}


async def test_it_waits_so_long_in_all_and_not_for_each_of_its_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of its own, which goes on as far as it sleeps."""
    clock, real = [1_000.0], asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock[0] += seconds
        await real(0)

    engine = SqliteEngine(path, "full")
    await engine.open(lambda _: None)
    with monkeypatch.context() as patch, locked(path):
        patch.setattr("upright.persistence.sqlite_engine.time.monotonic", lambda: clock[0])
        patch.setattr("upright.persistence.sqlite_engine.asyncio.sleep", sleep)
        engine.hurry(5.0)
        for _ in range(3):
            with pytest.raises(Exception, match="locked"):
                await engine._unlocked(lambda: locked_out(path))
        engine.hurry(50.0)  # who has less time keeps to it
        await engine.close()
        assert 5.0 <= clock[0] - 1_000.0 < 5.5


def locked_out(path: Path) -> None:
    """Try to write at once."""
    with contextlib.closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")


async def test_opened_anew_it_waits_as_it_always_does(system: Systems, path: Path) -> None:
    store, book = Sqlite(path), Book()
    async with running(system, worker(book), store=store):
        store.hurry(0.0)
    async with running(system, worker(book), store=store) as s:
        with locked(path):
            telling: asyncio.Task[Any] = asyncio.create_task(worker_ref(s).tell(Worker.note, "x"))
            await turns(200)
            assert not telling.done()
        assert (await telling).id
        await s.idle()
    assert book.words == ["x"]
