"""How an actor is made and ended, as small frozen values, checked where they are written."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from .clock import number
from .mailbox import Mailbox, MailboxSpec, Owner

Full = Literal["wait", "reject", "drop_new", "drop_old"]
FULL: tuple[Full, ...] = ("wait", "reject", "drop_new", "drop_old")


class Bounded(msgspec.Struct, frozen=True):
    """An in-memory mailbox of at most `limit` messages.

    `full` says what a `tell` meets when there is no room: `wait` (the sender waits), `reject` (the sender gets
    `MailboxFull`), `drop_new` (the message becomes a dead letter), `drop_old` (the one that waited longest does, and
    the new one enters).

    >>> Bounded(0)
    Traceback (most recent call last):
    ...
    ValueError: expected limit to be 1 or more, got 0
    """

    limit: int = 1_000
    full: Full = "wait"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"expected limit to be 1 or more, got {self.limit}")
        if self.full not in FULL:
            raise ValueError(f"expected full to be one of {', '.join(FULL)}, got {self.full!r}")

    def open(self, owner: Owner) -> Mailbox:
        """A mailbox of that kind; for the runtime."""
        return Mailbox(owner, self.limit, self.full)


NO_KWARGS: Mapping[str, Any] = {}
"""One for all actors that need none; never written to."""
NUMBERS = (int, float)
"""Not `int | float`, which would be built anew at each spawn."""


class Blueprint(msgspec.Struct, frozen=True):
    """What is needed to make one actor, again and again.

    `name`: the last part of its path. `actor`: its class. `args`, `kwargs`: for its constructor, at every start.
    `shutdown`: seconds it has to end when asked, 0 or more, or `"brutal"` for none at all. `start_timeout`: seconds
    that `started()` may take. `drains`: whether a stop lets it first handle what already waits. `mailbox`: in place of
    the one that the class names. `serves`: the class for which it stands in: messages for that class are sent to its
    path, and its mailbox hands them on, as a pool does for its workers.
    """

    name: str
    actor: type[Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    shutdown: float | Literal["brutal"] = 5.0
    start_timeout: float = math.inf
    drains: bool = False
    mailbox: MailboxSpec | None = None
    serves: type[Any] | None = None

    @property
    def patience(self) -> float:
        """Seconds that it has to end, when nobody cuts it short; brutality is for its parent's stop alone."""
        return 5.0 if self.shutdown == "brutal" else self.shutdown

    def __post_init__(self) -> None:
        check_name(self.name)
        shutdown: Any = self.shutdown
        if not (isinstance(shutdown, NUMBERS) and shutdown >= 0) and shutdown != "brutal":
            raise ValueError(f"expected shutdown to be 0 or more seconds or 'brutal', got {shutdown!r}")
        timeout: Any = self.start_timeout
        if not (isinstance(timeout, NUMBERS) and timeout > 0):
            raise ValueError(f"expected start_timeout to be more than 0 seconds, got {timeout!r}")


def check_name(name: str) -> None:
    """Raise `ValueError` for what cannot be a part of a path."""
    if not name or "/" in name:
        raise ValueError(f"expected name to be a string without '/', got {name!r}")
    if not name.isascii():
        encodable("name", name)


def encodable(name: str, value: str) -> None:
    """Raise `ValueError` for a text that has no encoding: the name of a file, say, that is no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"expected {name} to be a string that has an encoding, got {value!r}") from error


def seconds(name: str, value: float, least: float = 0.0) -> float:
    """The value, if it is a duration of at least `least` seconds; else `ValueError` with the house's formula."""
    if not number(value) >= least:
        raise ValueError(f"expected {name} to be {least:g} or more seconds, got {value!r}")
    return value
