"""Looking into a store in a SQLite file, and acting on it by hand.

What only reads has a connection of its own, with aiosqlite: it is never on the path of a message, and it works on the
file alone. What writes does so through the session of the system that has the store open.
"""

import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from .records import Failure, steps_of
from .reports import Counts, Filter, Letter, Record, RecordFilter, StoryEvent
from .sqlite_engine import SqliteEngine
from .sqlite_look import looking_into
from .sqlite_rows import DELETE_RECORD
from .sqlite_schema import CLAIMED, DELAYED, DONE, DROPPED, QUARANTINED, WAITING

LETTERS = (
    "SELECT message.id, address, handler, body, reason, stored, finished, key, once, sender, trace FROM message"
    " JOIN mailbox ON mailbox.id = message.mailbox WHERE state = 3 AND message.id > ?"
)
PAGE = 200


class SqliteDesk:
    """See `Desk`."""

    def __init__(self, path: Path, engine: SqliteEngine) -> None:
        self._path, self._engine = path, engine

    async def letters(self, only: Filter) -> AsyncIterator[Letter]:
        """See `Desk.letters`."""
        last, left = 0, only.limit
        where, values = conditions(only)
        async with looking_into(self._path) as connection:
            while left is None or left > 0:
                rows = await self._rows(
                    connection, f"{LETTERS}{where} ORDER BY message.id LIMIT {PAGE}", (last, *values)
                )
                failures = await self._failures(connection, [row[0] for row in rows])
                for row in rows:
                    last = row[0]
                    letter = self._letter(row, failures.get(last, []))
                    if (only.error is None or only.error in letter.error) and (left is None or left > 0):
                        yield letter
                        left = None if left is None else left - 1
                if len(rows) < PAGE:
                    return

    def _letter(self, row: Sequence[Any], failures: list[Failure]) -> Letter:
        id, address, handler, body, reason, stored, finished, key, once, sender, trace = row
        return Letter(
            id, address, handler, body, reason or "", tuple(failures), stored, finished or 0.0, key or "", once or "",
            sender or "", trace or "",
        )  # fmt: skip

    async def _failures(self, connection: aiosqlite.Connection, ids: Sequence[int]) -> dict[int, list[Failure]]:
        found: dict[int, list[Failure]] = {}
        for id, *failure in await self._rows(
            connection,
            "SELECT message, attempt, started, ended, error, traceback, owner, trace FROM failure"
            f" WHERE message IN ({', '.join('?' * len(ids))}) ORDER BY rowid",  # marks only
            tuple(ids),
        ):
            found.setdefault(id, []).append(Failure(*failure))
        return found

    async def redrive(self, ids: Sequence[int]) -> dict[str, int]:
        """See `Desk.redrive`."""
        now = self._engine.now()

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            moved: dict[str, int] = {}
            for id in ids:
                found = connection.execute(
                    "SELECT mailbox, address, tail FROM message JOIN mailbox ON mailbox.id = message.mailbox"
                    " WHERE message.id = ? AND state = 3",
                    (id,),
                ).fetchone()
                if found is None:
                    continue
                mailbox, address, tail = found
                # Behind those too that came at this very instant, though their ids are higher than its own.
                tail = math.nextafter(max(tail, now), math.inf)
                connection.execute(
                    "UPDATE message SET state = 0, attempt = 0, crashes = 0, interrupts = 0, delay = 0, next = 0,"
                    " due = ?, reason = NULL, reply = NULL, finished = NULL, expires = NULL WHERE id = ?",
                    (tail, id),
                )
                connection.execute("UPDATE mailbox SET tail = ? WHERE id = ?", (tail, mailbox))
                self._note(connection, id, now, "redriven", 1, mailbox)
                moved[address] = moved.get(address, 0) + 1
            return moved

        return await self._engine.transact(work)

    async def discard(self, ids: Sequence[int]) -> int:
        """See `Desk.discard`."""
        now = self._engine.now()

        def work(connection: sqlite3.Connection) -> int:
            dropped = 0
            for id in ids:
                row = connection.execute(
                    "UPDATE message SET state = 4, body = NULL, finished = ? WHERE id = ? AND state = 3"
                    " RETURNING mailbox",
                    (now, id),
                ).fetchone()
                if row is not None:
                    connection.execute(DELETE_RECORD, (steps_of(id),))
                    self._note(connection, id, now, "discarded", 0, row[0])
                    dropped += 1
            return dropped

        return await self._engine.transact(work)

    async def edit(self, id: int, handler: str, body: bytes) -> bool:
        """See `Desk.edit`."""
        now = self._engine.now()

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "UPDATE message SET handler = ?, body = ? WHERE id = ? AND state = 3 RETURNING mailbox",
                (handler, body, id),
            ).fetchone()
            if row is not None:
                self._note(connection, id, now, "edited", 0, row[0])
            return row is not None

        return await self._engine.transact(work)

    async def cancel(self, id: int, before: bytes | None = None, after: bytes | None = None) -> bool:
        """See `Desk.cancel`."""
        now = self._engine.now()

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "UPDATE message SET state = 4, body = NULL, once = NULL, finished = ?,"
                " reply = CASE WHEN attempt > 0 THEN ? ELSE ? END WHERE id = ? AND state IN (0, 5) RETURNING mailbox",
                (now, after, before, id),
            ).fetchone()
            if row is not None:
                connection.execute(DELETE_RECORD, (steps_of(id),))
                self._note(connection, id, now, "cancelled", -1, row[0])
            return row is not None

        return await self._engine.transact(work)

    def _note(self, connection: sqlite3.Connection, id: int, now: float, name: str, change: int, mailbox: int) -> None:
        connection.execute("INSERT INTO event VALUES (?, ?, ?, 0, '', 'by hand', '')", (id, now, name))
        if change:
            connection.execute("UPDATE mailbox SET depth = depth + ? WHERE id = ?", (change, mailbox))

    async def story(self, id: int) -> list[StoryEvent]:
        """See `Desk.story`."""
        async with looking_into(self._path) as connection:
            rows = await self._rows(
                connection, "SELECT state, stored, claimed, finished, attempt, trace FROM message WHERE id = ?", (id,)
            )
            if not rows:
                return []
            state, stored, claimed, finished, attempt, trace = rows[0]
            trace = trace or ""
            events = [StoryEvent("stored", stored, trace=trace)]
            for failure in (await self._failures(connection, [id])).get(id, ()):
                events.append(StoryEvent("claimed", failure.started, failure.attempt, failure.owner, trace=trace))
                events.append(
                    StoryEvent("failed", failure.ended, failure.attempt, failure.owner, failure.error, failure.trace)
                )
            for row in await self._rows(
                connection,
                "SELECT name, at, attempt, owner, note, trace FROM event WHERE message = ? ORDER BY rowid",
                (id,),
            ):
                events.append(StoryEvent(*row))
        if state in (CLAIMED, DONE) and claimed is not None:
            events.append(StoryEvent("claimed", claimed, attempt + (state == CLAIMED), trace=trace))
        if state == DONE:
            events.append(StoryEvent("acked", finished, attempt, trace=trace))
        events.sort(key=lambda event: event.at)
        return events

    async def counts(self) -> dict[str, Counts]:
        """See `Desk.counts`."""
        found: dict[str, dict[int, int]] = {}
        async with looking_into(self._path) as connection:
            for address, state, number in await self._rows(
                connection,
                "SELECT address, state, count(*) FROM message JOIN mailbox ON mailbox.id = message.mailbox"
                " GROUP BY mailbox, state",
                (),
            ):
                found.setdefault(address, {})[state] = number
        return {
            address: Counts(
                states.get(WAITING, 0) + states.get(DELAYED, 0), states.get(CLAIMED, 0), states.get(QUARANTINED, 0)
            )
            for address, states in found.items()
            if any(state not in (DONE, DROPPED) for state in states)
        }

    async def records(self, only: RecordFilter) -> list[Record]:
        """See `Desk.records`."""
        wanted = {
            "name = ?": only.name, "status = ?": only.status, "position = ?": only.position, "changed < ?": only.before
        }  # fmt: skip
        given = {condition: value for condition, value in wanted.items() if value is not None}
        statement = (
            "SELECT kind, name, version, status, position, made, changed, body FROM record"
            f" WHERE kind = ? AND name > ?{''.join(f' AND {one}' for one in given)} ORDER BY name LIMIT ?"  # words only
        )
        async with looking_into(self._path) as connection:
            rows = await self._rows(connection, statement, (only.kind, only.after, *given.values(), only.limit))
        return [Record(*row) for row in rows]

    async def kinds(self) -> dict[str, dict[str, int]]:
        """See `Desk.kinds`."""
        found: dict[str, dict[str, int]] = {}
        statement = "SELECT kind, status, count(*) FROM record WHERE status <> '' GROUP BY kind, status"
        async with looking_into(self._path) as connection:
            for kind, status, number in await self._rows(connection, statement, ()):
                found.setdefault(kind, {})[status] = number
        return found

    async def forget(self, kind: str, names: Sequence[str]) -> int:
        """See `Desk.forget`."""

        def work(connection: sqlite3.Connection) -> int:
            statement = "DELETE FROM record WHERE kind = ? AND name = ?"
            return sum(connection.execute(statement, (kind, name)).rowcount for name in names)

        return await self._engine.transact(work)

    async def _rows(self, connection: aiosqlite.Connection, statement: str, values: tuple[Any, ...]) -> list[Any]:
        async with connection.execute(statement, values) as cursor:
            return list(await cursor.fetchall())


def conditions(only: Filter) -> tuple[str, tuple[Any, ...]]:
    """What SQL can tell of a filter, as more conditions, and their values."""
    wanted = {"address": only.address, "reason": only.reason, "message.id": only.only}
    given = {column: value for column, value in wanted.items() if value is not None}
    return "".join(f" AND {column} = ?" for column in given), tuple(given.values())
