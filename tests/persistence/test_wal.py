"""The laws of what is told of a write-ahead log."""

import sqlite3
from pathlib import Path

import pytest

from upright.persistence import wal
from upright.persistence.wal import WriteAheadLog

PAGE = 4096


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def connected(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None)
    for statement in (f"PRAGMA page_size = {PAGE}", "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0"):
        connection.execute(statement)
    connection.execute("CREATE TABLE thing(body BLOB)")
    return connection


def fill(connection: sqlite3.Connection, pages: int) -> None:
    for _ in range(pages):
        connection.execute("INSERT INTO thing VALUES (zeroblob(4000))")


def test_where_there_is_none_it_is_not_long(database: Path) -> None:
    log = WriteAheadLog(database)
    assert (log.is_long(), log.way_to_begin_anew()) == (False, "TRUNCATE")


def test_it_is_long_when_that_much_was_written_since_it_began_anew(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file keeps its length then; only its first frames count."""
    monkeypatch.setattr(wal, "LONG", 20 * PAGE)
    connection, log = connected(database), WriteAheadLog(database)
    fill(connection, 5)
    assert not log.is_long()
    fill(connection, 30)
    assert log.is_long()
    length = Path(f"{database}-wal").stat().st_size
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    fill(connection, 1)
    assert Path(f"{database}-wal").stat().st_size == length
    assert not log.is_long(), "what is behind the new frames is of before"
    fill(connection, 30)
    assert log.is_long()
    connection.close()


def test_an_empty_one_is_not_long(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "LONG", 1)
    Path(f"{database}-wal").write_bytes(b"\0" * 16)
    assert not WriteAheadLog(database).is_long()


def test_a_file_that_grew_too_large_is_cut_off(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, log = connected(database), WriteAheadLog(database)
    fill(connection, 30)
    assert log.way_to_begin_anew() == "RESTART"
    monkeypatch.setattr(wal, "LARGEST", 20 * PAGE)
    assert log.way_to_begin_anew() == "TRUNCATE"
    connection.close()
