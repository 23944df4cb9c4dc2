"""The laws of a drain: what runs comes to its end, nothing else begins, and all else is the next process's."""

import asyncio
import sqlite3
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Stores,
    Weather,
    Worker,
    held,
    other_ref,
    running,
    story,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.persistence import Sqlite, StoreUnavailable

pytestmark = pytest.mark.anyio


async def test_what_runs_comes_to_its_end_and_nothing_else_begins(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        first = await worker_ref(s).tell(Worker.do, "hold")
        await worker_ref(s).tell(Worker.note, "behind it")
        await began.wait()
        store.stop_intake()
        await other_ref(s).tell(Other.note, "told meanwhile")
        quiet = asyncio.create_task(store.quiet())
        await turns()
        assert not quiet.done()
        gate.set()
        await quiet
        assert first is not None
        assert (await story(store, first.id))[-1] == "acked"
        assert book.words == []
        assert {address: counts.waiting for address, counts in (await store.counts()).items()} == {
            "work": 1,
            "other": 1,
        }
    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await s.idle()
    assert sorted(book.words) == ["behind it", "told meanwhile"]


async def test_whom_a_handler_that_runs_asks_still_answers(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()

    @book.deed
    async def ask(me: Any) -> None:
        await held(began, gate)(me)
        book.add(await me.ctx.ref("/top/b", Other).ask(Other.note, "asked"))
        book.add("answered")

    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await began.wait()
        store.stop_intake()
        gate.set()
        await store.quiet()
        assert book.words == ["asked", "asked", "answered"]


async def test_suspects_that_wait_for_their_turn_go_back(system: Systems, stores: Stores) -> None:
    """They run one after another, and that may take longer than there is time."""
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    solitude: Any
    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        solitude = store.solitude
        assert await solitude.enter("somebody", True)  # somebody is alone, so that both wait to begin
        await worker_ref(s).tell(Worker.do, "hold")
        await other_ref(s).tell(Other.do, "hold")
        await until(lambda: len(solitude._waiting) == 2)
        store.stop_intake()
        await turns()
        solitude.leave(True)
        await store.quiet()
        assert book.begun["hold"] == 0
        counts = await store.counts()
        assert all((one.waiting, one.claimed) == (1, 0) for one in counts.values())


async def test_it_takes_again_when_it_is_opened_anew(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store):
        store.stop_intake()
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.note, "x")
        await s.idle()
    assert book.words == ["x"]


async def test_a_probe_of_a_store_that_is_well_writes_nothing(system: Systems, stores: Stores, tmp_path: Any) -> None:
    store = stores()
    async with running(system, store=store):
        await store.probe()
        before = (tmp_path / "jobs.db-wal").stat().st_size if isinstance(store, Sqlite) else 0
        for _ in range(10):
            await store.probe()
        after = (tmp_path / "jobs.db-wal").stat().st_size if isinstance(store, Sqlite) else 0
        assert before == after


async def test_a_probe_of_a_store_that_failed_ends_when_it_takes_something_again(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    weather = Weather(store)
    async with running(system, worker(Book()), store=store) as s:
        weather.before = [StoreUnavailable("the disk is full")] * 1_000
        with pytest.raises(StoreUnavailable):
            await worker_ref(s).tell(Worker.note, "x")
        probe = asyncio.create_task(store.probe())
        await turns()
        assert not probe.done()
        assert "the disk is full" in str(store.trouble)
        weather.before.clear()
        await probe
        assert store.trouble is None


async def test_a_probe_tells_of_a_file_that_is_locked_for_good(
    system: Systems, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upright.persistence.sqlite_engine.LOCKED_FOR", 0.05)
    store = Sqlite(tmp_path / "jobs.db")
    async with running(system, store=store):
        other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.probe()
        other.execute("ROLLBACK")
        other.close()
        await store.probe()
