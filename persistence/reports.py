"""What a store tells those who look into it: letters of the quarantine, stories, counts."""

import msgspec

from .records import Failure

REASONS = {
    "attempts": "every attempt that its policy gives it has failed",
    "deadline": "its time was up before it succeeded",
    "crash_loop": "the process died with it in hand, three times in a row",
    "undecodable": "its payload does not fit the handler's signature any more",
    "unknown_handler": "the actor has no handler of that name",
    "rejected": "the handler refused it, and nobody had asked",
    "expired": "it was not handled in the time that its sender gave it",
    "classify": "the policy's classify() said so, or failed",
}
"""Every reason code of the quarantine, and what it means."""


class Filter(msgspec.Struct, frozen=True):
    """Which letters: of this address, for this reason, whose last error contains this text."""

    address: str | None = None
    reason: str | None = None
    error: str | None = None
    limit: int | None = None


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

    def __repr__(self) -> str:
        return f"<Letter {self.id} {self.address} {self.handler} {self.reason} after {len(self.attempts)} attempts>"


class StoryEvent(msgspec.Struct, frozen=True):
    """One thing that happened to a message.

    `name`: `stored`, `claimed`, `heartbeat` (the last one of an attempt), `failed`, `released`, `crashed`, `acked`,
    `quarantined`, `redriven`, `cancelled` or `discarded`. `at`: when. `attempt`: which, from 1; 0 where none is meant.
    `owner`: the session. `note`: an error, a reason.
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
