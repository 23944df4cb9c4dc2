"""The laws of new rows: in a chunk or alone, each says what its message says."""

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.persistence.records import Outgoing
from upright.persistence.sqlite_insert import SIZES, Inserts
from upright.persistence.sqlite_schema import connect, prepare

NOW = 1_700_000_000.0
COLUMNS = (
    "id, mailbox, shard, state, priority, due, next, owner, token, stored, claimed, expires, asked, key, once, handler,"
    " sender, trace, body, attempt, crashes, interrupts, delay, finished, reason, progress, reply"
)
MESSAGES = st.lists(
    st.builds(
        Outgoing,
        address=st.just("a"),
        handler=st.sampled_from(("one", "two")),
        body=st.binary(max_size=3),
        priority=st.sampled_from((0, 0, 0, 7)),
        key=st.sampled_from(("", "", "k")),
        expires=st.sampled_from((math.inf, math.inf, NOW + 60)),
        asked=st.booleans(),
        sender=st.sampled_from(("", "/a")),
        trace=st.sampled_from(("", "", "t")),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path: Path = tmp_path_factory.mktemp("insert") / "store.db"
    made = connect(path)
    prepare(made, path, "name", NOW)
    yield made
    made.close()


def stored(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    found = connection.execute(f"SELECT {COLUMNS} FROM message ORDER BY id").fetchall()
    connection.execute("DELETE FROM message")
    return found


@given(MESSAGES, st.lists(st.booleans(), min_size=40, max_size=40))
def test_each_row_is_its_message(connection: sqlite3.Connection, messages: list[Outgoing], now: list[bool]) -> None:
    inserts, expected = Inserts(connection), list[tuple[object, ...]]()
    for id, (message, at_once) in enumerate(zip(messages, now, strict=False), 1):
        owner, token, later = (3, 900 + id, 0.0) if at_once else (None, None, NOW + id if message.key else 0.0)
        state = 1 if at_once else 5 if later else 0
        if later or message.key or message.priority or message.trace or message.expires != math.inf:
            inserts.full(id, 1, 9, state, NOW + 1, later, NOW, owner, token, message)
        else:
            inserts.plain(1, 9, NOW + 1, NOW, 3, id, token, message)
        expires = None if message.expires == math.inf else message.expires
        expected.append((
            id, 1, 9, state, message.priority, NOW + 1, later, owner, token, NOW, NOW if at_once else None, expires,
            message.asked, message.key or None, None, message.handler, message.sender or None, message.trace or None,
            message.body, 0, 0, 0, 0.0, None, None, None, None,
        ))  # fmt: skip
    inserts.write()
    assert stored(connection) == expected


@pytest.mark.parametrize("count", sorted({1, *(size + more for size in SIZES for more in (-1, 0, 1)), 200}))
def test_as_many_rows_are_written_as_there_are_messages_once(connection: sqlite3.Connection, count: int) -> None:
    inserts = Inserts(connection)
    for id in range(1, count + 1):
        inserts.plain(1, 9, NOW, NOW, 3, id, None, Outgoing("a", "one", b"%d" % id))
    inserts.write()
    inserts.write()
    assert [(row[0], row[18]) for row in stored(connection)] == [(id, b"%d" % id) for id in range(1, count + 1)]
