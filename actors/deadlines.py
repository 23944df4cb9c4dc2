"""The deadlines of asks: exact, but nearly free for an ask that is answered in time.

A timer of the event loop per ask costs more than the ask (1.5 µs to set and cancel, and a cancelled one stays in the
loop's heap). So asks wait in buckets of `WIDTH` seconds, each with one timer at its *beginning*; only those that are
still there then, very few, get a timer of their own at their very deadline. The idea is a hashed timing wheel
(Varghese and Lauck 1987) with the last level left to the loop.
"""

import asyncio
import math
from contextvars import Context

from .envelope import DONE, IN_HAND, Envelope, Question
from .errors import AskTimedOut

WIDTH = 1 / 16


class Deadlines:
    """Ends asks whose time is up with `AskTimedOut`."""

    __slots__ = ("_buckets", "_exact", "_loop", "_plain", "_timers")

    def __init__(self, loop: asyncio.AbstractEventLoop, plain: Context | None = None) -> None:
        self._loop, self._plain = loop, plain if plain is not None else Context()
        self._buckets: dict[int, dict[Question, str]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._exact: dict[Question, asyncio.TimerHandle] = {}

    def add(self, envelope: Question, path: str) -> None:
        """Watch an ask of the actor at `path`."""
        if envelope.deadline == math.inf:
            return
        number = int(envelope.deadline / WIDTH)
        bucket = self._buckets.get(number)
        if bucket is None:
            opens = number * WIDTH
            if opens <= self._loop.time():
                self._set_exact(envelope, path)
                return
            bucket = self._buckets[number] = {}
            self._timers[number] = self._loop.call_at(opens, self._open, number, context=self._plain)
        bucket[envelope] = path

    def discard(self, envelope: Question) -> None:
        """The ask has ended; forget it."""
        if envelope.deadline == math.inf:
            return
        bucket = self._buckets.get(int(envelope.deadline / WIDTH))
        if bucket is not None:
            bucket.pop(envelope, None)
        if (timer := self._exact.pop(envelope, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Cancel every timer; asks that still wait are the caller's to end."""
        for timer in (*self._timers.values(), *self._exact.values()):
            timer.cancel()
        self._buckets.clear()
        self._timers.clear()
        self._exact.clear()

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values())) + len(self._exact)

    def _open(self, number: int) -> None:
        self._timers.pop(number, None)
        for envelope, path in self._buckets.pop(number, {}).items():
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
