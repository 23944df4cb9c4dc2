"""The engine on one SQLite file: one transaction and at most one sync for each batch.

The transaction runs on the loop itself, in the connection of this session: it is short, it never waits for a lock and
never for the disk, for `synchronous=NORMAL` does not sync. What somebody gets to know of is then synced by the process
of the `syncer`, and answered when that is done. (A thread would starve beside a busy loop: after each of its own short
calls it had to wait for the interpreter's lock. Measured: 12 commits a second where a process makes 1,400.)
"""

import asyncio
import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from . import crash_points
from .clock import Clock, clock_of
from .crash_points import Point
from .errors import OutcomeUnknown, StoreError, StoreUnavailable
from .lease import LEASE
from .place import Identity, check_place, check_same, identity, sync
from .port import Stirred
from .records import Batch, Delivery, StateRecord, Verdict, Written
from .sqlite_claims import Claims
from .sqlite_errors import told
from .sqlite_puts import Stale
from .sqlite_schema import DONE, DROPPED, QUARANTINED, RECORD_OF, STATE_OF, connect, is_same, prepare
from .sqlite_session import SqliteSession
from .syncer import Checkpointed, Syncer, SyncFailed, start_syncer
from .wal import WriteAheadLog

T = TypeVar("T")
Synchronous = Literal["full", "normal"]
LOCKED_FOR = 30.0
"""Seconds that another process may hold the file locked before a write is given up."""
ENDED = f"{DONE}, {QUARANTINED}, {DROPPED}"
LOOK_EVERY = 64
"""Batches between two looks at the size of the write-ahead log."""


