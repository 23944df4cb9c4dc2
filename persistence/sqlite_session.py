"""One process that has a store open: known to the others by a row and by a locked file beside the store.

A session is alive as long as nobody else can lock its file; the system lets go of the lock when the process dies,
however it dies. One that is locked but has let its lease run out (see `lease`) is as good as dead. Whoever finds such a
session takes back what it had claimed. What ran at that instant stands in its file: an attempt is used up by each, and
a crash counted.
"""

import asyncio
import contextlib
import functools
import os
import re
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from . import crash_points
from .boot import leave_out_lost_ids
from .crash_points import Point
from .errors import StoreError
from .lease import LEASE, Lease, Lookout
from .port import Stirred
from .session_file import SessionFile, is_dead, session_path, take_over
from .sqlite_schema import LAST
from .wake import Bell

T = TypeVar("T")
LOOK_EVERY = 1.0
"""Seconds between two looks at the file and at the other sessions, while there are any."""
OURS = re.compile(r"[0-9a-f]+-[0-9a-f]+(\.new)?")
"""The names of sessions. No other file is removed, whatever its name begins with."""


class SqliteSession:
    """A session of this process. `promise`: the lease of its claims, in seconds."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, stirred: Stirred, now: Callable[[], float],
        promise: float = LEASE,
    ) -> None:  # fmt: skip
        self._path, self._connection, self._stirred, self._now = path, connection, stirred, now
        self._promise = promise
        self.name = ""
        self.number = 0
        self._file: SessionFile | None = None
        self._lease: Lease | None = None
        self._lookout = Lookout()
        self._bell: Bell | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._others: list[str] = []
        self._version = self._seen = 0
        self._expected: dict[str, None] = {}

    def open(self, now: float) -> None:
        """Take a number, and take back what dead sessions had claimed; in one transaction for each of these."""
        if self._file is None:
            self._make_file()
        self._in_one(lambda: self._enrol(now))
        if crash_points.on:
            crash_points.at(Point.SESSION_ENROLLED)
        self.recover(now)

    def _make_file(self) -> None:
        """Take a name that nobody has had, lock a file under it, and begin to keep its lease."""
        for tries_left in (2, 1, 0):
            self.name = f"{os.getpid():x}-{os.urandom(4).hex()}"
            try:
                self._file = SessionFile.create(self._beside(self.name), self._promise)
                break
            except (FileNotFoundError, BlockingIOError):
                # Whoever sweeps looked at it before it was locked, and took it for one of the dead.
                if not tries_left:
                    raise
        assert self._file is not None
        self._lease = Lease(self._file, self._promise)
        self._lease.start()
        if crash_points.on:
            crash_points.at(Point.SESSION_MADE)

    def _enrol(self, now: float) -> None:
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO session(name, pid, opened) VALUES (?, ?, ?)", (self.name, os.getpid(), now))
        self.number = execute("SELECT id FROM session WHERE name = ?", (self.name,)).fetchone()[0]
        others = execute("SELECT 1 FROM session WHERE id <> ?", (self.number,)).fetchone()
        leave_out_lost_ids(self._connection, LAST, others is not None)

    def recover(self, now: float) -> int:
        """Take back what sessions had claimed that are dead or late; how many there were."""
        others = self._connection.execute("SELECT id, name FROM session WHERE id <> ?", (self.number,)).fetchall()
        gone, locked = 0, dict[Path, tuple[int, str]]()
        for number, name in others:
            file = take_over(self._beside(name))
            if file is None:
                locked[self._beside(name)] = number, name
                continue
            gone += 1
            with file:  # if this fails, whoever looks next gets it
                if crash_points.on:
                    crash_points.at(Point.RECOVERING)
                running = [(one.message, one.attempt, one.started) for one in file.running]
                self._in_one(functools.partial(self._take_back, number, name, running, now))
                if crash_points.on:
                    crash_points.at(Point.TAKEN_BACK)
                with contextlib.suppress(FileNotFoundError):
                    self._bell_of(name).unlink()
            if crash_points.on:
                crash_points.at(Point.RECOVERED)
        for path in self._lookout.late(locked):
            gone += self._in_one(functools.partial(self._take_back_late, path, *locked[path], now))
        self._sweep({name for _, name in others})
        return gone

    def _take_back_late(self, path: Path, number: int, name: str, now: float) -> bool:
        """Take back what a session had claimed whose lease has run out; False if it goes on after all.

        Its file and its bell are left to it. When it goes on, it finds that it is no session any more.
        """
        running = self._lookout.running(path)
        if running is None:
            return False
        self._take_back(number, name, running, now, "its lease ran out")
        return True

    def _sweep(self, known: set[str]) -> None:
        """Remove the files of sessions that died before they were enrolled, or after others had taken them for dead."""
        start = session_path(self._path.name, "")
        with contextlib.suppress(OSError):  # what cannot be looked at, or is somebody else's to delete, stays
            names = {name.removeprefix(start) for name in os.listdir(self._path.parent) if name.startswith(start)}
            strange = {name for name in names - known - {self.name} if OURS.fullmatch(name)}
            # The order counts: who is dead now is not enrolled later, so that whoever is in the table is seen there.
            dead = {name for name in strange if is_dead(self._beside(name))}
            if dead:
                dead -= {name for (name,) in self._connection.execute("SELECT name FROM session")}
            for name in dead:
                self._beside(name).unlink(missing_ok=True)
                self._bell_of(name).unlink(missing_ok=True)

    def _take_back(
        self, number: int, name: str, running: Iterable[tuple[int, int, float]], now: float,
        why: str = "its process died",
    ) -> None:  # fmt: skip
        connection = self._connection
        # One whose end was written and which was claimed again at once did not die in the attempt that is still noted.
        held = "WHERE id = ? AND owner = ? AND state = 1 AND attempt < ?"
        for message, attempt, started in running:
            changed = connection.execute(
                f"UPDATE message SET attempt = ?, crashes = crashes + 1, claimed = ? {held}",  # fixed text
                (attempt, started, message, number, attempt),
            )
            if changed.rowcount:
                connection.execute(
                    "INSERT INTO event VALUES (?, ?, 'crashed', ?, ?, ?, '')", (message, now, attempt, name, why)
                )
        self._give_up(number)
        if crash_points.on:
            crash_points.at(Point.TAKING_BACK)

    def _give_up(self, number: int) -> None:
        """Whatever that session has is nobody's, and it is no session any more."""
        execute = self._connection.execute
        execute("UPDATE message SET state = 0, owner = NULL, token = NULL WHERE owner = ? AND state = 1", (number,))
        execute("UPDATE mailbox SET owner = NULL WHERE owner = ?", (number,))
        execute("DELETE FROM session WHERE id = ?", (number,))

    def revive(self, now: float) -> None:
        """Others took this session for dead; begin a new one. In the transaction that is open."""
        self._deafen()
        self._remove_file()  # what it says of running attempts was counted by those others
        self._make_file()
        self._enrol(now)
        if self._loop is not None:
            self._bell = Bell(self._bell_of(self.name), self._loop, self._rung)
            self._loop.call_soon(self._greet)  # when the transaction is over, and others can see who rings

    def close(self) -> None:
        """Leave in order: nothing is claimed any more."""
        if crash_points.on:
            crash_points.at(Point.LEAVING)
        self._deafen()
        self._in_one(lambda: self._give_up(self.number))
        if crash_points.on:
            crash_points.at(Point.LEFT)
        self._remove_file()

    def abandon(self) -> None:
        """Leave without a word; the next who opens the store cleans up."""
        self._deafen()
        file = self._end_lease()
        if file is not None:
            file.close()

    def _remove_file(self) -> None:
        file = self._end_lease()
        if file is not None:
            file.remove()

    def _end_lease(self) -> SessionFile | None:
        """The file, whose lease is kept no more."""
        file, self._file, lease, self._lease = self._file, None, self._lease, None
        if lease is not None:
            lease.stop()
        return file

    def begin(self, message: int, attempt: int, started: float) -> int:
        """Note that an attempt begins; the result is for `end`."""
        file = self._file
        try:
            return self.number << 32 | file.begin(message, attempt, started) if file is not None else -1
        except OSError:  # the disk is full, and the file would have to grow
            return -1

    def end(self, begun: int) -> None:
        """The attempt has ended."""
        file = self._file
        if file is not None and begun >> 32 == self.number:  # or it began in a session that is over
            try:
                file.end(begun & 0xFFFFFFFF)
            except ValueError:
                pass  # it has ended before

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of what other sessions write, and tell them that there is one more."""
        self._loop = loop
        self._bell = Bell(self._bell_of(self.name), loop, self._rung)
        self._greet()

    def _greet(self) -> None:
        """See who is there, and tell them that there is one more."""
        self._look_round()
        if self._bell is not None:
            self._bell.ring([self._bell_of(name).name for name in self._others], None)

    @property
    def has_others(self) -> bool:
        """Whether other sessions are known that would have to be told."""
        return bool(self._others)

    def tell_others(self, addresses: set[str]) -> None:
        """Wake the other sessions, for which there may be something."""
        if self._others and self._bell is not None and addresses:
            gone = self._bell.ring([self._bell_of(name).name for name in self._others], addresses)
            if gone:
                self._look_round()

    def expect(self, address: str) -> None:
        """Another connection of this process has stored something for that address: watch out for its commit."""
        self._expected[address] = None
        if len(self._expected) == 1 and self._loop is not None:
            self._seen = self._data_version()
            self._watch(0.001)

    def _watch(self, pause: float) -> None:
        """Look whether something was committed. There is no more to come as soon as nobody holds the lock, which a
        transaction has from its first write to its end.
        """
        if self._loop is None or self._bell is None:
            return
        seen, expected = self._seen, self._expected
        try:
            self._seen = self._data_version()
            self._in_one(lambda: None)
        except sqlite3.Error:  # it is locked
            self._loop.call_later(pause, self._watch, min(pause * 1.5, LOOK_EVERY))
            if self._seen == seen:
                return
        else:
            self._expected = {}
        for address in expected:
            self._stirred(address)
        self.tell_others(set(expected))

    def _data_version(self) -> int:
        """Another one than before, if another connection has committed something."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _rung(self, addresses: list[str] | None) -> None:
        if addresses is None:
            self._look_round()
            self._stirred(None)
        for address in addresses or ():
            self._stirred(address)

    def _look_round(self) -> None:
        """Who else is there; as long as somebody is, look again every second."""
        if self._bell is None or self._loop is None:
            return
        try:
            dead = self.recover(self._now())
            found = self._connection.execute("SELECT name FROM session WHERE id <> ?", (self.number,)).fetchall()
        except (sqlite3.Error, OSError, StoreError):
            dead, found = 0, [(name,) for name in self._others]  # locked: the next look will do
        self._others = [row[0] for row in found]
        version = self._data_version()
        if dead or version != self._version:
            self._version = version
            self._stirred(None)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LOOK_EVERY, self._look_round) if self._others else None

    def _deafen(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()

    def _bell_of(self, name: str) -> Path:
        return Path(f"{self._path}-bell-{name}")

    def _beside(self, name: str) -> Path:
        return Path(session_path(self._path, name))

    def _in_one(self, work: Callable[[], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            done = work()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return done
