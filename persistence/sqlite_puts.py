"""What one session stores in the SQLite tables: new messages, and how many each mailbox has.

It stands apart from the steps because it is on the path of every `tell`: what all messages of one mailbox share is
looked up once for all that come together.
"""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from zlib import crc32

from upright.actors.durable import Receipt

from . import sqlite_schema
from .errors import StoreTooNew
from .records import Delivery, Outgoing
from .sqlite_insert import Inserts
from .sqlite_known import Known
from .sqlite_schema import CLAIMED, DELAYED, LAST, WAITING

SHARDS = 256
OWN = "UPDATE mailbox SET owner = ? WHERE id = ? AND (owner IS NULL OR owner = ?)"


class Stale(Exception):
    """A claim had ended, or a state had changed: the fast way is no way."""


class Spot:
    """A mailbox, as far as new messages need it: its `number` and `shard`, the `tail` of those that wait, and the
    `room` for messages that are claimed as they are stored. `came`: how many have come. `waits`: whether one waits.
    """

    __slots__ = ("came", "number", "room", "shard", "tail", "waits")

    def __init__(self, number: int, shard: int, tail: float, room: int) -> None:
        self.number, self.shard, self.tail, self.room = number, shard, tail, room
        self.came, self.waits = 0, False


class Puts:
    """What one session stores. `me`: its number; `name`: its name. `Rows` adds the steps, `Claims` what it claims."""

    def __init__(self, connection: sqlite3.Connection, me: int, name: str) -> None:
        self.connection, self.me, self.name = connection, me, name
        self.known = Known(connection)
        self.newborn: list[Delivery] = []
        """New messages that were claimed as they were stored, in this transaction."""
        self._rooms: dict[str, int] = {}
        self._token = me << 32
        self.owned: set[int] = set()
        """The numbers of the strict addresses that this session has."""
        self.gained: list[str] = []
        """The strict addresses that it gained in this transaction."""
        self._mailboxes: dict[str, int] = {}
        self._shards: dict[str, int] = {}
        self._inserts = Inserts(connection)
        self.changes: dict[str, int] = {}
        """By how much the depths of the addresses change in this transaction."""
        self._tails: dict[str, float] = {}

    def begin(self) -> None:
        """A transaction has begun. Raises `Stale` if this session was declared dead meanwhile, and `StoreTooNew` if a
        newer version has changed the tables, which this one had better not write to.
        """
        self.changes, self._tails, self.gained = {}, {}, []
        self.newborn, self._rooms, self._inserts = [], {}, Inserts(self.connection)
        known = self.known
        known.begin()
        if not known.is_enrolled:
            version = self.connection.execute("PRAGMA user_version").fetchone()[0]
            if version > sqlite_schema.VERSION:
                known_to_us = sqlite_schema.VERSION
                raise StoreTooNew(f"expected tables of version {known_to_us}, got {version}: a newer upright made them")
            if not self.connection.execute("SELECT 1 FROM session WHERE id = ?", (self.me,)).fetchone():
                raise Stale("the session was taken for dead")
            known.is_enrolled = True

    def forget(self) -> None:
        """The transaction was undone: what was learned in it may not be so."""
        self._mailboxes.clear()
        self.owned.clear()
        self.known.forget()

    def committed(self) -> None:
        """The transaction is committed."""
        self.known.committed()

    def mailbox(self, address: str) -> int:
        """The number of an address, given to it if it has none."""
        number = self._mailboxes.get(address)
        if number is None:
            execute = self.connection.execute
            execute("INSERT OR IGNORE INTO mailbox(address) VALUES (?)", (address,))
            number = execute("SELECT id FROM mailbox WHERE address = ?", (address,)).fetchone()[0]
            self._mailboxes[address] = number
        assert number is not None
        return number

    def own(self, number: int, address: str) -> bool:
        """Whether this session has that strict address, which it takes if nobody has it."""
        if number not in self.owned:
            if self.connection.execute(OWN, (self.me, number, self.me)).rowcount != 1:
                return False
            self.owned.add(number)
            self.gained.append(address)
        return True

    def put(self, messages: Sequence[Outgoing], now: float) -> list[Receipt]:
        """Store new messages; one whose idempotency key is known gets the receipt of the first."""
        if not messages:
            return []
        id = self.known.last
        if id is None:
            id = int(self.connection.execute(LAST).fetchone()[0])
        receipts: list[Receipt] = []
        keys: dict[tuple[int, str], int] = {}
        spots: dict[str, Spot] = {}
        plain = self._inserts.plain
        for message in messages:
            address = message.address
            spot = spots.get(address)
            if spot is None:
                spot = spots[address] = self._spot(address, now)
            if message.once:
                first = keys.get((spot.number, message.once)) or self._first(spot.number, message.once)
                if first is not None:
                    receipts.append(Receipt(first, duplicate=True))
                    continue
                keys[spot.number, message.once] = id + 1
            id += 1
            receipts.append(Receipt(id))
            spot.came += 1
            if (
                message.due or message.key or message.once or message.priority or message.trace
                or message.expires != math.inf
            ):  # fmt: skip
                self._insert(id, spot, message, now)
                continue
            token = None
            if spot.room > 0:
                spot.room -= 1
                self._token = token = self._token + 1
                self.newborn.append(
                    Delivery(
                        id, address, message.handler, message.body, token, 1, now, spot.tail, asked=message.asked,
                        sender=message.sender,
                    )
                )  # fmt: skip
            else:
                spot.waits = True
            plain(spot.number, spot.shard, spot.tail, now, self.me, id, token, message)
        self._inserts.write()
        self._came(spots)
        self.known.last = id
        return receipts

    def _spot(self, address: str, now: float) -> Spot:
        number = self.mailbox(address)
        shard = self._shards.get(address)
        if shard is None:
            shard = self._shards[address] = shard_of(address)
        return Spot(number, shard, self._tail(address, number, now), self._rooms.get(address, 0))

    def _came(self, spots: dict[str, Spot]) -> None:
        """Note what has come to each mailbox."""
        for address, spot in spots.items():
            if spot.came:
                self.changes[address] = self.changes.get(address, 0) + spot.came
            if address in self._rooms:
                self._rooms[address] = spot.room
            if spot.waits:
                self.known.quiet.discard(spot.number)

    def _first(self, number: int, once: str) -> int | None:
        found = self.connection.execute("SELECT id FROM message WHERE mailbox = ? AND once = ?", (number, once))
        row = found.fetchone()
        return None if row is None else int(row[0])

    def _insert(self, id: int, spot: Spot, message: Outgoing, now: float) -> None:
        """Store one that says more than most do."""
        address, key, when = message.address, message.key, message.due
        due, later = when or spot.tail, when > now
        state, owner, token = DELAYED if later else WAITING, None, None
        if spot.room > 0 and not later:
            state, owner, self._token = CLAIMED, self.me, self._token + 1
            token, spot.room = self._token, spot.room - 1
            self.newborn.append(
                Delivery(
                    id, address, message.handler, message.body, token, 1, now, due, message.priority, key,
                    message.expires, message.asked, sender=message.sender, trace=message.trace, once=message.once,
                )
            )  # fmt: skip
        else:
            spot.waits = True
        shard = shard_of(key) if key else spot.shard
        self._inserts.full(id, spot.number, shard, state, due, when if later else 0.0, now, owner, token, message)

    def _tail(self, address: str, number: int, now: float) -> float:
        """A place by time behind all that came before, though the clock may have been set back since."""
        tail = self._tails.get(address)
        if tail is None:
            known = self.known.tails.get(address)
            if known is None:
                known = self.connection.execute("SELECT tail FROM mailbox WHERE id = ?", (number,)).fetchone()[0]
            self._tails[address] = self.known.tails[address] = tail = max(known, now)
        return tail

    def depths(self, addresses: Iterable[str]) -> dict[str, int]:
        """Write the changed depths and tails down; the depths of those that changed, and of these addresses."""
        tails = self._tails
        changed = [
            (change, tails.get(address, 0.0), self.mailbox(address))
            for address, change in self.changes.items()
            if change or address in tails
        ]
        if changed:
            self.connection.executemany(
                "UPDATE mailbox SET depth = depth + ?, tail = max(tail, ?) WHERE id = ?", changed
            )
        depths: dict[str, int] = {}
        known = self.known.depths
        for address in {*self.changes, *addresses}:
            depth = known.get(address)
            if depth is None:
                number = (self.mailbox(address),)
                depth = int(self.connection.execute("SELECT depth FROM mailbox WHERE id = ?", number).fetchone()[0])
            else:
                depth += self.changes.get(address, 0)
            depths[address] = known[address] = depth
        return depths


def shard_of(key: str) -> int:
    """The shard of a key, fixed for ever."""
    return crc32(key.encode()) % SHARDS
