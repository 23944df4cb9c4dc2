"""What a store tells those who look into it: letters of the quarantine, stories, counts."""

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from .records import Failure

REASONS = {
    "attempts": "every attempt that its policy gives it has failed",
    "deadline": "its time was up before it succeeded",
    "crash_loop": "the process died with it in hand, three times in a row",
    "undecodable": "its payload does not fit the handler's signature any more",
    "unknown_handler": "the actor has no handler of that name",
    "rejected": "the handler refused it, and nobody had asked",
    "unroutable": "its pool has nobody for it: the routing found no key in it",
    "expired": "it was not handled in the time that its sender gave it",
    "definition": "the machine does not know any more, or not yet, where this run is: redrive it when it does",
    "no_run": "a signal for a run that is not there: redrive it when it is",
    "classify": "the policy's classify() said so, or failed",
}
"""Every reason code of the quarantine, and what it means."""


def may_be(id: int) -> bool:
    """Whether a message can have that id. Raises `TypeError` for what is no whole number."""
    given: object = id
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"expected the id of a message, a whole number, got {given!r}")
    return 0 <= given < 1 << 63


class Filter(msgspec.Struct, frozen=True):
    """Which letters: of this address, for this reason, whose last error contains this text; or the `only` one."""

    address: str | None = None
    reason: str | None = None
    error: str | None = None
    limit: int | None = None
    only: int | None = None


class RecordFilter(msgspec.Struct, frozen=True):
    """Which records: of this kind, in this status and position, that were changed before that time; `limit` of them, in
    the order of their names, from the first one behind `after` on; or the one of that `name`.
    """

    kind: str
    status: str | None = None
    position: str | None = None
    before: float | None = None
    after: str = ""
    limit: int = 100
    name: str | None = None


class Record(msgspec.Struct, frozen=True):
    """What is recorded of one of a kind; see `RecordWrite`. `made`, `changed`: seconds since the epoch."""

    kind: str
    name: str
    version: int
    status: str
    position: str
    made: float
    changed: float
    body: bytes


class Letter(msgspec.Struct, frozen=True):
    """A message in quarantine, with all that is known of it.

    `id`: the message's. `body`: its arguments as they were stored. `attempts`: how each attempt went wrong, the
    oldest first. `stored`, `quarantined`: when. Payload and errors are for people to look at; `repr` shows neither.
    """

    id: int
    address: str
    handler: str
    body: bytes
    reason: str
    attempts: tuple[Failure, ...]
    stored: float
    quarantined: float
    key: str = ""
    once: str = ""
    sender: str = ""
    trace: str = ""

    @property
    def arguments(self) -> dict[str, Any] | None:
        """The arguments by the names of the handler's parameters, as plain values; None where they cannot be read."""
        try:
            return msgspec.msgpack.decode(self.body, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    @property
    def error(self) -> str:
        """How the last attempt went wrong; "" if none did."""
        return self.attempts[-1].error if self.attempts else ""

    def plain(self) -> dict[str, Any]:
        """All of it as plain values, for JSON; `body` only where its arguments cannot be read."""
        fields: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        arguments = self.arguments
        if arguments is not None:
            del fields["body"]
            fields["arguments"] = arguments
        return fields

    def __repr__(self) -> str:
        return f"<Letter {self.id} {self.address} {self.handler} {self.reason} after {len(self.attempts)} attempts>"


class Group(msgspec.Struct, frozen=True):
    """Letters with which the same went wrong: at the same handler, for the same reason, with errors that are alike.

    `error`: the last error of one of them. `count`: how many. `first`, `last`: when the first and the last of them came
    to quarantine. `ids`: the first few.
    """

    address: str
    handler: str
    reason: str
    error: str
    count: int
    first: float
    last: float
    ids: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<Group of {self.count} {self.address} {self.handler} {self.reason}>"


VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d+(?:\.\d+)?")
"""What differs between errors that are alike."""
FEW = 10
"""Ids that a group names."""


async def grouped(letters: AsyncIterator[Letter]) -> list[Group]:
    """The letters as groups, the largest first."""
    groups: dict[tuple[str, str, str, str], Group] = {}
    async for letter in letters:
        key = letter.address, letter.handler, letter.reason, alike(letter.error)
        group = groups.get(key)
        at = letter.quarantined
        if group is None:
            groups[key] = Group(letter.address, letter.handler, letter.reason, letter.error, 1, at, at, (letter.id,))
            continue
        ids = (*group.ids, letter.id) if len(group.ids) < FEW else group.ids
        groups[key] = msgspec.structs.replace(
            group, count=group.count + 1, first=min(group.first, at), last=max(group.last, at), ids=ids
        )
    return sorted(groups.values(), key=lambda group: -group.count)


def alike(error: str) -> str:
    """What errors share that differ in numbers, ids and what they quote; the rest of a text after its first line is not
    looked at.

    >>> alike("KeyError: 'order-17'") == alike("KeyError: 'order-4'")
    True
    >>> alike("TimeoutError: no answer in 5.2 s from 0x7f12")
    'TimeoutError: no answer in # s from #'
    """
    line = error.partition("\n")[0][:300]
    return VARIES.sub("#", line)


class StoryEvent(msgspec.Struct, frozen=True):
    """One thing that happened to a message.

    `name`: `stored`, `claimed`, `heartbeat` (the last one of an attempt), `failed`, `released`, `crashed`, `acked`,
    `quarantined`, `pardoned` (the mailbox is parked, and the fault was not its own), `edited`, `redriven`, `cancelled`
    or `discarded`. `at`: when. `attempt`: which, from 1; 0 where none is meant. `owner`: the session. `note`: an error,
    a reason.
    """

    name: str
    at: float
    attempt: int = 0
    owner: str = ""
    note: str = ""
    trace: str = ""


class Counts(msgspec.Struct, frozen=True):
    """The messages of one address: `waiting` (also those that are not due yet), `claimed`, `quarantined`."""

    waiting: int = 0
    claimed: int = 0
    quarantined: int = 0


class Opened(msgspec.Struct, frozen=True):
    """A session that has a store open: its `name`, the `pid` of its process, and since when it is `opened`, in seconds
    since the epoch. `lives`: False for one whose process has died, and that nobody has cleaned up after.
    """

    name: str
    pid: int
    opened: float
    lives: bool
