"""Where a message is in hand: what the running code, through any number of calls, can find of its turn.

The context variable `TURN` holds the seat of the code's incarnation, and the seat holds the envelope in hand. So a
helper, a task or a guard finds the deadline, the chain of asks and the actor without an argument.

One seat serves many messages, because setting a context variable for each costs more than all else that is done for it.
But a task that a handler started and did not wait for must never pass for a part of the *next* message. Its copied
context gives it away: CPython copies a context by taking another reference to its immutable map of variables. If the
counts of references to that map and to the seat are what they were before the message, then no copy of the context is
left, and no variable was set; else the next message gets a seat of its own. Each count alone could be deceived: setting
a variable replaces the map, which takes one reference from the old map but adds one to the seat.
"""

import gc
import sys
from contextvars import Context, ContextVar
from typing import ClassVar

import msgspec

from .envelope import BESIDE, DETACHED, DONE, IN_HAND, MOVED, Envelope, Host, Link, deadline_of
from .errors import Detached


class Seat:
    """The place of one incarnation, or of one of its tasks: `host`, and the `turn` in hand, or None between two.

    `link`: the turn as a link in the chain of asks, once it has asked. `stages`: whether a turn here may be a delivery.
    """

    __slots__ = ("host", "link", "turn")
    stages: ClassVar[bool] = False

    def __init__(self, host: Host, turn: Envelope | None = None) -> None:
        self.host, self.turn = host, turn
        self.link: Link | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the handler of a message runs here, also of one that it has set aside or handed on."""
        turn = self.turn
        return turn is not None and turn.phase in (IN_HAND, MOVED)

    def sender(self) -> Host | None:
        """Who sends from here: the host, or nobody once the turn is done. Raises `Detached` in a zombie's."""
        turn = self.turn
        if turn is None or turn.phase == DONE:
            return None
        if turn.phase == DETACHED:
            path = self.host.path
            raise Detached(f"{path} swallowed its cancellation and was left behind; it may not send any more")
        return self.host

    def asking(self) -> Link | None:
        """The turn, if it is one whose handler runs: what is asked now, it waits for."""
        turn, link = self.turn, self.link
        if turn is None or turn.phase != IN_HAND:
            return None
        if link is None or link.turn is not turn:
            self.link = link = Link(self.host, turn)
        return link

    def over(self) -> None:
        """The turn is over, for whoever looks along the chain of asks too."""
        self.turn, link = None, self.link
        if link is not None:
            self.link = link.turn = None


TURN: ContextVar[Seat | None] = ContextVar("upright_turn", default=None)
"""The seat of the code that runs inside an actor, else None."""
seat_now = TURN.get
"""For the paths on which a look-up counts."""


def sender_now() -> Host | None:
    """Who sends what the running code sends; None outside an actor. Raises `Detached` in a zombie's."""
    seat = TURN.get()
    return None if seat is None else seat.sender()


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
    seat = TURN.get()
    turn = seat.turn if seat is not None else None
    if seat is None or turn is None or turn.phase not in (IN_HAND, BESIDE):
        return None
    return Turn(seat.host.path, turn.handler.name, deadline_of(turn))


def variables_of(context: Context) -> object | None:
    """The map inside a context that its copies share, to count the references to; None where that tells nothing."""
    return _map_in(context) if COUNTS_TELL else None


def _map_in(context: Context) -> object | None:
    for part in gc.get_referents(context):
        if type(part).__name__ == "hamt":
            found: object = part
            return found
    return None


def _counts_tell() -> bool:
    """Whether this interpreter shares and counts as described above; a free-threaded one, say, does not."""
    context, other = Context(), ContextVar[int]("upright_probe")
    held = object()
    context.run(TURN.set, held)  # type: ignore[arg-type]  # any object will do
    found = _map_in(context)
    if found is None:
        return False
    counts = [(sys.getrefcount(found), sys.getrefcount(held))]
    copy = context.copy()
    counts.append((sys.getrefcount(found), sys.getrefcount(held)))
    copy.run(other.set, 1)
    counts.append((sys.getrefcount(found), sys.getrefcount(held)))
    del copy
    counts.append((sys.getrefcount(found), sys.getrefcount(held)))
    context.run(other.set, 1)
    counts.append((sys.getrefcount(found), sys.getrefcount(held)))
    (map0, held0), *after = counts
    return after == [(map0 + 1, held0), (map0, held0 + 1), (map0, held0), (map0 - 1, held0 + 1)]


COUNTS_TELL = _counts_tell()
"""Whether one seat can serve many messages here; without that each message gets its own, which is slower."""
