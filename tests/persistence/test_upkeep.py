"""The laws of the upkeep of a SQLite file: what is deleted and what never, what a copy holds, what stays bounded."""

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.contract import SetClock
from tests.persistence.jobs import Book, Worker, failing, rest, running, worker, worker_ref
from upright.actors import ActorSystem
from upright.persistence import (
    KEEP_ALL,
    Retention,
    Retry,
    Sqlite,
    Store,
    StoreCorrupt,
    StoreFailing,
    StoreSwept,
    StoreUnavailable,
    quarantine,
)
from upright.persistence.records import Batch, Outgoing, Step, Want
from upright.persistence.sqlite_engine import SqliteEngine
from upright.persistence.sqlite_schema import VERSION, connect
from upright.persistence.sqlite_sweep import Sweep, Swept
from upright.persistence.sqlite_upkeep import Upkeep
from upright.persistence.wal import LONG
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio
NOTHING = Retention(finished_for=0.0, quarantined_for=0.0)
ONCE = Retry(max_attempts=1)
RULED = Retry(classify=lambda _: quarantine("broken"))
"""What is ruled by its error parks nothing, however many they are."""


def rows(path: Path, table: str = "message") -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def one_of_each(s: ActorSystem, book: Book, store: Store) -> dict[str, int]:
    """The ids of a message that is done, one in quarantine, one dropped, one that waits."""
    book.deeds["break"] = failing(99, rest)
    ref = worker_ref(s)
    receipts = {
        "done": await ref.once("key").tell(Worker.note, "x"),
        "quarantined": await ref.tell(Worker.do, "break"),
        "dropped": await ref.later(9_999).tell(Worker.note, "y"),
        "waiting": await ref.later(9_999).tell(Worker.note, "z"),
    }
    ids = {name: receipt.id for name, receipt in receipts.items() if receipt is not None}
    assert await store.cancel(ids["dropped"])
    while (await store.counts())["work"].quarantined < 1:  # noqa: ASYNC110  # no event tells of a commit
        await asyncio.sleep(0.001)
    return ids


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        pytest.param(Retention(), {"done", "quarantined", "dropped", "waiting"}, id="a week is not over"),
        pytest.param(Retention(finished_for=0.0), {"quarantined", "waiting"}, id="by age"),
        pytest.param(Retention(finished_count=0), {"quarantined", "waiting"}, id="by count"),
        pytest.param(Retention(finished_count=1), {"quarantined", "dropped", "waiting"}, id="the latest"),
        pytest.param(Retention(finished_count=4), {"done", "quarantined", "dropped", "waiting"}, id="few enough"),
        pytest.param(NOTHING, {"waiting"}, id="letters by age"),
        pytest.param(Retention(quarantined_count=0), {"done", "dropped", "waiting"}, id="letters by count"),
        pytest.param(Retention(quarantined_count=1), {"done", "quarantined", "dropped", "waiting"}, id="one letter"),
        pytest.param(KEEP_ALL, {"done", "quarantined", "dropped", "waiting"}, id="for ever"),
    ],
)
async def test_a_sweep_deletes_what_retention_lets_go_with_its_story_and_nothing_else(
    system: Systems, tmp_path: Path, retention: Retention, left: set[str]
) -> None:
    book, store = Book(), Sqlite(tmp_path / "jobs.db", retention=retention)
    async with running(system, worker(book, retry=ONCE, order="free"), store=store) as s:
        ids = await one_of_each(s, book, store)
        swept = await store.sweep()
        stories = {name for name, id in ids.items() if await store.story(id)}
        assert stories == left
        assert swept == Swept(2 - len(left & {"done", "dropped"}), 1 - len(left & {"quarantined"}), 0)
    path = tmp_path / "jobs.db"
    assert (rows(path), rows(path, "failure")) == (len(left), len(left & {"quarantined"}))


