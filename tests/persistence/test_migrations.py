"""The laws of a file that is older than the code: it becomes one of today in one step, or it stays what it was."""

import asyncio
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import Book, Worker, running, worker, worker_ref
from tests.persistence.neighbour import FAILS, NEXT, Clerk, Porter, neighbour
from upright.persistence import Counts, Durable, Sqlite, StoreTooNew, StoreUnavailable, sqlite_schema
from upright.persistence.sqlite_schema import VERSION
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio


class Carrier(Porter):
    """Carries at once."""

    mailbox = Durable("porters", order="free")
    carried: list[int] = []

    async def carry(self, number: int) -> None:
        self.carried.append(number)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A file with a state and messages of every kind, and their ids: done, three in quarantine, two that wait."""
    path = tmp_path_factory.mktemp("older") / "jobs.db"
    with neighbour(path) as service:
        service.go_on()
        return path, service.ids


@pytest.fixture
def older(made: tuple[Path, list[int]], tmp_path: Path) -> tuple[Path, list[int]]:
    """A copy of it."""
    path, ids = made
    shutil.copy(path, tmp_path / "jobs.db")
    return tmp_path / "jobs.db", ids


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets this process be of a version with these migrations too."""

    def become(*scripts: str) -> None:
        monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS[:VERSION], *scripts))
        monkeypatch.setattr(sqlite_schema, "VERSION", VERSION + len(scripts))

    return become


