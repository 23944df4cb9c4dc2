"""The outbox: a message that is stored by the user's own transaction, with the user's own rows, or never was."""

import inspect
import math
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from zlib import crc32

import aiosqlite

from upright.actors.durable import PLAINLY
from upright.actors.envelope import Envelope
from upright.actors.errors import ActorGone, NotDurable
from upright.actors.refs import Ref

from .door import Door
from .errors import StoreError
from .records import Outgoing
from .sqlite_puts import SHARDS
from .sqlite_schema import DELAYED, LAST, WAITING, is_same

A = TypeVar("A")
P = ParamSpec("P")

COLUMNS = (
    "address, shard, state, priority, due, now, next, stored, expires, asked, key, once, handler, sender, trace, body"
)
# Several statements would interleave with those of others who use the same connection, or stay half done where the
# sender is cancelled. So the connection gets a view, in its own temporary schema, and to store a message is one insert
# into that: it gives the address its number, stores the message, and counts it if it was stored; one whose idempotency
# key is known is left out by the unique index. What is stored comes after it, though the clock may be set back.
DESK = (
    f"CREATE TEMP VIEW IF NOT EXISTS upright_outbox({COLUMNS}) AS SELECT {', '.join(['NULL'] * 16)}",
    "CREATE TEMP TRIGGER IF NOT EXISTS upright_outbox_insert INSTEAD OF INSERT ON upright_outbox BEGIN"
    " INSERT OR IGNORE INTO mailbox(address) VALUES (NEW.address);"
    " INSERT OR IGNORE INTO message(id, mailbox, shard, state, priority, due, next, stored, expires, asked, key, once,"
    f" handler, sender, trace, body) SELECT ({LAST}) + 1, id, NEW.shard, NEW.state, NEW.priority,"
    " coalesce(NEW.due, max(NEW.now, tail)), NEW.next, NEW.stored, NEW.expires, NEW.asked, NEW.key, NEW.once,"
    " NEW.handler, NEW.sender, NEW.trace, NEW.body FROM mailbox WHERE address = NEW.address;"
    " UPDATE mailbox SET depth = depth + 1, tail = max(tail, iif(NEW.due IS NULL, NEW.now, 0.0))"
    " WHERE address = NEW.address AND changes() > 0; END",
)
STORE = f"INSERT INTO temp.upright_outbox({COLUMNS}) VALUES ({', '.join('?' * 16)})"
NOTHING = "UPDATE mailbox SET depth = depth WHERE 0"
"""Changes nothing, but begins a transaction where one begins by itself."""


class NoTransaction(StoreError):
    """The connection has no transaction that a message could join."""


class Outbox:
    """Tells durable actors within a transaction of `connection`, a `sqlite3` or `aiosqlite` one on the store's file.

    Make it with `store.outbox(connection)`, tell, and commit: `await store.outbox(db).tell(mailer, Mailer.send, mail)`.
    """

    def __init__(
        self, connection: sqlite3.Connection | aiosqlite.Connection, now: Callable[[], float],
        expect: Callable[[str], Callable[[str], None]],
    ) -> None:  # fmt: skip
        self._connection, self._now, self._expect = connection, now, expect
        self._file: str | None = None

    async def tell(
        self, ref: Ref[A], handler: Callable[Concatenate[A, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have the message stored when the transaction commits. The options of the ref count (`once`, `later`, …).

        Raises `NoTransaction` where each statement commits by itself, `StoreError` for a connection on another file
        than the store's or a ref of a system with another store, `NotDurable`, `ActorGone`.
        """
        recipient = ref.recipient
        if recipient is None:
            raise ActorGone(f"nobody lives at {ref.path}", ref.path, handled=False)
        door = recipient.mailbox.keeper
        if not isinstance(door, Door):
            raise NotDurable(f"{ref.path} has its mailbox in memory: nothing that is sent to it can join a transaction")
        if self._file is None:
            self._file = await self._find_file()
        joined = self._expect(self._file)
        if not is_same(self._file, getattr(door.store, "path", "")):
            raise StoreError(f"expected {ref.path} to have its messages in {self._file}, got {door.store!r}")
        await self._join()
        envelope = Envelope(recipient.handlers[handler], args, kwargs or None, None)
        message = door.outgoing(envelope, ref.sending or PLAINLY, asked=False)
        try:
            await self._store(message)
        finally:  # who is cancelled while a thread stores it will commit it all the same
            joined(door.address)

    async def _find_file(self) -> str:
        """The file that the connection is on; "" if it is in memory."""
        for _, name, file in await self._execute("PRAGMA database_list"):
            if os.fsdecode(name) == "main":
                return os.fsdecode(file or "")
        return ""

    async def _join(self) -> None:
        """See to it that there is a transaction. Raises `NoTransaction`."""
        connection = self._connection
        if not connection.in_transaction and connection.isolation_level is not None:
            await self._execute(NOTHING)
        if not connection.in_transaction:
            raise NoTransaction("expected a connection with a transaction that is open: execute BEGIN first")

    async def _store(self, message: Outgoing) -> None:
        now = self._now()
        later = message.due > now
        expires = None if message.expires == math.inf else message.expires
        values = (
            message.address, crc32((message.key or message.address).encode()) % SHARDS, DELAYED if later else WAITING,
            message.priority, message.due or None, now, message.due if later else 0.0, now, expires, 0,
            message.key or None, message.once or None, message.handler, message.sender or None, message.trace or None,
            message.body,
        )  # fmt: skip
        for statement in DESK:  # each time: where the transaction that they were made in was undone they are gone
            await self._execute(statement)
        await self._execute(STORE, values)

    async def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        cursor: Any = await awaited(cast("Any", self._connection).cursor())
        cursor.row_factory = None  # rows as they are, whatever the user's own look like
        await awaited(cursor.execute(statement, values))
        rows: list[Any] = await awaited(cursor.fetchall())
        await awaited(cursor.close())
        return rows


async def awaited(made: Any) -> Any:
    """What `sqlite3` returns, and `aiosqlite` after a wait."""
    return await made if inspect.isawaitable(made) else made