async def test_the_once_key_of_what_was_deleted_is_free_and_no_id_is_given_twice(
    system: Systems, tmp_path: Path
) -> None:
    book, store = Book(), Sqlite(tmp_path / "jobs.db", retention=NOTHING)
    async with running(system, worker(book), store=store) as s:
        first = await worker_ref(s).once("key").tell(Worker.note, "x")
        await s.idle()
        again = await worker_ref(s).once("key").tell(Worker.note, "x")
        assert first is not None
        assert again == type(first)(first.id, duplicate=True)
        assert await store.sweep() == Swept(1, 0, 0)
        second = await worker_ref(s).once("key").tell(Worker.note, "x")
        assert second is not None
        assert (second.duplicate, second.id > first.id) == (False, True)
        await s.idle()
        assert book.words == ["x", "x"]


async def test_what_it_deletes_is_told_and_a_file_that_cannot_be_swept_too(
    monkeypatch: pytest.MonkeyPatch, system: Systems, tmp_path: Path
) -> None:
    monkeypatch.setattr("upright.persistence.sqlite_upkeep.EVERY", 0.001)
    book, store, told = Book(), Sqlite(tmp_path / "jobs.db", retention=NOTHING), asyncio.Queue[Any]()
    async with running(system, worker(book), store=store) as s:
        s.subscribe(told.put_nowait, StoreSwept, StoreFailing)
        await worker_ref(s).tell(Worker.note, "x")
        assert await told.get() == StoreSwept("/", 1, 0, 0)
        store._upkeep._path = tmp_path / "gone.db"
        failing = await told.get()
        assert isinstance(failing, StoreFailing)
        assert "gone.db" in failing.error
    assert not (tmp_path / "gone.db").exists()


async def test_a_letter_that_is_redriven_between_the_look_and_the_deed_stays(system: Systems, tmp_path: Path) -> None:
    path, book = tmp_path / "jobs.db", Book()
    store = Sqlite(path, retention=NOTHING)
    async with running(system, worker(book, retry=ONCE, order="free"), store=store) as s:
        ids = await one_of_each(s, book, store)
    with contextlib.closing(connect(path)) as connection:
        select = connection.execute

        class Late(Sweep):
            def _delete(self) -> int:
                select("UPDATE message SET state = 0, finished = NULL WHERE id = ?", (ids["quarantined"],))
                return super()._delete()

        assert Late(connection, VERSION, 9e9, lambda _: False).run(NOTHING) == Swept(2, 0, 0)
        assert select("SELECT count(*) FROM message WHERE id = ?", (ids["quarantined"],)).fetchone() == (1,)
        assert select("SELECT count(*) FROM failure").fetchone() == (1,)


async def test_of_a_long_backlog_those_that_end_first_are_not_the_oldest(system: Systems, tmp_path: Path) -> None:
    """Their ids are the lowest of all, but they have just ended, and their keys are to be known."""
    path = tmp_path / "jobs.db"
    store = Sqlite(path, retention=Retention(finished_count=10))
    async with quiet(system, tree=supervisor("top", worker(Book())), store=store) as s:
        for number in range(5):
            await worker_ref(s).once(f"k{number}").tell(Worker.note, "x")
        await s.idle()
        await worker_ref(s).later(9_999).tell_many(Worker.note, ["later"] * 50)
        assert (await store.sweep()).finished == 0
        receipt = await worker_ref(s).once("k0").tell(Worker.note, "x")
        assert receipt is not None
        assert receipt.duplicate


async def test_a_sweep_deletes_nothing_once_a_newer_program_has_changed_the_tables(
    system: Systems, tmp_path: Path
) -> None:
    path, book = tmp_path / "jobs.db", Book()
    store = Sqlite(path, retention=NOTHING)
    async with running(system, worker(book, retry=ONCE, order="free"), store=store) as s:
        await one_of_each(s, book, store)
    with contextlib.closing(connect(path)) as connection:
        sweep = Sweep(connection, VERSION, 9e9, lambda _: False)
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        assert sweep.run(NOTHING) == Swept(0, 0, 0)
    assert rows(path) == 4