def asked(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def looked_at(path: Path) -> list[Any]:
    """All that a migration may have touched."""
    tables = [name for (name,) in asked(path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return [
        asked(path, "PRAGMA user_version"),
        *([name, asked(path, f"SELECT * FROM {name}")] for name in tables if name not in ("session", "pulse")),
    ]


async def served(system: Systems, path: Path, ids: list[int]) -> None:
    """A service finds all that the file held."""
    store, tree = Sqlite(path), supervisor("top", child("clerk", Clerk), child("porter", Carrier))
    done, failed, waiting = ids[0], ids[1:4], ids[4:]
    Carrier.carried.clear()
    stories = [[event.name for event in await store.story(id)] for id in (done, failed[0])]
    assert stories == [["stored", "claimed", "acked"], ["stored", "claimed", "failed", "quarantined"]]
    assert [letter.id async for letter in store.quarantine.letters()] == failed
    assert (await store.counts())["porters"] == Counts(waiting=2)
    async with quiet(system, tree=tree, store=store) as s:
        assert await s.ref("/top/clerk", Clerk).ask(Clerk.book, 0) == 5
        await s.idle()
        assert Carrier.carried == [1, 2]
        assert await store.quarantine.discard(failed[0]) == 1
        receipt = await s.ref("/top/porter", Carrier).tell(Carrier.carry, 3)
        assert receipt is not None
        assert receipt.id > max(waiting)
        await s.idle()
    assert (await store.counts()) == {"clerk": Counts(quarantined=2)}


async def test_an_older_file_is_migrated_and_keeps_its_messages_its_states_its_stories_and_its_quarantine(
    system: Systems, older: tuple[Path, list[int]], newer: Any
) -> None:
    path, ids = older
    (name,) = asked(path, "SELECT value FROM meta WHERE name = 'name'")
    newer(NEXT)
    async with quiet(system, store=Sqlite(path)):
        pass
    assert asked(path, "PRAGMA user_version") == [(VERSION + 1,)]
    assert {id for (id,) in asked(path, "SELECT message FROM colour")} >= set(ids)
    assert asked(path, "SELECT value FROM meta WHERE name = 'name'") == [name]
    await served(system, path, ids)


async def test_a_file_that_is_several_versions_old_takes_every_step_in_order_and_once(
    system: Systems, older: tuple[Path, list[int]], newer: Any
) -> None:
    path, ids = older
    newer(NEXT, "ALTER TABLE colour RENAME TO shade;\n", "UPDATE shade SET name = 'dark ' || name;\n")
    for _ in range(2):
        async with quiet(system, store=Sqlite(path)):
            pass
    assert asked(path, "PRAGMA user_version") == [(VERSION + 3,)]
    assert asked(path, "SELECT DISTINCT name FROM shade") == [("dark blue",)]
    await served(system, path, ids)


async def test_a_new_file_is_made_by_all_migrations_too(system: Systems, tmp_path: Path, newer: Any) -> None:
    newer(NEXT)
    async with quiet(system, store=Sqlite(tmp_path / "new.db")):
        pass
    assert asked(tmp_path / "new.db", "PRAGMA user_version") == [(VERSION + 1,)]
    assert asked(tmp_path / "new.db", "SELECT count(*) FROM colour") == [(0,)]


async def test_a_migration_that_fails_says_which_one_it_is_and_changes_nothing(
    system: Systems, older: tuple[Path, list[int]], newer: Any
) -> None:
    path, ids = older
    before = looked_at(path)
    for scripts, at in ([NEXT + FAILS], VERSION), ([NEXT, "DROP TABLE x;\n"], VERSION + 1):
        newer(*scripts)
        with pytest.raises(StoreUnavailable, match=f"jobs.db: the migration from version {at} to {at + 1} failed"):
            await quiet(system, store=Sqlite(path)).start()
        assert looked_at(path) == before
    assert [file.name for file in path.parent.glob("jobs.db*")] == ["jobs.db"]
    newer()
    await served(system, path, ids)


async def test_a_kill_in_the_middle_of_a_migration_leaves_a_file_of_the_older_version(
    system: Systems, older: tuple[Path, list[int]]
) -> None:
    path, ids = older
    before = looked_at(path)
    with neighbour(path, "die") as dying:
        assert dying.go_on() == ""
        assert dying.process.returncode == -signal.SIGKILL
    assert looked_at(path) == before
    await served(system, path, ids)


async def test_after_such_a_kill_the_next_one_migrates_it(
    system: Systems, older: tuple[Path, list[int]], newer: Any
) -> None:
    path, ids = older
    with neighbour(path, "die") as dying:
        dying.go_on()
    newer(NEXT)
    await served(system, path, ids)
    assert asked(path, "PRAGMA user_version") == [(VERSION + 1,)]


async def test_of_two_processes_that_migrate_at_once_one_does_it_and_both_get_in(
    older: tuple[Path, list[int]],
) -> None:
    path, _ = older
    with neighbour(path, "migrate") as one, neighbour(path, "migrate") as other:
        said = await asyncio.gather(*(asyncio.to_thread(each.go_on) for each in (one, other)))
    totals = sorted(line for text in said for line in text.splitlines())
    assert totals == ["total 6", "total 7"]
    assert asked(path, "SELECT value FROM meta WHERE name = 'migrated'") == [(1,)]


async def test_a_process_whose_migration_fails_holds_up_nobody(older: tuple[Path, list[int]]) -> None:
    path, _ = older
    with neighbour(path, "stumble") as stumbling, neighbour(path, "migrate") as other:
        stumbled, migrated = await asyncio.gather(*(asyncio.to_thread(each.go_on) for each in (stumbling, other)))
    failed = f"the migration from version {VERSION} to {VERSION + 1} failed: UNIQUE constraint failed: meta.name"
    if failed in stumbled:
        assert migrated == "total 6\n"
    else:  # the other one was first, and there was nothing left to fail
        assert {migrated, stumbled} == {"total 6\n", "total 7\n"}


async def test_who_has_the_file_open_while_a_newer_version_migrates_it_writes_no_more(
    system: Systems, tmp_path: Path
) -> None:
    book, path = Book(), tmp_path / "jobs.db"
    async with running(system, worker(book), store=Sqlite(path)) as s:
        await worker_ref(s).ask(Worker.note, "x")
        with closing(sqlite3.connect(path)) as newer:
            newer.execute(f"PRAGMA user_version = {VERSION + 1}")
            with pytest.raises(StoreTooNew, match=f"expected tables of version {VERSION}, got {VERSION + 1}"):
                await worker_ref(s).tell(Worker.note, "y")
            assert newer.execute("SELECT count(*) FROM message").fetchone() == (1,)
            newer.execute(f"PRAGMA user_version = {VERSION}")  # as if it had been a mistake
        await worker_ref(s).ask(Worker.note, "z")
        assert book.words == ["x", "z"]
