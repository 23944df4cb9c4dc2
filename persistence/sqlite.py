"""A store in one SQLite file: nothing to install, nothing to run beside the service."""

import math
import os
import sqlite3
from pathlib import Path

import aiosqlite

from upright.supervision.checks import more_than, one_of

from .lease import LEASE
from .outbox import Outbox
from .sqlite_desk import SqliteDesk
from .sqlite_engine import SqliteEngine, Synchronous
from .store import Store

SHORTEST = 0.1
"""Seconds of a lease that a busy machine would break all the time."""


class Sqlite(Store):
    """A store in the file at `path`, made if it is not there: `ActorSystem(tree, store=Sqlite("jobs.db"))`.

    `synchronous`: `full`, and what is accepted survives a power cut; or `normal`, and it survives any end of the
    process, but a power cut may take what was accepted in the last moments before it.

    Several processes of one machine may have the same file open. What one had claimed is handed out again at once when
    it dies. `lease`, in seconds: so long after one was stopped, or began to hang outside of Python, it loses its claims
    too; a thread keeps the lease, so a handler that blocks the event loop loses nothing. Each process may have its own.

    Raises `ValueError` for another word than these two, and for a lease that is not finite and more than 0.1 seconds.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, synchronous: Synchronous = "full", lease: float = LEASE
    ) -> None:
        one_of("synchronous", synchronous, ("full", "normal"))
        more_than("lease", lease, SHORTEST, " seconds")
        if lease == math.inf:
            raise ValueError(
                "expected lease to be finite, got inf: a process that hangs would keep its claims for ever"
            )
        self.path = Path(path).absolute()
        self._sqlite = engine = SqliteEngine(self.path, synchronous, lease=float(lease))
        super().__init__(engine, SqliteDesk(self.path, engine))

    def outbox(self, connection: sqlite3.Connection | aiosqlite.Connection) -> Outbox:
        """Tell durable actors in a transaction of your own on this file; see `Outbox`."""
        return Outbox(connection, self.now, self._sqlite.expect)

    def __repr__(self) -> str:
        return f"<Sqlite {self.path}>"