async def test_a_sweep_that_is_stopped_leaves_the_rest_to_the_next_one(system: Systems, tmp_path: Path) -> None:
    path, book, store = tmp_path / "jobs.db", Book(), Sqlite(tmp_path / "jobs.db", retention=NOTHING)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell_many(Worker.note, ["x"] * 800)
        await s.idle()
    with contextlib.closing(connect(path)) as connection:
        swept = Sweep(connection, VERSION, 9e9, lambda _: True).run(NOTHING)
    assert 0 < swept.finished < 800
    assert rows(path) == 800 - swept.finished
    assert await store.sweep() == Swept(800 - swept.finished, 0, 0)


async def test_a_store_that_closes_waits_for_no_long_look_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch, system: Systems, tmp_path: Path
) -> None:
    monkeypatch.setattr("upright.persistence.sqlite_upkeep.SOON", 0.001)
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run(self: Sweep, keep: Retention) -> Swept:
        loop.call_soon_threadsafe(began.set)
        self._one("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
        raise AssertionError("it has no end")

    monkeypatch.setattr(Sweep, "run", run)
    store, told = Sqlite(tmp_path / "jobs.db"), list[StoreFailing]()
    async with asyncio.timeout(20), running(system, worker(Book()), store=store) as s:
        s.subscribe(told.append, StoreFailing)
        await began.wait()
    assert told == []


async def test_the_sweeps_keep_up_with_writers_at_full_speed(
    monkeypatch: pytest.MonkeyPatch, system: Systems, tmp_path: Path
) -> None:
    """They deleted a fifteenth of what was stored meanwhile, so that the file grew and grew."""
    monkeypatch.setattr("upright.persistence.sqlite_upkeep.SOON", 0.01)
    path, book, told = tmp_path / "jobs.db", Book(), list[int]()
    store = Sqlite(path, retention=Retention(finished_count=2_000, quarantined_count=100), synchronous="normal")
    book.deeds["break"] = failing(1_000_000, rest)

    async def produce(ref: Any) -> None:
        """As long as most of it is still there, but not for ever."""
        while sum(told) < 24_000 or (rows(path) > sum(told) / 4 and sum(told) < 400_000):
            told.append(2_000)
            await ref.tell_many(Worker.do, (["rest"] * 99 + ["break"]) * 20)

    tree = supervisor("top", worker(book, retry=RULED, order="free", window=500, max_depth=4_000))
    async with quiet(system, tree=tree, store=store) as s:
        await asyncio.gather(*(produce(worker_ref(s)) for _ in range(3)))
        assert rows(path) <= sum(told) / 4
        await s.idle()
        await store.sweep()  # which counts the letters that it is about to delete
        await store.sweep()
    assert rows(path) <= 2_000 + 2 * 100
    with contextlib.closing(connect(path)) as connection:
        (letters,) = connection.execute("SELECT count(*) FROM message WHERE state = 3").fetchone()
        assert letters == 100
        for table in ("failure", "event"):
            orphans = f"SELECT count(*) FROM {table} WHERE message NOT IN (SELECT id FROM message)"  # two words
            assert connection.execute(orphans).fetchone() == (0,)


async def test_file_and_log_stay_bounded_under_steady_work(tmp_path: Path) -> None:
    """A day of it, as far as the clock can tell: 24 hours, 40,000 messages, of which an hour's are kept."""
    path, clock = tmp_path / "jobs.db", SetClock()
    engine = SqliteEngine(path, "normal", clock)
    await engine.open(lambda _: None)
    upkeep = Upkeep(path, Retention(finished_for=3_600.0), clock)
    sizes, logs = list[int](), list[int]()
    try:
        for hour in range(24):
            for _ in range(17):
                clock.pass_by(3_600 / 17)
                puts = [Outgoing("work", "do", bytes(100))] * 100
                written = await engine.write(Batch(puts=puts, wants=[Want("work", "free", 100)]))
                steps = [Step(one, "ack", 1) for one in written.deliveries]
                await engine.write(Batch(steps=steps))
            await upkeep.sweep()
            sizes.append(path.stat().st_size)
            logs.append(Path(f"{path}-wal").stat().st_size)
            assert hour < 2 or rows(path) <= 2 * 1_700
    finally:
        await engine.close()
    assert max(logs) < 2 * LONG
    assert path.stat().st_size < 4 << 20
    assert max(sizes[12:]) <= max(sizes[:12]) * 1.2 + 65_536


async def test_a_copy_is_the_store_at_one_moment_while_it_goes_on(system: Systems, tmp_path: Path) -> None:
    book, store = Book(), Sqlite(tmp_path / "jobs.db")
    async with running(system, worker(book, retry=ONCE, order="free"), store=store) as s:
        ids = await one_of_each(s, book, store)
        await store.backup(tmp_path / "copy.db")
        await worker_ref(s).ask(Worker.note, "after")
    copy = Sqlite(tmp_path / "copy.db")
    assert {name for name, id in ids.items() if await copy.story(id)} == set(ids)
    async with running(system, worker(Book()), store=copy) as s:
        assert await copy.quarantine.redrive(ids["quarantined"]) == 1
        assert await worker_ref(s).once("key").ask(Worker.note, "x") == "x"
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_copy_never_takes_the_place_of_a_file_and_half_a_copy_does_not_stay(
    system: Systems, tmp_path: Path
) -> None:
    book, store = Book(), Sqlite(tmp_path / "jobs.db")
    (tmp_path / "there").write_text("mine")
    async with running(system, worker(book), store=store):
        with pytest.raises(StoreUnavailable, match=r"expected a new file for the copy, but there is .*there"):
            await store.backup(tmp_path / "there")
        assert (tmp_path / "there").read_text() == "mine"
        with pytest.raises(StoreUnavailable, match=r"expected a folder for the copy, but there is no .*nowhere"):
            await store.backup(tmp_path / "nowhere" / "copy.db")


async def test_a_vacuum_gives_room_back(system: Systems, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    book, store = Book(), Sqlite(path, retention=NOTHING)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell_many(Worker.note, ["x" * 500] * 2_000)
        await s.idle()
        await store.sweep()
    before = path.stat().st_size
    await store.vacuum()
    assert path.stat().st_size < before / 4


async def test_what_is_no_store_is_told_and_not_made(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "none.db", retention=NOTHING)
    for deed in (store.sweep, store.vacuum, lambda: store.backup(tmp_path / "copy.db")):
        with pytest.raises(StoreUnavailable, match=r"expected a store at .*none\.db, found none"):
            await deed()
    assert os.listdir(tmp_path) == []
    (tmp_path / "text.db").write_bytes(b"no database" * 500)
    with pytest.raises(StoreCorrupt, match=r"text\.db"):
        await Sqlite(tmp_path / "text.db", retention=NOTHING).sweep()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"finished_for": -1.0}, "expected finished_for to be 0 or more seconds, got -1.0"),
        ({"finished_count": -1}, "expected finished_count to be 0 or more, got -1"),
        ({"finished_count": 1.5}, "expected finished_count to be 0 or more, got 1.5"),
        ({"quarantined_for": float("nan")}, "expected quarantined_for to be 0 or more seconds, got nan"),
        ({"quarantined_count": "all"}, "expected quarantined_count to be 0 or more, got 'all'"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Retention(**fields)


def test_a_retention_that_is_none_is_told(tmp_path: Path) -> None:
    wrong: Any = 3_600
    with pytest.raises(TypeError, match="expected retention to be a Retention, got 3600"):
        Sqlite(tmp_path / "jobs.db", retention=wrong)
