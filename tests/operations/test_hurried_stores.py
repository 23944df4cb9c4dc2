"""The law of a drain whose store waits for somebody else: the store has the time that the drain has, and no more."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Worker, held, worker
from upright.operations import Health
from upright.operations.drain import RESERVE, Drain
from upright.persistence import Memory, Sqlite, sqlite_engine
from upright.persistence import store as stores
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio
FOR_EVER = 1e9


class TestOnAClockOfItsOwn:
    @pytest.fixture
    def anyio_backend(self, virtual_time: Any) -> Any:
        return virtual_time

    @pytest.mark.parametrize(("takes", "left"), [(0.0, 10.0), (4.0, 6.0), (100.0, 2.0)])
    async def test_the_store_is_told_what_is_left_when_nothing_runs_any_more(
        self, system: Systems, monkeypatch: pytest.MonkeyPatch, takes: float, left: float
    ) -> None:
        book, store, told = Book(), Memory(), list[float]()
        monkeypatch.setattr(store, "hurry", told.append)
        began, gate = asyncio.Event(), asyncio.Event()
        book.deeds["hold"] = held(began, gate)
        async with system(supervisor("top", worker(book), max_restarts=0), store=store, log=None) as made:
            await made.ref("/top/a", Worker).tell(Worker.do, "hold")
            await began.wait()
            asyncio.get_running_loop().call_later(takes, gate.set)
            await Drain(made, Health(made), 10.0).finish()
        assert told[0] == pytest.approx(left, abs=0.01)

    async def test_of_a_drain_that_has_no_time_it_has_a_little(
        self, system: Systems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, told = Memory(), list[float]()
        monkeypatch.setattr(store, "hurry", told.append)
        async with system(supervisor("top", worker(Book()), max_restarts=0), store=store, log=None) as made:
            await Drain(made, Health(made), 0.0).finish()
        assert told[0] == RESERVE


async def test_a_drain_ends_although_the_file_of_its_store_is_locked_for_ever(
    system: Systems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_engine, "LOCKED_FOR", FOR_EVER)
    monkeypatch.setattr(stores, "CLOSES_IN", FOR_EVER)
    book = Book()
    tree = supervisor("top", worker(book), max_restarts=0)
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
        async with system(tree, store=Sqlite(tmp_path / "jobs.db"), log=None) as made:
            await made.ref("/top/a", Worker).ask(Worker.note, "x")
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(60):
                await Drain(made, Health(made), 0.1).finish()
            assert not made.running
    assert book.words == ["x"]
