"""The outbox: a message that is stored by the user's own transaction, with the user's own rows, or never was."""

import inspect
import math
import sqlite3
from collections.abc import Awaitable, Callable
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
from .sqlite_rows import SHARDS
from .sqlite_schema import DELAYED, LAST, WAITING

A = TypeVar("A")
P = ParamSpec("P")

KNOWN = "INSERT OR IGNORE INTO mailbox(address) VALUES (?)"
# A message whose idempotency key is known is left out by the unique index, and then the depth stays as it is.
STORED = (
    "INSERT OR IGNORE INTO message(id, mailbox, shard, state, priority, due, next, stored, expires, asked, key, once,"
    " handler, sender, trace, body)"
    f" SELECT ({LAST}) + 1, id, ?, ?, ?, coalesce(?, max(?, tail)), ?, ?, ?, 0, ?, ?, ?, ?, ?, ? FROM mailbox"
    " WHERE address = ?"
)
# What comes after it stands behind it, though the clock may be set back until then.
COUNTED = "UPDATE mailbox SET depth = depth + 1, tail = max(tail, ?) WHERE address = ? AND changes() > 0"


class NoTransaction(StoreError):
    """The connection has no transaction that a message could join."""


class Outbox:
    """Tells durable actors within a transaction of `connection`, a `sqlite3` or `aiosqlite` one on the store's file.

    Make it with `store.outbox(connection)`, tell, and commit: `await store.outbox(db).tell(mailer, Mailer.send, mail)`.
    """

    def __init__(
        self, connection: sqlite3.Connection | aiosqlite.Connection, now: Callable[[], float],
        joined: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._connection, self._now, self._joined = connection, now, joined

    async def tell(
        self, ref: Ref[A], handler: Callable[Concatenate[A, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have the message stored when the transaction commits. The options of the ref count (`once`, `later`, …).

        Raises `NoTransaction` where each statement commits by itself, `NotDurable`, `ActorGone`.
        """
        recipient = ref.recipient
        if recipient is None:
            raise ActorGone(f"nobody lives at {ref.path}", ref.path, handled=False)
        door = recipient.mailbox.keeper
        if not isinstance(door, Door):
            raise NotDurable(f"{ref.path} has its mailbox in memory: nothing that is sent to it can join a transaction")
        connection = self._connection
        if connection.isolation_level is None and not connection.in_transaction:
            raise NoTransaction("expected a connection with a transaction that is open: execute BEGIN first")
        envelope = Envelope(recipient.handlers[handler], args, kwargs or None, None)
        await self._store(door.outgoing(envelope, ref.sending or PLAINLY, asked=False))
        self._joined(door.address)

    async def _store(self, message: Outgoing) -> None:
        now = self._now()
        later = message.due > now
        expires = None if message.expires == math.inf else message.expires
        values = (
            crc32((message.key or message.address).encode()) % SHARDS, DELAYED if later else WAITING, message.priority,
            message.due or None, now, message.due if later else 0.0, now, expires, message.key or None,
            message.once or None, message.handler, message.sender or None, message.trace or None,
            message.body, message.address,
        )  # fmt: skip
        counted = (0.0 if message.due else now, message.address)
        for statement, given in ((KNOWN, (message.address,)), (STORED, values), (COUNTED, counted)):
            done: Any = cast("Any", self._connection).execute(statement, given)
            if inspect.isawaitable(done):
                await done
