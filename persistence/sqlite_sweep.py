"""Deleting what is over and done with from a SQLite file, a little at a time.

It stands apart from the upkeep that asks for it since it is made for a thread beside a busy loop. Between two of its
statements such a thread waits for the interpreter, for milliseconds, and must not have the lock of the file meanwhile.
So one statement is a whole transaction: it deletes thousands of messages, and all that goes with each, by a trigger of
this connection. Measured beside 50,000 messages a second: 2 microseconds a message, where statements of their own took
300.
"""

import math
import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple

from .retention import Retention

HOLD = 0.004
"""Seconds for which a sweep keeps writers out at a time, about."""
FEWEST, MOST = 500, 8_000
"""Messages that are deleted in one transaction."""
REST, LEAST = 3.0, 0.002
"""A sweep rests so many times as long as its last transaction took, and so many seconds at least, for the sake of those
who write."""

PREPARE = (
    "PRAGMA temp_store = MEMORY",
    "CREATE TEMP TABLE going(id INTEGER PRIMARY KEY)",
    "CREATE TEMP TRIGGER gone AFTER DELETE ON main.message BEGIN"
    " DELETE FROM failure WHERE message = old.id;"
    " DELETE FROM event WHERE message = old.id;"
    " DELETE FROM record WHERE kind = 'steps/' || old.id; END",
)
TOP = "SELECT coalesce(max(id), 0) FROM message"
UNFINISHED = (
    "SELECT (SELECT coalesce(sum(depth), 0) FROM mailbox)"
    " + (SELECT count(*) FROM message INDEXED BY message_quarantined WHERE state = 3)"
)
KEEP_TOP = "UPDATE meta SET value = max(value, ?) WHERE name = 'last'"
"""The highest id was given, though its message may be gone: it is never given again."""
NTH_LETTER = "SELECT id FROM message INDEXED BY message_quarantined WHERE state = 3 ORDER BY id DESC LIMIT 1 OFFSET ?"
OLD = "(finished < ? OR id <= ?)"
FINISHED = f"FROM message WHERE id > ? AND id <= ? AND state IN (2, 4) AND {OLD}"
SET_ASIDE = f"FROM message INDEXED BY message_quarantined WHERE id > ? AND id <= ? AND state = 3 AND {OLD}"
SAME = "(SELECT user_version FROM pragma_user_version) = ?"  # or a newer program has changed the tables meanwhile
DELETE = f"DELETE FROM message WHERE id IN (SELECT id FROM going) AND state IN (2, 3, 4) AND finished <= ? AND {SAME}"
ENDED = "FROM record INDEXED BY record_ended WHERE status IN ('completed', 'rejected', 'cancelled')"
NTH_RUN = f"SELECT changed, rowid {ENDED} ORDER BY changed DESC, rowid DESC LIMIT 1 OFFSET ?"
DELETE_RUNS = (
    f"DELETE FROM record WHERE rowid IN (SELECT rowid {ENDED} AND changed <= ? AND (changed < ? OR rowid <= ?)"
    f" ORDER BY changed, rowid LIMIT ?) AND {SAME}"
)


class Swept(NamedTuple):
    """What a sweep deleted: messages that were `finished`, letters that were `quarantined`, `runs` that were over."""

    finished: int
    quarantined: int
    runs: int


class Sweep:
    """One sweep over the file of `connection`, of that `version`, at that time on the store's clock.

    `rest`: waits for so many seconds; True: it is to stop.
    """

    def __init__(
        self, connection: sqlite3.Connection, version: int, now: float, rest: Callable[[float], bool]
    ) -> None:  # fmt: skip
        self._execute, self._version, self._now, self._rest = connection.execute, version, now, rest
        self._size, self._top, self._stops = FEWEST, 0, False
        for statement in PREPARE:
            self._execute(statement)

    def run(self, keep: Retention) -> Swept:
        """Delete what need not be kept any longer. What becomes old meanwhile is for the next one."""
        self._top = self._one(TOP)
        most, letters = keep.finished_count, keep.quarantined_count
        # Of a long backlog those are finished first that came first: they are the latest to be finished all the same.
        last = 0 if most is None else max(0, self._top - most - (self._one(UNFINISHED) if most else 0))
        last_letter = 0 if letters is None else self._one(NTH_LETTER, letters)
        return Swept(
            self._messages(FINISHED, keep.finished_for, last),
            self._messages(SET_ASIDE, keep.quarantined_for, last_letter),
            self._runs(keep.runs_for, keep.runs_count),
        )

    def _messages(self, which: str, seconds: float, last: int) -> int:
        """Delete those that have ended so long ago, or up to that id; how many there were."""
        before = self._now - seconds if seconds < math.inf else -math.inf
        if not last and before == -math.inf:
            return 0
        count, after = 0, 0
        while not self._stops:
            self._execute("DELETE FROM going")
            # Without the lock of the file: it may have to look at all that is kept.
            self._execute(
                f"INSERT INTO going SELECT id {which} ORDER BY id LIMIT ?", (after, self._top, before, last, self._size)
            )
            after = self._one("SELECT coalesce(max(id), 0) FROM going")
            if not after:
                break
            if not count:
                self._execute(KEEP_TOP, (self._top,))
            count += self._delete()
        return count

    def _delete(self) -> int:
        """Delete what is to go, unless it was redriven meanwhile."""
        return self._paced(DELETE, self._now, self._version)

    def _runs(self, seconds: float, most: int | None) -> int:
        """Delete the records of runs that have been over for so long, or are too many; how many there were."""
        until = (self._now - seconds, 0) if seconds < math.inf else (-math.inf, 0)
        nth = None if most is None else self._execute(NTH_RUN, (most,)).fetchone()
        until = until if nth is None else max(until, nth)
        count, self._size = 0, FEWEST
        while until[0] > -math.inf and not self._stops:
            deleted = self._paced(DELETE_RUNS, until[0], *until, self._size, self._version)
            if not deleted:
                break
            count += deleted
        return count

    def _paced(self, statement: str, *given: float) -> int:
        """Delete by that statement, which is a transaction, and rest; how much that was."""
        began = time.thread_time()  # without the wait for the lock, and for the interpreter
        deleted = self._execute(statement, given).rowcount
        took = time.thread_time() - began
        self._size = min(max(int(self._size * min(HOLD / max(took, 1e-6), 2.0)), FEWEST), MOST)
        self._stops = self._rest(max(REST * took, LEAST))
        return deleted

    def _one(self, statement: str, *given: int) -> int:
        row = self._execute(statement, given).fetchone()
        return int(row[0]) if row is not None else 0
