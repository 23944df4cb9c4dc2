"""Upkeep of a SQLite file: deleting what is over and done with, copying it, giving room back to the disk.

It stands apart because none of it is on the path of a message. It has connections of its own, in a thread, and writes a
little at a time, so that whoever stores messages hardly ever meets it.
"""

import asyncio
import contextlib
import functools
import math
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .errors import StoreError, StoreUnavailable
from .retention import Retention
from .sqlite_errors import told
from .sqlite_schema import KIND, check_made, connect, too_old

EVERY = 30.0
"""Seconds between two sweeps."""
CHUNK = 500
"""Messages that are deleted in one transaction: it keeps writers out for a few milliseconds."""
REST = 3.0
"""A sweep rests so many times as long as its last transaction took, for the sake of those who write."""
PATIENCE_MS = 5_000
"""Milliseconds for which a thread waits for the lock of the file."""

FINISHED = "SELECT id FROM message WHERE id > ? AND state IN (2, 4) AND (finished < ? OR id <= ?) ORDER BY id LIMIT ?"
SET_ASIDE = "SELECT id FROM message WHERE id > ? AND state = 3 AND (finished < ? OR id <= ?) ORDER BY id LIMIT ?"
LATEST = "SELECT coalesce(max(id), 0) FROM message"
NTH = "SELECT id FROM message WHERE state = 3 ORDER BY id DESC LIMIT 1 OFFSET ?"
DELETE = (
    "DELETE FROM message WHERE id = ? AND state IN (2, 3, 4) AND finished <= ?",
    "DELETE FROM failure WHERE message = ? AND NOT EXISTS (SELECT 1 FROM message WHERE id = failure.message)",
    "DELETE FROM event WHERE message = ? AND NOT EXISTS (SELECT 1 FROM message WHERE id = event.message)",
    # By a subquery: the same parameter at two places, `?1`, makes Python 3.12.1 warn.
    "DELETE FROM record WHERE kind IN (SELECT 'steps/' || one.id FROM (SELECT ? AS id) AS one"
    " WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id = one.id))",
)


class Swept(NamedTuple):
    """What a sweep deleted: messages that were `finished`, and letters that were `quarantined`."""

    finished: int
    quarantined: int


class Upkeep:
    """The upkeep of one file. `now`: the time on the store's clock."""

    def __init__(self, path: Path, retention: Retention, now: Callable[[], float]) -> None:
        self._path, self._retention, self._now = path, retention, now
        self._task: asyncio.Task[None] | None = None

    def start(self, swept: Callable[[Swept], None], failed: Callable[[StoreError], None]) -> None:
        """Sweep now and then, until `stop`. Not on a loop of virtual time, where an hour would be 120 sweeps."""
        loop = asyncio.get_running_loop()
        if not self._retention.is_for_ever and not hasattr(loop, "hold"):
            self._task = loop.create_task(self._run(swept, failed), name="upright upkeep")

    async def stop(self) -> None:
        """Sweep no more; what is deleted at this moment is, or is not."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, swept: Callable[[Swept], None], failed: Callable[[StoreError], None]) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                swept(await self.sweep())
            except StoreError as error:  # the next sweep may find it otherwise
                failed(error)

    async def sweep(self) -> Swept:
        """Delete what need not be kept any longer, a little at a time. Raises `StoreError`s."""
        keep, now, counts = self._retention, self._now(), list[int]()
        for select, last, seconds in (
            (FINISHED, self._last_finished, keep.finished_for),
            (SET_ASIDE, self._last_quarantined, keep.quarantined_for),
        ):
            count, after, oldest = 0, 0, await self._in_thread(last)
            until = now - seconds if seconds < math.inf else -math.inf
            while oldest or until > 0:
                began = time.monotonic()
                chunk = functools.partial(_delete, select, (after, until, oldest, CHUNK), now)
                ids: list[int] = await self._in_thread(chunk)
                if not ids:
                    break
                count, after = count + len(ids), ids[-1]
                if self._task is not None:
                    await asyncio.sleep(REST * (time.monotonic() - began))
            counts.append(count)
        return Swept(*counts)

    def _last_finished(self, connection: sqlite3.Connection) -> int:
        """The id up to which finished messages are too many."""
        most = self._retention.finished_count
        return 0 if most is None else max(0, int(connection.execute(LATEST).fetchone()[0]) - most)

    def _last_quarantined(self, connection: sqlite3.Connection) -> int:
        """The id up to which letters are too many."""
        most = self._retention.quarantined_count
        found = None if most is None else connection.execute(NTH, (most,)).fetchone()
        return 0 if found is None else int(found[0])

    async def vacuum(self) -> None:
        """Give the room of what was deleted back to the disk. Nobody can write meanwhile; it takes about a second for
        each hundred megabytes, and as much room again as the file has. Raises `StoreError`s.
        """
        await self._in_thread(lambda connection: connection.execute("VACUUM"))

    async def backup(self, given: Path) -> None:
        """Copy the store as it is at one moment into a new file, which is on disk then; writers are not held up.

        Raises `StoreUnavailable`, also where there is such a file.
        """

        def copy(connection: sqlite3.Connection) -> None:
            target = Path(os.path.abspath(given))
            if os.path.lexists(target):
                raise StoreUnavailable(f"expected a new file for the copy, but there is {target}")
            try:
                connection.execute("VACUUM INTO ?", (str(target),))
                for path in (target, target.parent):
                    _sync(path)
            except BaseException:
                with contextlib.suppress(OSError):  # half a copy is none
                    target.unlink()
                raise

        await self._in_thread(copy)

    async def _in_thread(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do it with a connection of its own, in a thread: the loop never waits for the disk."""

        def run() -> Any:
            if not self._path.exists():  # or a connection would make it
                raise StoreUnavailable(f"expected a store at {self._path}, found none")
            version = self._version()
            with contextlib.closing(connect(self._path)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
                try:
                    return work(connection)
                except sqlite3.OperationalError as error:
                    raise (too_old(error, self._path, version) or error) from error

        try:
            return await asyncio.to_thread(run)
        except (sqlite3.Error, OSError) as error:
            raise told(error, self._path, ": no upkeep") from error

    def _version(self) -> int:
        """Of the file. A connection that writes would change one that is none of ours, as soon as it is made."""
        with contextlib.closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
            return check_made(connection.execute(KIND).fetchone(), self._path)


def _delete(select: str, given: tuple[float, ...], now: float, connection: sqlite3.Connection) -> list[int]:
    """Delete what that finds; its ids."""
    return _delete_all(connection, [id for (id,) in connection.execute(select, given)], now)


def _delete_all(connection: sqlite3.Connection, ids: list[int], now: float) -> list[int]:
    """Delete these messages, unless one was redriven meanwhile; their ids."""
    if ids:
        messages, *others = DELETE
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(messages, [(id, now) for id in ids])
            for statement in others:
                connection.executemany(statement, [(id,) for id in ids])
            # The highest id was given, though its message may be gone: it is never given again.
            connection.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'last'", (ids[-1],))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return ids


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
