"""What one session claims of the SQLite tables: which messages a mailbox may have now, in its order."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .errors import StoreCorrupt
from .records import Delivery, Outgoing, Want
from .sqlite_rows import Rows
from .sqlite_runs import CLAIM_RUN, Claimed, runs

COLUMNS = (
    "id, handler, body, attempt, stored, due, priority, key, expires, asked, crashes, interrupts, delay, progress,"
    " sender, trace, once, next"
)
# Three small sets, made once for each claim; to look at all others of each one's key would be slow where many have one.
RETRIES = "SELECT key FROM message INDEXED BY message_retry WHERE mailbox = :mailbox AND state = 0 AND key IS NOT NULL"
KEYED = (
    " AND next <= :now AND (key IS NULL OR ("
    f"key NOT IN ({RETRIES} AND next > 0 AND next > :now)"
    f" AND (next > 0 OR key NOT IN ({RETRIES} AND next > 0 AND next <= :now))"
    " AND key NOT IN (SELECT key FROM message INDEXED BY message_claimed"
    " WHERE state = 1 AND owner <> :me AND mailbox = :mailbox AND key IS NOT NULL)))"
)
"""What bears the key of one that waits for its retry, or of one that is in hand elsewhere, has to wait; if the retry is
due, that goes first.
"""


class Claims(Rows):
    """What one session does to the tables; every claim that it makes bears a `token` of its own."""

    def make_room(self, wants: Sequence[Want], messages: Iterable[Outgoing]) -> None:
        """Have new messages claimed as they are stored, in mailboxes in which nothing is in front of them.

        Otherwise they would be stored to wait, found, and claimed, each of which writes a row and an index. It is done
        where there is room for all of them, so that none of a lower priority is taken before another.
        """
        quiet = {want.address: want.room for want in wants if self._is_quiet(want)}
        if quiet:
            coming = Counter(message.address for message in messages if message.address in quiet)
            self._rooms = {address: room for address, room in quiet.items() if coming[address] <= room}

    def _is_quiet(self, want: Want) -> bool:
        number = self.mailbox(want.address)
        return (
            number in self.known.quiet
            and want.above is None
            and (want.order == "free" or (want.order == "strict" and number in self.owned))
        )

    def born(self) -> list[Delivery]:
        """What was claimed as it was stored, in order."""
        if any(one.priority or one.due < one.stored for one in self.newborn):
            self.newborn.sort(key=lambda one: one.place)
        return self.newborn

    def claim(self, want: Want, now: float) -> tuple[list[Delivery], float | None]:
        """Claim what that mailbox may have now, in its order; and when the next one comes due, if there was room."""
        number = self.mailbox(want.address)
        if self._is_quiet(want):
            return [], None
        deliveries = self._claim(want, number, now)
        if len(deliveries) >= want.room:
            return deliveries, None
        due = self.next_due(want, now)
        if due is None and want.above is None and (want.order == "free" or number in self.owned):
            self.known.quiet.add(number)
        return deliveries, due

    def _claim(self, want: Want, number: int, now: float) -> list[Delivery]:
        execute = self.connection.execute
        execute("UPDATE message SET state = 0, next = 0 WHERE state = 5 AND mailbox = ? AND next <= ?", (number, now))
        if want.order == "strict":
            waits = "SELECT 1 FROM message WHERE state = 0 AND mailbox = ? AND next > 0 AND next > ? LIMIT 1"
            since = now if want.above is None else 0.0  # one that is due goes before all, so no others are picked
            if not self.own(number, want.address) or execute(waits, (number, since)).fetchone():
                return []  # one that waits for its retry holds up all others, of every priority
        given = {"mailbox": number, "me": self.me, "now": now, "room": want.room, "above": want.above}
        rows: list[Sequence[Any]] = []
        if want.order == "strict":  # one whose retry is due goes first, whatever came since
            rows = execute(self._select(want, " AND next > 0"), given).fetchall()
        if want.last:
            others = given | {f"last{place}": key for place, key in enumerate(want.last)}
            rows = execute(self._select(want, _without(len(want.last))), others).fetchall()
            deliveries = self._take(want, rows, now)
            if len(rows) < want.room:
                rows = execute(self._select(want), given | {"room": want.room - len(rows)}).fetchall()
                deliveries += self._take(want, rows, now)
            return deliveries
        if len(rows) < want.room:
            fresh = " AND next = 0" if want.order == "strict" else ""
            rows += execute(self._select(want, fresh), given | {"room": want.room - len(rows)}).fetchall()
        deliveries = self._take(want, rows, now)
        if want.order == "keyed" and any(row[-1] for row in rows) and len(rows) < want.room:
            # Those retries are out of the way: now what came since with their keys, of whatever priority.
            rows = execute(self._select(want), given | {"room": want.room - len(rows)}).fetchall()
            deliveries += self._take(want, rows, now)
        return deliveries

    def _take(self, want: Want, rows: Iterable[Sequence[Any]], now: float) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for row in rows:
            if row[2] is None:  # as of what is over: an index leads to the wrong rows
                raise StoreCorrupt(f"{self._path()} is damaged: message {row[0]} waits there, and is over")
            self._token += 1
            deliveries.append(_delivery(want.address, self._token, row))
        for run in runs(Claimed(one.id, one.token) for one in deliveries):
            self.connection.execute(CLAIM_RUN, (self.me, run.offset, now, run.first, run.last))
        return deliveries

    def _select(self, want: Want, only: str = "") -> str:
        base = f"SELECT {COLUMNS} FROM message AS one WHERE mailbox = :mailbox AND state = 0{only}"
        if want.above is not None:
            base += " AND priority > :above"
        if want.order == "free":
            base += " AND next <= :now"
        elif want.order == "keyed":
            base += KEYED
        return base + " ORDER BY priority DESC, due, id LIMIT :room"

    def _path(self) -> str:
        path: str = self.connection.execute("PRAGMA database_list").fetchone()[2]
        return path

    def leave(self, addresses: Sequence[str]) -> None:
        """Have these strict addresses no more."""
        for address in addresses:
            number = self.mailbox(address)
            self.owned.discard(number)
            self.known.quiet.discard(number)
            self.connection.execute("UPDATE mailbox SET owner = NULL WHERE id = ? AND owner = ?", (number, self.me))

    def next_due(self, want: Want, now: float) -> float | None:
        """When the next message of that mailbox comes due that does not wait now."""
        number = self.mailbox(want.address)
        row = self.connection.execute(
            "SELECT min(next) FROM message WHERE state = 5 AND mailbox = ?", (number,)
        ).fetchone()
        due: float | None = row[0]
        row = self.connection.execute(  # also in free order: the mailbox may have been of another one before
            "SELECT min(next) FROM message WHERE state = 0 AND mailbox = ? AND next > 0 AND next > ?", (number, now)
        ).fetchone()
        if row[0] is not None:
            due = row[0] if due is None else min(due, row[0])
        return due


def _without(keys: int) -> str:
    """What bears none of so many keys, `:last0` and so on."""
    return f" AND (key IS NULL OR key NOT IN ({', '.join(f':last{place}' for place in range(keys))}))"


def _delivery(address: str, token: int, row: Sequence[Any]) -> Delivery:
    id, handler, body, attempt, stored, due, priority, key, expires, asked, crashes, interrupts, delay, progress = row[
        :14
    ]
    return Delivery(
        id, address, handler, body, token, attempt + 1, stored, due, priority, key or "",
        math.inf if expires is None else expires, bool(asked), crashes, interrupts, delay, progress, row[14] or "",
        row[15] or "", row[16] or "",
    )  # fmt: skip
