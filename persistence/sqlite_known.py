"""What a session remembers of the tables, so that it need not ask them again in each transaction.

All of it holds as long as nobody else has written: no other connection, which `PRAGMA data_version` tells, and nobody
else through this connection, which its count of changed rows tells. One look at the begin of a transaction is enough,
because no other can write while it is open.
"""

import sqlite3


class Known:
    """What one session knows.

    `last`: the highest id of a message so far. `quiet`: the numbers of the mailboxes in which nothing waits, of which
    the strict ones are this session's. `depths`, `tails`: of the mailboxes, by address. `is_enrolled`: whether this
    session is in the table of sessions.
    """

    __slots__ = ("_changes", "_connection", "_version", "depths", "is_enrolled", "last", "quiet", "tails")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._version = self._changes = -1
        self.last: int | None = None
        self.quiet: set[int] = set()
        self.depths: dict[str, int] = {}
        self.tails: dict[str, float] = {}
        self.is_enrolled = False

    def begin(self) -> None:
        """A transaction has begun: forget all, if somebody has written since the last one."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version or self._connection.total_changes != self._changes:
            self.forget()
            self._version = version

    def committed(self) -> None:
        """What was learned in the transaction is so."""
        self._changes = self._connection.total_changes

    def forget(self) -> None:
        """It may all be otherwise."""
        self.last, self.is_enrolled, self._changes = None, False, -1
        self.quiet.clear()
        self.depths.clear()
        self.tails.clear()
