"""What was written down in a run, read from the files with nothing but SQLite: the audit trusts nobody.

It uses no code of the library. The parent's list of accepted orders, the store, and the books of the four services were
written by six processes, most of which were killed or cut off at some time.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

SERVICES = {
    "payments": ("charge", "refund"),
    "warehouse": ("reserve", "release"),
    "carrier": ("ship",),
    "mail": ("notify",),
}
ENDS = {"completed": "completed", "rejected": "called off", "cancelled": "called off"}
RUNS = "SELECT name, status FROM record WHERE kind = 'machine/orders'"
MESSAGES = """
SELECT message.id, mailbox.address, state, coalesce(key, once, ''), coalesce(reason, ''), attempt,
    coalesce((SELECT error FROM failure WHERE failure.message = message.id ORDER BY rowid DESC LIMIT 1), '')
FROM message JOIN mailbox ON mailbox.id = message.mailbox WHERE state IN (0, 1, 3, 5)
"""
QUARANTINED = 3


class Effect(NamedTuple):
    """Something that a service did for an order."""

    verb: str
    order: str
    cents: int


class Letter(NamedTuple):
    """A message in quarantine."""

    id: int
    order: str
    reason: str
    attempts: int
    error: str


class Books(NamedTuple):
    """`accepted`: the orders as they were written down, by id. `twice`: ids that stand there more than once. `runs`:
    the status of each run. `open`: orders of which a message is unfinished, and how many such messages there are.
    `damage`: files that are not in order.
    """

    accepted: dict[str, dict[str, object]]
    twice: list[str]
    runs: dict[str, str]
    letters: list[Letter]
    open: dict[str, int]
    effects: list[Effect]
    calls: dict[str, int]
    damage: list[str]


def read_books(folder: Path) -> Books:
    """All of a run's files. What is not there counts as empty, and as damage."""
    damage: list[str] = []
    accepted: dict[str, dict[str, object]] = {}
    twice: list[str] = []
    for order in accepted_lines(folder / "accepted.jsonl", damage):
        id = str(order["id"])
        if id in accepted:
            twice.append(id)
        accepted[id] = order
    runs: dict[str, str] = {}
    letters: list[Letter] = []
    unfinished: Counter[str] = Counter()
    for query, rows in tables(folder / "orders.db", (RUNS, MESSAGES), damage):
        if query == RUNS:
            runs = dict(rows)
            continue
        for number, address, state, order, reason, attempt, error in rows:
            if state == QUARANTINED:
                letters.append(Letter(number, order, reason, attempt, error))
            else:
                unfinished[order or f"{address} {number}"] += 1
    effects: list[Effect] = []
    calls: Counter[str] = Counter()
    asked = (
        "SELECT kind, order_id, cents FROM effect ORDER BY id",
        "SELECT outcome, count(*) FROM call GROUP BY outcome",
    )
    for service in SERVICES:
        for query, rows in tables(folder / f"{service}.db", asked, damage):
            if query == asked[0]:
                effects += [Effect(*row) for row in rows]
            else:
                calls.update({("no" if outcome.startswith("no:") else outcome): count for outcome, count in rows})
    return Books(accepted, twice, runs, letters, dict(unfinished), effects, dict(calls), damage)


def accepted_lines(path: Path, damage: list[str]) -> Iterator[dict[str, object]]:
    """The orders of the list; a line that is cut off is damage."""
    if not path.exists():
        damage.append(f"{path.name} is not there")
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                order = json.loads(line)
                assert isinstance(order, dict)
                assert "id" in order
            except (ValueError, AssertionError):
                damage.append(f"{path.name}, line {number} is no order")
            else:
                yield order


def tables(path: Path, queries: tuple[str, ...], damage: list[str]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """What these queries find in a database that is opened for reading only."""
    if not path.exists():
        damage.append(f"{path.name} is not there")
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            sound = database.execute("PRAGMA integrity_check").fetchone()[0]
            if sound != "ok":
                damage.append(f"{path.name}: {sound}")
            for query in queries:
                yield query, database.execute(query).fetchall()
    except sqlite3.Error as error:
        damage.append(f"{path.name}: {error}")
