"""The tables of a store in one SQLite file, and how an older file becomes one of today.

Look at them with `sqlite3 FILE`: the view `messages` has words and times for what the tables keep as numbers.
"""

import os
import sqlite3
from pathlib import Path

from . import crash_points
from .crash_points import Point
from .errors import StoreCorrupt, StoreTooNew, StoreUnavailable

APPLICATION = 0x75707269  # "upri", where SQLite keeps what a file is for
WAITING, CLAIMED, DONE, QUARANTINED, DROPPED, DELAYED = range(6)
"""The states of a message. A delayed one becomes a waiting one when it is due."""

FIRST = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('last', 0);
CREATE TABLE pulse(beats INTEGER NOT NULL);
INSERT INTO pulse VALUES (0);
CREATE TABLE session(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, pid INTEGER, opened REAL);
CREATE TABLE mailbox(
    id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, depth INTEGER NOT NULL DEFAULT 0, owner INTEGER,
    tail REAL NOT NULL DEFAULT 0
);
CREATE TABLE state(mailbox INTEGER PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE message(
    id INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, shard INTEGER NOT NULL,
    state INTEGER NOT NULL, priority INTEGER NOT NULL, due REAL NOT NULL, next REAL NOT NULL,
    owner INTEGER, token INTEGER, attempt INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
    interrupts INTEGER NOT NULL DEFAULT 0, delay REAL NOT NULL DEFAULT 0, stored REAL NOT NULL, claimed REAL,
    finished REAL, expires REAL, asked INTEGER NOT NULL, key TEXT, once TEXT, handler TEXT NOT NULL,
    sender TEXT, trace TEXT, reason TEXT, progress BLOB, reply BLOB, body BLOB
);
CREATE INDEX message_waiting ON message(mailbox, priority DESC, due, id) WHERE state = 0;
CREATE INDEX message_retry ON message(mailbox, next) WHERE state = 0 AND next > 0;
CREATE INDEX message_delayed ON message(mailbox, next) WHERE state = 5;
CREATE INDEX message_claimed ON message(owner) WHERE state = 1;
CREATE INDEX message_keyed ON message(mailbox, key) WHERE key IS NOT NULL AND state < 2;
CREATE INDEX message_quarantined ON message(mailbox, id) WHERE state = 3;
CREATE UNIQUE INDEX message_once ON message(mailbox, once) WHERE once IS NOT NULL;
CREATE TABLE failure(
    message INTEGER NOT NULL, attempt INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    error TEXT NOT NULL, traceback TEXT NOT NULL, owner TEXT NOT NULL, trace TEXT NOT NULL
);
CREATE INDEX failure_message ON failure(message);
CREATE TABLE event(
    message INTEGER NOT NULL, at REAL NOT NULL, name TEXT NOT NULL, attempt INTEGER NOT NULL, owner TEXT NOT NULL,
    note TEXT NOT NULL, trace TEXT NOT NULL
);
CREATE INDEX event_message ON event(message);
CREATE VIEW messages AS SELECT
    message.id, mailbox.address, handler, attempt,
    CASE state WHEN 0 THEN 'waiting' WHEN 1 THEN 'claimed' WHEN 2 THEN 'done' WHEN 3 THEN 'quarantined'
        WHEN 4 THEN 'dropped' ELSE 'delayed' END AS state,
    priority, key, once, reason, sender, trace,
    datetime(stored, 'unixepoch') AS stored, datetime(nullif(due, 0), 'unixepoch') AS due,
    datetime(claimed, 'unixepoch') AS claimed, datetime(finished, 'unixepoch') AS finished
    FROM message JOIN mailbox ON mailbox.id = message.mailbox;
"""
SECOND = """
CREATE TABLE record(
    kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, status TEXT NOT NULL, position TEXT NOT NULL,
    made REAL NOT NULL, changed REAL NOT NULL, body BLOB NOT NULL, UNIQUE (kind, name)
);
CREATE INDEX record_status ON record(kind, status, position);
"""
THIRD = """
CREATE INDEX record_ended ON record(changed) WHERE status IN ('completed', 'rejected', 'cancelled');
"""
"""By which runs are found that have been over for long; no other write of a record has to do with it."""
MIGRATIONS = (FIRST, SECOND, THIRD)
"""Each makes a file of one version one of the next; the first one makes it of nothing."""
VERSION = len(MIGRATIONS)
KIND = (
    "SELECT user_version, application_id, EXISTS (SELECT 1 FROM sqlite_schema)"
    " FROM pragma_user_version, pragma_application_id"
)
"""What a file says of itself; for `check_kind`."""
RECORD_OF = "SELECT version, body FROM record WHERE kind = ? AND name = ?"
STATE_OF = "SELECT version, body FROM state JOIN mailbox ON mailbox.id = state.mailbox WHERE address = ?"
LAST = "SELECT max(coalesce((SELECT max(id) FROM message), 0), (SELECT value FROM meta WHERE name = 'last'))"
"""The highest id that was given; `last` holds that of a message that was deleted. (AUTOINCREMENT, which knows that too,
would write its table once for each row.)"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection as every writer of the store has it: it never waits, and it never syncs by itself.

    Raises `StoreCorrupt` if the file is no database.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=256)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreCorrupt(f"expected {path} to be on a local disk, where SQLite can share memory; it cannot there")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA foreign_keys = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path, made: str, at: float) -> None:
    """Make the tables, or bring those of an older version up to date; in one transaction.

    `made`: a name for the store, if it is new. Raises `StoreTooNew`, `StoreCorrupt` for a database of somebody else.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = check_kind(connection.execute(KIND).fetchone(), path)
        for number, script in enumerate(MIGRATIONS[version:], version):
            migrate(connection, script, number)
        if version < VERSION:
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            if not version:
                connection.execute("INSERT INTO meta VALUES ('name', ?), ('made', ?)", (made, at))
                if crash_points.on:
                    crash_points.at(Point.MADE)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def check_kind(found: tuple[int, int, int], path: Path) -> int:
    """The version of a file of which `KIND` has found that; 0 for one without a table.

    Raises `StoreTooNew`, `StoreCorrupt` for a database of somebody else.
    """
    version, application, tables = found
    if application not in (0, APPLICATION) or (version and application != APPLICATION):
        raise StoreCorrupt(f"expected {path} to be a store of upright, but it belongs to another application")
    if version > VERSION:
        raise StoreTooNew(f"expected {path} to be of version {VERSION} or older, got {version}: use a newer upright")
    if not version and tables:
        raise StoreCorrupt(f"expected {path} to be a store of upright, or not to exist; it has tables of others")
    return version


def check_made(found: tuple[int, int, int], path: Path) -> int:
    """The same for who would not make a store there. Raises `StoreUnavailable` for an empty file."""
    version = check_kind(found, path)
    if not version:
        raise StoreUnavailable(f"expected a store at {path}, found an empty file")
    return version


def too_old(error: sqlite3.Error, path: Path, version: int) -> StoreUnavailable | None:
    """Why something is not there, in a file of that version, if it is an older one."""
    if version >= VERSION or "no such table" not in str(error):
        return None
    return StoreUnavailable(f"{path} is of version {version}: a system that opens it brings it up to date")


def migrate(connection: sqlite3.Connection, script: str, version: int) -> None:
    """Make tables of that version those of the next one. Raises `sqlite3.Error`, which says which migration failed."""
    for statement in script.split(";\n"):
        if statement.strip():
            try:
                connection.execute(statement)
            except sqlite3.Error as error:
                error.args = (f"the migration from version {version} to {version + 1} failed: {error}",)
                raise


def is_same(file: str, other: str | os.PathLike[str]) -> bool:
    """Whether both are there, and are one file. It is not opened for that."""
    try:
        return os.path.samefile(file, other)
    except OSError:
        return False
