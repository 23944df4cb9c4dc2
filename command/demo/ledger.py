"""The books of one service: what it did, by idempotency key, and every call that it got. One SQLite file."""

import sqlite3
import time
from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS effect(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, order_id TEXT NOT NULL,
    cents INTEGER NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS effect_order ON effect(order_id);
CREATE TABLE IF NOT EXISTS call(
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, order_id TEXT NOT NULL, outcome TEXT NOT NULL
);
"""


class Ledger:
    """Books an effect once for each key, as payment services do: whoever comes with the same key again gets the same
    answer, and nothing is done a second time.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(TABLES)
        self.effects: int = self._database.execute("SELECT count(*) FROM effect").fetchone()[0]
        self.calls: int = self._database.execute("SELECT count(*) FROM call").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def book(self, key: str, kind: str, order_id: str, cents: int) -> tuple[str, bool]:
        """The number of the effect, and whether it was known before."""
        now = time.time()
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            known = self._database.execute("SELECT id, kind FROM effect WHERE key = ?", (key,)).fetchone()
            if known is not None and known[1] != kind:
                raise ValueError(f"expected another key: this one was used for {known[1]}")
            if known is not None:
                number = known[0]
                self._note(kind, order_id, "replay", now)
            else:
                values = (key, kind, order_id, cents, now)
                number = self._database.execute(
                    "INSERT INTO effect(key, kind, order_id, cents, at) VALUES (?, ?, ?, ?, ?)", values
                ).lastrowid
                self._note(kind, order_id, "done", now)
                self.effects += 1
        return f"{kind}-{number}", known is not None

    def note(self, kind: str, order_id: str, outcome: str) -> None:
        """Write down a call of which nothing came."""
        self._note(kind, order_id, outcome, time.time())

    def _note(self, kind: str, order_id: str, outcome: str, at: float) -> None:
        self._database.execute(
            "INSERT INTO call(at, kind, order_id, outcome) VALUES (?, ?, ?, ?)", (at, kind, order_id, outcome)
        )
        self.calls += 1
