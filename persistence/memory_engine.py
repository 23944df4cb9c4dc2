"""The engine of a store in memory: one session on the tables, which keeps every promise but that of the disk."""

import asyncio
import itertools
import time
from collections.abc import Sequence

import msgspec

from .clock import Clock, clock_of
from .errors import StoreUnavailable
from .memory_tables import MemorySession, MemoryTables
from .port import Stirred
from .records import Batch, StateRecord, Verdict, Written


class MemoryEngine:
    """One session on tables that others may share: engines on the same tables are as processes on one file.

    `clock`: seconds since the epoch; None: what `clock_of` says for the loop that it is opened on.
    """

    def __init__(self, tables: MemoryTables, clock: Clock | None = None) -> None:
        self.tables = tables
        self._clock = clock
        self.now: Clock = clock or time.time
        self._session: MemorySession | None = None
        self._slots = itertools.count()

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self.tables.name

    async def open(self, stirred: Stirred) -> None:
        """See `Engine.open`."""
        self.abandon()
        if self._clock is None:
            self.now = clock_of(asyncio.get_running_loop())
        self.tables.recover(self.now())
        self._session = self.tables.enrol(stirred)

    def hurry(self, within: float) -> None:
        """See `Engine.hurry`: nobody holds anything."""

    async def close(self) -> None:
        """See `Engine.close`."""
        session, self._session = self._session, None
        if session is not None and session.number in self.tables.sessions:
            self.tables.dismiss(session)

    def abandon(self) -> None:
        """Leave without a word, as a process that is killed does: whoever opens the store next cleans up.

        What this engine writes after that is refused, once somebody has cleaned up.
        """
        if self._session is not None:
            self._session.lives = False

    async def write(self, batch: Batch) -> Written:
        """See `Engine.write`."""
        await asyncio.sleep(0)  # as long as others have something to do: a store that never waits would shut them out
        return self._write(batch)

    def _write(self, batch: Batch) -> Written:
        session = self.session
        lost: list[Verdict] = []
        if session.number not in self.tables.sessions:  # it was taken for dead: its claims are somebody else's
            self._session = session = self.tables.enrol(session.stirred)
            lost = ["lost"] * len(batch.steps)
            batch = msgspec.structs.replace(batch, steps=[])
        written = self.tables.write(batch, session, self.now())
        written.verdicts += lost
        answered = {step.delivery.address for step in batch.steps if step.reply is not None}
        self.tables.stir_others(session, batch.addresses | answered)  # whoever asked may be there
        return written

    def begin(self, id: int, attempt: int, started: float) -> int:
        """See `Engine.begin`."""
        if self._session is None:
            return -1
        slot = next(self._slots)
        self._session.running[slot] = (id, attempt, started)
        return slot

    def end(self, slot: int) -> None:
        """See `Engine.end`."""
        if self._session is not None:
            self._session.running.pop(slot, None)

    async def extend(self, id: int, token: int, progress: bytes | None) -> bool:
        """See `Engine.extend`."""
        row = self.tables.rows.get(id)
        if self.session.number not in self.tables.sessions or row is None or row.state != "claimed":
            return False
        if row.token != token:
            return False
        if progress is not None:
            row.progress = progress
        row.beat(self.now(), self.session.name)
        return True

    async def read(self, address: str, kind: str = "") -> StateRecord | None:
        """See `Engine.read`."""
        if not kind:
            return self.tables.states.get(address)
        record = self.tables.record(kind, address)
        return StateRecord(record.version, record.body) if record is not None else None

    async def lasts(self) -> None:
        """See `Engine.lasts`."""

    async def replies(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """See `Engine.replies`."""
        rows = [self.tables.rows[id] for id in ids if id in self.tables.rows]
        return {row.id: row.reply for row in rows if row.state in ("finished", "quarantined")}

    @property
    def session(self) -> MemorySession:
        """The open session. Raises `StoreUnavailable`."""
        if self._session is None:
            raise StoreUnavailable("the store in memory is closed")
        return self._session
