"""How new messages become rows: most of them a chunk at a time, for binding a value costs more than storing it.

Most messages bear nothing but their handler and their body. Those of one mailbox and handler that come together share
all other values, which a chunk's statement has once: measured, a row of nineteen values takes 13 µs, one of a chunk 3.
"""

import math
import sqlite3
from collections.abc import Callable
from typing import Any

from .records import Outgoing

FULL = (
    "INSERT INTO message(id, mailbox, shard, state, priority, due, next, owner, token, stored, claimed, expires, asked,"
    " key, once, handler, sender, trace, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
CHUNK = (
    "INSERT INTO message(mailbox, shard, state, due, stored, owner, claimed, asked, handler, sender, priority, next,"
    " id, token, body) VALUES "
)
SHARED = 10
SIZES = (64, 8, 1)
"""The rows of the chunks that there are statements for; SQLite allows some versions no more than 999 values."""


def chunk_of(size: int) -> str:
    """The statement for so many rows that share their first values."""
    shared = ", ".join(f"?{number}" for number in range(1, SHARED + 1))
    rows = (", ".join(f"?{SHARED + 3 * row + number}" for number in (1, 2, 3)) for row in range(size))
    return CHUNK + ", ".join(f"({shared}, 0, 0, {own})" for own in rows)


CHUNKS = {size: chunk_of(size) for size in SIZES}


class Inserts:
    """New messages on their way into the table; `write` has them all written."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._executemany: Callable[..., Any] = connection.executemany
        self._execute: Callable[..., Any] = connection.execute
        self._full: list[tuple[Any, ...]] = []
        self._chunks: dict[tuple[Any, ...], list[Any]] = {}

    def add(
        self, id: int, mailbox: int, shard: int, state: int, due: float, next: float, stored: float,
        owner: int | None, token: int | None, message: Outgoing,
    ) -> None:  # fmt: skip
        """Add one; `owner` and `token` are those of whoever claims it at once."""
        claimed = None if owner is None else stored
        if message.key or message.once or message.priority or next or message.trace or message.expires != math.inf:
            self._full.append((
                id, mailbox, shard, state, message.priority, due, next, owner, token, stored, claimed,
                None if message.expires == math.inf else message.expires, message.asked, message.key or None,
                message.once or None, message.handler, message.sender or None, message.trace or None, message.body,
            ))  # fmt: skip
            return
        shared = (
            mailbox, shard, state, due, stored, owner, claimed, message.asked, message.handler, message.sender or None,
        )  # fmt: skip
        own = (id, token, message.body)
        chunk = self._chunks.get(shared)
        if chunk is None:
            self._chunks[shared] = [*own]
        else:
            chunk += own

    def write(self) -> None:
        """Write those that were added."""
        if self._full:
            self._executemany(FULL, self._full)
            self._full = []
        chunks, self._chunks = self._chunks, {}
        for shared, own in chunks.items():
            first, left = 0, len(own) // 3
            for size in SIZES:
                while left >= size:
                    self._execute(CHUNKS[size], (*shared, *own[first : first + 3 * size]))
                    first, left = first + 3 * size, left - size
