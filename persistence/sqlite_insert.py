"""How new messages become rows: most of them a chunk at a time, for binding a value costs more than storing it.

Most messages bear nothing but their handler and their body. Those of one mailbox and handler that come together share
all other values, which a chunk's statement has once: measured, a row of nineteen values takes 13 µs, one of a chunk 3.
"""

import math
import sqlite3
from collections.abc import Callable
from typing import Any

from .records import Outgoing
from .sqlite_schema import CLAIMED, WAITING

FULL = (
    "INSERT INTO message(id, mailbox, shard, state, priority, due, next, owner, token, stored, claimed, expires, asked,"
    " key, once, handler, sender, trace, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# Shared values by a join: the same parameter at several places, `?1`, makes Python 3.12.1 warn.
CHUNK = (
    "INSERT INTO message(mailbox, shard, state, due, stored, owner, claimed, asked, handler, sender, priority, next,"
    " id, token, body) SELECT shared.*, 0, 0, own.* FROM (SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS shared"
    " CROSS JOIN (VALUES {rows}) AS own"
)
SIZES = (64, 8, 1)
"""The rows of the chunks that there are statements for; SQLite allows some versions no more than 999 values."""
CHUNKS = {size: CHUNK.format(rows=", ".join(["(?, ?, ?)"] * size)) for size in SIZES}


class Inserts:
    """New messages on their way into the table; `write` has them all written.

    `owner` and `token`: of whoever claims a message as it is stored; a token of None for one that waits.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._executemany: Callable[..., Any] = connection.executemany
        self._execute: Callable[..., Any] = connection.execute
        self._full: list[tuple[Any, ...]] = []
        self._chunks: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[Any]]] = {}

    def plain(
        self, mailbox: int, shard: int, due: float, stored: float, owner: int, id: int, token: int | None,
        message: Outgoing,
    ) -> None:  # fmt: skip
        """Add one that says nothing but what, to whom, from whom, and whether somebody asks."""
        key = mailbox, message.handler, message.sender, message.asked, token is None
        chunk = self._chunks.get(key)
        if chunk is None:
            waits = token is None
            state, claimer, claimed = (WAITING, None, None) if waits else (CLAIMED, owner, stored)
            sender = message.sender or None
            shared = (mailbox, shard, state, due, stored, claimer, claimed, message.asked, message.handler, sender)
            chunk = self._chunks[key] = (shared, [])
        chunk[1].extend((id, token, message.body))

    def full(
        self, id: int, mailbox: int, shard: int, state: int, due: float, next: float, stored: float,
        owner: int | None, token: int | None, message: Outgoing,
    ) -> None:  # fmt: skip
        """Add any."""
        self._full.append((
            id, mailbox, shard, state, message.priority, due, next, owner, token, stored,
            None if owner is None else stored, None if message.expires == math.inf else message.expires,
            message.asked, message.key or None, message.once or None, message.handler, message.sender or None,
            message.trace or None, message.body,
        ))  # fmt: skip

    def write(self) -> None:
        """Write those that were added."""
        if self._full:
            self._executemany(FULL, self._full)
            self._full = []
        if not self._chunks:
            return
        chunks, self._chunks = self._chunks, {}
        for shared, own in chunks.values():
            first, left = 0, len(own) // 3
            for size in SIZES:
                while left >= size:
                    self._execute(CHUNKS[size], (*shared, *own[first : first + 3 * size]))
                    first, left = first + 3 * size, left - size
