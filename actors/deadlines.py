"""The deadlines of asks: exact, but nearly free for an ask that is answered in time.

A timer of the event loop per ask costs more than the ask (1.5 µs to set and cancel, and a cancelled one stays in the
loop's heap). So asks wait in buckets of `WIDTH` seconds, each with one timer at its *beginning*; only those that are
still there then, very few, get a timer of their own at their very deadline. The idea is a hashed timing wheel
(Varghese and Lauck 1987) with the last level left to the loop.
"""

import asyncio
import math
from contextvars import Context

from .clock import clock_of
from .envelope import DONE, IN_HAND, Envelope, Question
from .errors import AskTimedOut

WIDTH = 1 / 16
Bucket = dict[Question, str]


class Deadlines:
    """Ends asks whose time is up with `AskTimedOut`."""

    __slots__ = ("_buckets", "_exact", "_last", "_loop", "_number", "_plain", "_timers", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop, plain: Context | None = None) -> None:
        self._loop, self._plain = loop, plain if plain is not None else Context()
        self.now = clock_of(loop)
        """The time of the loop."""
        self._buckets: dict[float, Bucket] = {}
        self._number, self._last = -1.0, Bucket()  # the one that was used last: most asks follow each other closely
        self._timers: dict[float, asyncio.TimerHandle] = {}
        self._exact: dict[Question, asyncio.TimerHandle] = {}

    def add(self, envelope: Question, path: str) -> Bucket:
        """Watch an ask of the actor at `path`. When it has ended, take it out of the bucket that is returned, and if it
        is not in there any more, `discard` it.
        """
        number = envelope.deadline // WIDTH
        if number == self._number:
            bucket = self._last
        elif number != number or number == math.inf:  # it may wait for ever
            return {}
        else:
            found = self._buckets.get(number)
            if found is None:
                opens = number * WIDTH
                if opens <= self.now():
                    self._set_exact(envelope, path)
                    return {}
                found = self._buckets[number] = {}
                self._timers[number] = self._loop.call_at(opens, self._open, number, context=self._plain)
            self._number, self._last = number, found
            bucket = found
        bucket[envelope] = path
        return bucket

    def discard(self, envelope: Question) -> None:
        """An ask has ended that is in no bucket any more."""
        if (timer := self._exact.pop(envelope, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Cancel every timer; asks that still wait are the caller's to end."""
        for timer in (*self._timers.values(), *self._exact.values()):
            timer.cancel()
        self._buckets.clear()
        self._number = -1.0
        self._timers.clear()
        self._exact.clear()

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values())) + len(self._exact)

    def _open(self, number: float) -> None:
        self._timers.pop(number, None)
        if number == self._number:
            self._number = -1.0
        bucket = self._buckets.pop(number, {})
        waiting = list(bucket.items())
        bucket.clear()  # whoever has it sees that they are elsewhere
        for envelope, path in waiting:
            self._set_exact(envelope, path)

    def _set_exact(self, envelope: Question, path: str) -> None:
        self._exact[envelope] = self._loop.call_at(envelope.deadline, self._expire, envelope, path, context=self._plain)

    def _expire(self, envelope: Question, path: str) -> None:
        self._exact.pop(envelope, None)
        envelope.fail(timed_out(envelope, path))


def timed_out(envelope: Envelope, path: str) -> AskTimedOut:
    """The error for an ask whose time is up; it says how far the message had come."""
    stored = envelope.stored if isinstance(envelope, Question) else None
    if stored is not None:
        error = AskTimedOut(f"{path} did not answer {envelope.handler.name} in time: it is stored", path, handled=False)
        error.message = stored
        return error
    handled = _is_in_hand(envelope)
    where = "its handler is still running" if handled else "it was not handled yet, and will not be"
    return AskTimedOut(f"{path} did not answer {envelope.handler.name} in time: {where}", path, handled)


def _is_in_hand(envelope: Envelope) -> bool:
    if isinstance(envelope, Question) and envelope.forwarded and envelope.phase != IN_HAND:
        return any(_is_in_hand(follower) for follower in envelope.forwarded)
    if envelope.phase == DONE and envelope.reply is not None:  # one of several copies, whose error is not the answer
        return envelope.reply.done() and not envelope.reply.cancelled()
    return envelope.phase == IN_HAND