class SqliteEngine:
    """One session on one file. `lease`: of its claims, in seconds."""

    def __init__(self, path: Path, synchronous: Synchronous, clock: Clock | None = None, lease: float = LEASE) -> None:
        self.path, self._synchronous, self._clock, self._lease = path, synchronous, clock, lease
        self.now: Clock = clock or time.time
        self._wal = WriteAheadLog(path)
        self._connection: sqlite3.Connection | None = None
        self._session: SqliteSession | None = None
        self._rows: Claims | None = None
        self._syncer: Syncer | None = None
        self._batches = 0
        self.name = ""
        self.very: Identity | None = None
        """Which file it has, or had before it has to open it again."""
        self._checkpoint: asyncio.Future[Checkpointed] | None = None
        self._patience_ends = math.inf

    async def open(self, stirred: Stirred) -> None:
        """See `Engine.open`."""
        self._patience_ends = math.inf
        if self._clock is None:
            self.now = clock_of(asyncio.get_running_loop())
        try:
            check_place(self.path)
            check_same(self.path, self.very)
            self._connection = connection = await self._unlocked(lambda: connect(self.path))
            made = os.urandom(6).hex()
            await self._unlocked(lambda: prepare(connection, self.path, made, self.now()))
            self.very = identity(self.path)
            self.name = connection.execute("SELECT value FROM meta WHERE name = 'name'").fetchone()[0]
            sync(self.path.parent)  # or the file would not be there after a power cut
            self._syncer = await start_syncer(str(self.path))
            self._session = session = SqliteSession(self.path, connection, stirred, self.now, self._lease)
            await self._unlocked(lambda: session.open(self.now()))
            await self._sync()  # its row: see `boot`
            self._rows = Claims(connection, session.number, session.name)
            session.listen(asyncio.get_running_loop())
        except sqlite3.Error as error:
            await self.close()
            raise told(error, self.path) from error
        except OSError as error:
            await self.close()
            why = (error.strerror or str(error)).lower()
            raise StoreUnavailable(f"{self.path} cannot be opened: {why}") from error
        except BaseException:
            await self.close()
            raise

    def hurry(self, within: float) -> None:
        """See `Engine.hurry`."""
        self._patience_ends = min(self._patience_ends, time.monotonic() + within)

    async def close(self) -> None:
        """See `Engine.close`."""
        session, self._session = self._session, None
        if session is not None:
            try:
                await self._unlocked(session.close)
            except (sqlite3.Error, OSError, StoreError):
                session.abandon()  # whoever opens the file next takes it for dead, which it is
        if self._syncer is not None:
            await self._syncer.close()
            self._syncer = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def write(self, batch: Batch) -> Written:
        """See `Engine.write`."""
        if crash_points.on:
            crash_points.at(Point.BATCH)
        now = self.now()
        try:
            written = await self._unlocked(lambda: self._transact(batch, now))
        except (sqlite3.Error, OSError) as error:  # the other one where a session begins anew beside a full disk
            raise told(error, self.path) from error
        if crash_points.on:
            crash_points.at(Point.COMMITTED)
        if batch.lasts and self._synchronous == "full":
            assert self._syncer is not None
            written.lasting = self._syncer.sync()
        if self._session is not None and self._session.has_others:
            self._session.tell_others(batch.addresses)
        if crash_points.on:
            crash_points.at(Point.TOLD)
        self._batches += 1
        if self._batches % LOOK_EVERY == 0:
            self._shorten_log()
        return written

    def _transact(self, batch: Batch, now: float) -> Written:
        connection, rows = self._open_connection, self._open_rows
        before = rows
        connection.execute("BEGIN IMMEDIATE")
        try:
            if crash_points.on:
                crash_points.at(Point.BEGUN)
            try:
                rows.begin()
                if batch.wants:
                    rows.make_room(batch.wants, batch.messages())
                verdicts = rows.settle_all(batch.steps, now) if batch.steps else []
            except Stale:
                connection.execute("ROLLBACK")
                rows.forget()
                connection.execute("BEGIN IMMEDIATE")
                if crash_points.on:
                    crash_points.at(Point.REFUSED)
                verdicts = self._one_by_one(batch, now)
                rows = self._open_rows  # another one, if this session had been taken for dead
            if crash_points.on:
                crash_points.at(Point.SETTLED)
            rows.pardon(batch.pardons, now)
            rows.leave(batch.left)
            receipts = rows.put(batch.puts, now)
            if crash_points.on:
                crash_points.at(Point.PUT)
            deliveries: list[Delivery] = rows.born()
            next_due: dict[str, float] = {}
            for want in batch.wants:
                claimed, due = rows.claim(want, now)
                deliveries += claimed
                if due is not None:
                    next_due[want.address] = due
            if crash_points.on:
                crash_points.at(Point.CLAIMED)
            depths = rows.depths(want.address for want in batch.wants)
            gained = rows.gained if rows is before else self._all_addresses()
            if crash_points.on:
                crash_points.at(Point.COUNTED)
            connection.execute("COMMIT")
            rows.committed()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            rows.forget()
            raise
        return Written(verdicts, receipts, deliveries, next_due, depths, gained)

    def _one_by_one(self, batch: Batch, now: float) -> list[Verdict]:
        rows, session = self._rows, self._session
        assert rows is not None
        assert session is not None
        try:
            rows.begin()
        except Stale:  # it was taken for dead: all that it had claimed is somebody else's
            session.revive(now)
            self._rows = rows = Claims(self._open_connection, session.number, session.name)
            rows.begin()
            return ["lost"] * len(batch.steps)
        return rows.settle_each(batch.steps, now)

    def _all_addresses(self) -> list[str]:
        """After this session was taken for dead: wherever it had claimed something, others may have been since."""
        return [address for (address,) in self._open_connection.execute("SELECT address FROM mailbox")]

    async def _sync(self) -> None:
        assert self._syncer is not None
        try:
            await self._syncer.sync()
        except SyncFailed as error:
            raise OutcomeUnknown(f"{self.path} was written, but could not be synced: {error}") from error

    async def _unlocked(self, transaction: Callable[[], T]) -> T:
        """Do it as soon as no other process holds the lock. The wait is the loop's: SQLite's own would hold it up."""
        began, pause = time.monotonic(), 0.0005
        while True:
            try:
                return transaction()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                now = time.monotonic()
                if now > min(began + LOCKED_FOR, self._patience_ends):
                    raise StoreUnavailable(f"{self.path} was locked for {now - began:.3g} s by another") from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.02)

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something by hand, in a transaction of its own, and see to it that it is on disk."""
        result = await self._in_one(work)
        if crash_points.on:
            crash_points.at(Point.BY_HAND)
        await self._sync()
        return result

    async def _in_one(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._open_connection

        def in_one() -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        try:
            return await self._unlocked(in_one)
        except sqlite3.Error as error:
            raise told(error, self.path) from error

    def expect(self, file: str) -> Callable[[str], None]:
        """What a connection on that file calls that has stored something for an address, and is about to commit it.

        Raises `StoreError` if it is another file, `StoreUnavailable`.
        """
        session = self._open_session
        if not is_same(file, self.path):
            raise StoreError(f"expected a connection on {self.path}, got one on {file or 'a database in memory'}")
        return session.expect

    def begin(self, id: int, attempt: int, started: float) -> int:
        """See `Engine.begin`."""
        session = self._session
        return session.begin(id, attempt, started) if session is not None else -1

    def end(self, slot: int) -> None:
        """See `Engine.end`."""
        if self._session is not None and slot >= 0:
            self._session.end(slot)

    async def extend(self, id: int, token: int, progress: bytes | None) -> bool:
        """See `Engine.extend`."""
        rows, now = self._open_rows, self.now()

        def extend(_: sqlite3.Connection) -> bool:
            held = rows.extend(id, token, progress, now)
            if crash_points.on:
                crash_points.at(Point.BEATEN)
            return held

        return await self._in_one(extend)

    async def read(self, address: str, kind: str = "") -> StateRecord | None:
        """See `Engine.read`."""
        statement, named = (RECORD_OF, (kind, address)) if kind else (STATE_OF, (address,))
        try:
            row = self._open_connection.execute(statement, named).fetchone()
        except sqlite3.Error as error:
            raise told(error, self.path) from error
        return StateRecord(row[0], row[1]) if row is not None else None

    async def replies(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """See `Engine.replies`."""
        marks = ", ".join("?" * len(ids))
        wanted = f"SELECT id, reply FROM message WHERE state IN ({ENDED}) AND id IN ({marks})"  # marks only
        try:
            found: dict[int, bytes | None] = dict(self._open_connection.execute(wanted, tuple(ids)).fetchall())
        except sqlite3.Error as error:
            raise told(error, self.path) from error
        if found:
            await self.lasts()  # nobody is to hear what a power cut may take back
        return found

    async def lasts(self) -> None:
        """See `Engine.lasts`. Who only looks at the file, beside whoever has it open, does not wait."""
        if self._synchronous == "full" and self._syncer is not None:
            await self._sync()

    def _shorten_log(self) -> None:
        """Have the log written back into the file, by the process that syncs: that takes as long as the disk does."""
        under_way = self._checkpoint
        if under_way is not None and not under_way.done():
            return
        if self._syncer is not None and self._wal.is_long():
            self._checkpoint = self._syncer.checkpoint("PASSIVE")
            self._checkpoint.add_done_callback(self._begin_log_anew)
            if crash_points.on:
                crash_points.at(Point.CHECKPOINT)

    def _begin_log_anew(self, moved: asyncio.Future[Checkpointed]) -> None:
        """The first checkpoint has moved nearly all of the log and hindered nobody, so that the second, which begins it
        anew, is short; without that the log would never be begun anew while somebody writes.
        """
        if not moved.cancelled() and moved.exception() is None and self._syncer is not None:
            self._checkpoint = self._syncer.checkpoint(self._wal.way_to_begin_anew())
            self._checkpoint.add_done_callback(_seen)

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"the store {self.path} is closed")
        return self._connection

    @property
    def _open_rows(self) -> Claims:
        if self._rows is None:
            raise StoreUnavailable(f"the store {self.path} is closed")
        return self._rows

    @property
    def _open_session(self) -> SqliteSession:
        if self._session is None:
            raise StoreUnavailable(f"the store {self.path} is closed")
        return self._session


def _seen(done: asyncio.Future[Checkpointed]) -> None:
    """A checkpoint that failed is tried again when the log is looked at next."""
    if not done.cancelled():
        done.exception()
