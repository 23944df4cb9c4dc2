"""The laws of looking at what is no store of ours, and of its upkeep: it is told by name, and left as it is."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.persistence.jobs import Worker
from upright.persistence import Retention, Sqlite, StoreCorrupt, StoreTooNew, StoreUnavailable
from upright.persistence.reports import RecordFilter
from upright.persistence.sqlite_schema import APPLICATION, VERSION, connect, prepare
from upright.persistence.testing import replay

pytestmark = pytest.mark.anyio
Deed = Callable[[Sqlite], Awaitable[Any]]


async def look_at_letters(store: Sqlite) -> None:
    async for _ in store.quarantine.letters():
        pass


LOOKS: dict[str, Deed] = {
    "counts": lambda store: store.counts(),
    "story": lambda store: store.story(1),
    "letters": look_at_letters,
    "groups": lambda store: store.quarantine.groups(),
    "export": lambda store: store.quarantine.export(store.path.parent / "letters.jsonl"),
    "records": lambda store: store.desk.records(RecordFilter("orders")),
    "replay": lambda store: replay(1, Worker, store=store),
}
UPKEEP: dict[str, Deed] = {
    "sweep": lambda store: store.sweep(),
    "vacuum": lambda store: store.vacuum(),
    "backup": lambda store: store.backup(store.path.parent / "copy.db"),
}
DEEDS = LOOKS | UPKEEP
every_deed = pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)


def store_at(path: Path) -> Sqlite:
    """A store of today is there."""
    with closing(connect(path)) as connection:
        prepare(connection, path, "name", 0.0)
    return Sqlite(path, retention=Retention(finished_for=0.0, quarantined_for=0.0))


def done(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@every_deed
async def test_a_file_of_a_newer_version_is_told_and_left_as_it_is(deed: Deed, tmp_path: Path) -> None:
    """It was looked at, swept, vacuumed and copied as if it were of today."""
    store = store_at(tmp_path / "jobs.db")
    done(store.path, f"PRAGMA user_version = {VERSION + 1}")
    before = store.path.read_bytes()
    with pytest.raises(StoreTooNew, match=rf"jobs\.db to be of version {VERSION} or older, got {VERSION + 1}"):
        await deed(store)
    assert store.path.read_bytes() == before
    assert not (tmp_path / "copy.db").exists()


@every_deed
async def test_what_is_no_database_is_told(deed: Deed, tmp_path: Path) -> None:
    """A look raised the error of SQLite as it was."""
    path = tmp_path / "jobs.db"
    path.write_bytes(b"no database " * 500)
    with pytest.raises(StoreCorrupt, match=r"jobs\.db.*not a database"):
        await deed(Sqlite(path))
    assert path.read_bytes() == b"no database " * 500


@every_deed
async def test_a_damaged_file_is_told(deed: Deed, tmp_path: Path) -> None:
    store = store_at(tmp_path / "jobs.db")
    content = bytearray(store.path.read_bytes())
    content[4_096:] = bytes(len(content) - 4_096)
    store.path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"jobs\.db.*malformed"):
        await deed(store)


@every_deed
@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(("CREATE TABLE pages(url)",), id="tables of others"),
        pytest.param((f"PRAGMA application_id = {APPLICATION + 1}", "CREATE TABLE pages(url)"), id="another one"),
        pytest.param(("PRAGMA user_version = 1", "CREATE TABLE pages(url)"), id="a version of another one"),
    ],
)
async def test_a_database_of_somebody_else_is_told_and_left_as_it_is(
    deed: Deed, statements: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    done(path, *statements)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match=r"jobs\.db to be a store of upright"):
        await deed(Sqlite(path))
    assert path.read_bytes() == before


@every_deed
async def test_an_empty_file_is_no_store_yet(deed: Deed, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.touch()
    with pytest.raises(StoreUnavailable, match=r"expected a store at .*jobs\.db, found an empty file"):
        await deed(Sqlite(path))
    assert path.stat().st_size == 0


@pytest.mark.parametrize("deed", [LOOKS["records"], UPKEEP["sweep"]], ids=["records", "sweep"])
async def test_what_an_older_file_does_not_have_yet_is_told(deed: Deed, tmp_path: Path) -> None:
    store = store_at(tmp_path / "jobs.db")
    message = (
        "INSERT INTO message(mailbox, shard, state, priority, due, next, stored, finished, asked, handler)"
        " VALUES (1, 0, 2, 0, 0, 0, 0, 0, 0, 'do')"
    )
    done(store.path, "DROP TABLE record", "PRAGMA user_version = 1", message)
    with pytest.raises(
        StoreUnavailable, match=r"jobs\.db is of version 1: a system that opens it brings it up to date"
    ):
        await deed(store)
    assert await store.counts() == {}
