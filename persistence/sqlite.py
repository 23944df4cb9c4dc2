"""A store in one SQLite file: nothing to install, nothing to run beside the service."""

import math
import os
import sqlite3
from pathlib import Path

import aiosqlite

from upright.actors.runtime import Runtime
from upright.supervision.checks import more_than, one_of

from .events import StoreSwept
from .lease import LEASE
from .outbox import Outbox
from .place import check_same
from .records import StateRecord
from .reports import Opened
from .retention import Retention
from .session_file import is_dead, session_path
from .sqlite_desk import SqliteDesk
from .sqlite_engine import SqliteEngine, Synchronous
from .sqlite_look import looking_into
from .sqlite_schema import RECORD_OF, STATE_OF
from .sqlite_sweep import Swept
from .sqlite_upkeep import Upkeep
from .store import Store

SHORTEST = 0.1
"""Seconds of a lease that a busy machine would break all the time."""


class Sqlite(Store):
    """A store in the file at `path`, made if it is not there: `ActorSystem(tree, store=Sqlite("jobs.db"))`.

    `synchronous`: `full`, and what is accepted survives a power cut; or `normal`, and it survives any end of the
    process, but a power cut may take what was accepted in the last moments before it.

    `retention`: how long messages that are done keep their stories and their `once` keys: a week, and a million of
    them, unless it says otherwise.

    Several processes of one machine may have the same file open. What one had claimed is handed out again at once when
    it dies. `lease`, in seconds: so long after one was stopped, or began to hang outside of Python, it loses its claims
    too; a thread keeps the lease, so a handler that blocks the event loop loses nothing. Each process may have its own.

    Raises `ValueError` for another word than these two, and for a lease that is not finite and more than 0.1 seconds.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, synchronous: Synchronous = "full", lease: float = LEASE,
        retention: Retention | None = None,
    ) -> None:  # fmt: skip
        one_of("synchronous", synchronous, ("full", "normal"))
        more_than("lease", lease, SHORTEST, " seconds")
        if lease == math.inf:
            raise ValueError(
                "expected lease to be finite, got inf: a process that hangs would keep its claims for ever"
            )
        keep: object = Retention() if retention is None else retention
        if not isinstance(keep, Retention):
            raise TypeError(f"expected retention to be a Retention, got {keep!r}")
        try:
            self.path = Path(os.path.realpath(path))  # SQLite's log lies beside the file, and not beside a link to it
        except ValueError as error:
            raise ValueError(f"expected path to be that of a file, got {path!r}: {error}") from error
        self._sqlite = engine = SqliteEngine(self.path, synchronous, lease=float(lease))
        super().__init__(engine, SqliteDesk(self.path, engine))
        self._upkeep = Upkeep(self.path, keep, lambda: engine.now(), lambda: check_same(self.path, engine.very))

    async def open(self, runtime: Runtime) -> None:
        """Open it for a system. Raises `StoreError`s, and `StoreUnavailable` if another system has it open."""
        await super().open(runtime)
        self._upkeep.start(self._swept, self._failed)

    async def close(self) -> None:
        """Write what is left, and close it."""
        await self._upkeep.stop()
        await super().close()
        self._sqlite.very = None  # what it opens next may be another one

    async def sweep(self) -> Swept:
        """Delete now what `retention` lets go, as an open store does every half minute; how much that was.

        Raises `StoreError`s.
        """
        swept = await self._upkeep.sweep()
        self._swept(swept)
        return swept

    async def backup(self, target: str | os.PathLike[str]) -> None:
        """Copy the store as it is at one moment into a new file, while it is open or not. Nobody is held up.

        Raises `StoreError`s: `StoreUnavailable` also where there is such a file already.
        """
        await self._upkeep.backup(Path(target))

    async def vacuum(self) -> None:
        """Give the room of what was deleted back to the disk. All who write wait meanwhile, for about a second for each
        hundred megabytes, so do it when there is little to do. Raises `StoreError`s.
        """
        await self._upkeep.vacuum()

    async def read(self, address: str, kind: str = "") -> StateRecord | None:
        """See `Store.read`."""
        if self.is_open:
            return await super().read(address, kind)
        statement, named = (RECORD_OF, (kind, address)) if kind else (STATE_OF, (address,))
        async with looking_into(self.path) as connection:
            rows = [*await connection.execute_fetchall(statement, named)]
        return StateRecord(*rows[0]) if rows else None

    async def addresses(self) -> list[str]:
        """See `Store.addresses`."""
        async with looking_into(self.path) as connection:
            rows = await connection.execute_fetchall("SELECT address FROM mailbox ORDER BY address")
        return [row[0] for row in rows]

    async def sessions(self) -> list[Opened]:
        """Who has it open, in any process of this machine."""
        async with looking_into(self.path) as connection:
            rows = await connection.execute_fetchall("SELECT name, pid, opened FROM session ORDER BY id")
        return [
            Opened(name, pid, opened, lives=not is_dead(session_path(self.path, name))) for name, pid, opened in rows
        ]

    def _swept(self, swept: Swept) -> None:
        if any(swept):
            self._tell(StoreSwept("/", *swept))

    def outbox(self, connection: sqlite3.Connection | aiosqlite.Connection) -> Outbox:
        """Tell durable actors in a transaction of your own on this file; see `Outbox`."""
        return Outbox(connection, self.now, self._sqlite.expect)

    def __repr__(self) -> str:
        return f"<Sqlite {self.path}>"
