"""One message on its way, and the turn in which it is handled.

An envelope is the only object made per message, and while its message is in hand it *is* the turn: the context
variable `TURN` holds it, so that whatever the handler calls (a helper, a task, a guard) can find the deadline, the
chain of asks and the actor, through any number of calls, without an argument. A fresh envelope per message is also
what tells a task that outlived its handler (its copied context holds an envelope that is done) from a part of the
handler.
"""

import asyncio
import math
from contextvars import ContextVar
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
    """A message with all that its delivery needs.

    `deadline`: on the loop's clock, in seconds. `caller`: the turn that waits for the reply; set for asks only, or a
    chain of tells would never be freed. `sender`: the incarnation that sent it. `host`: the incarnation that has it
    in hand.
    """

    handler: Handler
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    sender: Host | None
    reply: asyncio.Future[Any] | None = None
    deadline: float = math.inf
    caller: "Envelope | None" = None
    fail_fast: bool = False
    host: Host | None = None
    phase: int = QUEUED
    own: bool = False
    waits_for: object = None

    def message(self) -> Message:
        """What was said, as a value that may be kept."""
        return Message(self.handler.name, self.args, self.kwargs or {}, self.reply is not None)

    def fail(self, error: Exception) -> None:
        """End the ask, if this is one that still waits, with an error."""
        reply = self.reply
        if reply is not None and not reply.done():
            reply.set_exception(error)
            reply.exception()  # marks it as seen: an asker cancelled just now must not cause "never retrieved" later


TURN: ContextVar[Envelope | None] = ContextVar("upright_turn", default=None)
"""The envelope in hand where the code runs inside an actor, else None."""


class Turn(msgspec.Struct, frozen=True):
    """Which actor and message the running code belongs to.

    `actor`: its path. `handler`: the method's name. `deadline`: when the asker stops waiting, seconds on the loop's
    clock.
    """

    actor: str
    handler: str
    deadline: float


def current_turn() -> Turn | None:
    """The turn that the calling code is part of, or None outside an actor; for log processors and guards."""
    envelope = TURN.get()
    if envelope is None or envelope.host is None or envelope.phase not in (IN_HAND, BESIDE):
        return None
    return Turn(envelope.host.path, envelope.handler.name, envelope.deadline)
