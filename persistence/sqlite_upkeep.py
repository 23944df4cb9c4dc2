"""Upkeep of a SQLite file: deleting what is over and done with, copying it, giving room back to the disk.

It stands apart because none of it is on the path of a message. It has connections of its own, in a thread, and writes a
little at a time, so that whoever stores messages hardly ever meets it.
"""

import asyncio
import contextlib
import functools
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import StoreError, StoreUnavailable
from .place import sync
from .retention import Retention
from .sqlite_errors import told
from .sqlite_schema import KIND, check_made, connect, too_old
from .sqlite_sweep import Sweep, Swept

EVERY = 30.0
"""Seconds between two sweeps, at most; the first one comes soon."""
SOON = 1.0
"""Seconds between two sweeps, at least."""
FIRST = 10
"""So many times as long after the start comes the first: who starts beside a million messages has other work to do."""
MANY = 50_000
"""Messages to be deleted by one sweep; the next one comes sooner if there are more."""
STEPS = 500_000
"""Of SQLite's machine, between two looks whether a sweep is to stop: a few hundredths of a second."""
PATIENCE_MS = 5_000
"""Milliseconds for which a thread waits for the lock of the file."""


class Upkeep:
    """The upkeep of one file. `now`: the time on the store's clock. `check`: raises `StoreError` if another file is
    there now than the one that is open.
    """

    def __init__(
        self, path: Path, retention: Retention, now: Callable[[], float], check: Callable[[], None] = lambda: None
    ) -> None:
        self._path, self._retention, self._now, self._check = path, retention, now, check
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._thread: asyncio.Future[Swept] | None = None

    def start(self, swept: Callable[[Swept], None], failed: Callable[[StoreError], None]) -> None:
        """Sweep now and then, until `stop`. Not on a loop of virtual time, where an hour would be 120 sweeps."""
        loop = asyncio.get_running_loop()
        if not self._retention.is_for_ever and not hasattr(loop, "hold"):
            self._stopping = threading.Event()
            self._task = loop.create_task(self._run(swept, failed), name="upright upkeep")

    async def stop(self) -> None:
        """Sweep no more; a look or a deletion that is under way is broken off."""
        task, self._task = self._task, None
        self._stopping.set()
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if self._thread is not None:
            await asyncio.gather(self._thread, return_exceptions=True)

    async def _run(self, swept: Callable[[Swept], None], failed: Callable[[StoreError], None]) -> None:
        pause, stopping = min(FIRST * SOON, EVERY), self._stopping
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            self._thread = asyncio.ensure_future(self._in_thread(functools.partial(self._sweep, stopping)))
            try:
                done = await asyncio.shield(self._thread)
            except StoreError as error:  # the next sweep may find it otherwise
                failed(error)
                pause = EVERY
            else:
                swept(done)
                pause = next_pause(pause, sum(done), time.monotonic() - began)

    async def sweep(self) -> Swept:
        """Delete what need not be kept any longer, a little at a time. Raises `StoreError`s."""
        found: Swept = await self._in_thread(functools.partial(self._sweep, threading.Event()))
        return found

    def _sweep(self, stopping: threading.Event, connection: sqlite3.Connection) -> Swept:
        version = check_made(connection.execute(KIND).fetchone(), self._path)
        connection.set_progress_handler(stopping.is_set, STEPS)  # which breaks off what a stop would have to wait for
        return Sweep(connection, version, self._now(), stopping.wait).run(self._retention)

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
            if not target.parent.is_dir():
                raise StoreUnavailable(f"expected a folder for the copy, but there is no {target.parent}")
            # Half a copy is none: a process that dies now must not leave what SQLite takes for an empty store.
            half = target.with_name(f"{target.name}-unfinished-{os.urandom(4).hex()}")
            try:
                connection.execute("VACUUM INTO ?", (str(half),))
                sync(half)
                _give_name(half, target)
                sync(target.parent)
            finally:
                for left in (half, half.with_name(f"{half.name}-journal")):
                    left.unlink(missing_ok=True)

        await self._in_thread(copy)

    async def _in_thread(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do it with a connection of its own, in a thread: the loop never waits for the disk."""

        def run() -> Any:
            if not self._path.exists():  # or a connection would make it
                raise StoreUnavailable(f"expected a store at {self._path}, found none")
            self._check()
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


def _give_name(half: Path, target: Path) -> None:
    """A rename that replaces nothing that somebody has put there meanwhile; where the file system knows no links, it
    is one.
    """
    try:
        os.link(half, target)
    except FileExistsError as error:
        raise StoreUnavailable(f"expected a new file for the copy, but there is {target}") from error
    except OSError:
        half.rename(target)


def next_pause(pause: float, rows: int, took: float) -> float:
    """Seconds until the next sweep, after one that took so long, came so long after another, and deleted so many rows:
    under a heavy load it comes so soon that what is old stays few, and a store where little happens is left alone.

    >>> next_pause(4.0, 0, 0.1), next_pause(30.0, 1_500_000, 6.0), next_pause(1.0, 50_000, 0.25)
    (8.0, 6.0, 1.25)
    """
    wanted = (pause + took) * MANY / rows if rows > MANY / 2 else pause * 2
    return min(max(wanted, SOON, took), EVERY)
