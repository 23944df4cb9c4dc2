"""One message on its way, and the turn in which it is handled.

An envelope is the only object made per message, and while its message is in hand it *is* the turn.
"""

import asyncio
import math
from typing import Any, Protocol

import msgspec

from .handlers import Handler
from .message import Message

QUEUED, IN_HAND, DONE, MOVED, BESIDE, DETACHED = range(6)
"""Phases: waits; its handler runs; finished; stashed or forwarded; not a message but a background task; of a zombie."""


class Host(Protocol):
    """Who has an envelope in hand: an incarnation of an actor."""

    @property
    def path(self) -> str: ...

    @property
    def cell(self) -> object: ...


class Envelope(msgspec.Struct, eq=False):
    """A message with all that its delivery needs. It is made for every message, so it holds no more than that.

    `sender`: the incarnation that sent it. `reply`: what the asker waits for.
    """

    handler: Handler
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    sender: Host | None
    reply: asyncio.Future[Any] | None = None
    phase: int = QUEUED

    def message(self) -> Message:
        """What was said, as a value that may be kept."""
        return Message(self.handler.name, self.args, self.kwargs or {}, self.reply is not None)

    def fail(self, error: Exception) -> None:
        """End the ask, if this is one that still waits, with an error."""
        reply = self.reply
        if reply is not None and not reply.done():
            reply.set_exception(error)
            reply.exception()  # marks it as seen: an asker cancelled just now must not cause "never retrieved" later


class Link:
    """A turn that asks, as a link in the chain of asks; whoever is asked points to it.

    `host`: whose turn. `turn`: None once it is over. `waits_for`: by the replies that it awaits, who has the questions.
    """

    __slots__ = ("host", "turn", "waits_for")

    def __init__(self, host: Host, turn: Envelope) -> None:
        self.host = host
        self.turn: Envelope | None = turn
        self.waits_for: dict[asyncio.Future[Any], Any] = {}

    def waits_at(self, reply: asyncio.Future[Any] | None, recipient: object) -> None:
        """A question was handed on, and is there now; unless nobody waits for it any more."""
        if reply in self.waits_for:
            self.waits_for[reply] = recipient


class Question(Envelope, eq=False):
    """A message that somebody waits for.

    `deadline`: on the loop's clock, in seconds. `caller`: the turn that waits; set for asks only, or a chain of tells
    would never be freed. `fail_fast`: the asker will not wait through a restart. `forwarded`: the messages that
    took its place. `stored`: the id that it has in a store.
    """

    deadline: float = math.inf
    caller: Link | None = None
    fail_fast: bool = False
    forwarded: tuple[Envelope, ...] = ()
    stored: int | None = None


class Own(Envelope, eq=False):
    """What an incarnation sends to itself: ticks, piped results. It dies with the incarnation, and is never dropped."""


class Notice(Own, eq=False):
    """What comes before the next message: a child has ended, a `Down`. `token`: to take it back by."""

    token: object = None


def deadline_of(turn: Envelope | None) -> float:
    """When whoever waits for this turn stops waiting, on the loop's clock; `inf` if nobody waits."""
    return turn.deadline if isinstance(turn, Question) else math.inf
