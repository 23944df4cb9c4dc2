"""Waking many who wait in one callback of the event loop.

When a future is done, the loop is given a handle for each who waits for it, and calls each: on asyncio that is nearly
half of an ask, when many are answered at once. Here those whose replies follow each other are taken off their futures
first, and share one handle. Nobody can tell: they go on in the same order, each in its context, when the loop turns.

Trap: what is scheduled between two replies must be called between them. So a reply joins the others only while their
handle is the last that the loop has. It is asked of the loop's own queue; where that cannot be seen (uvloop, whose
handles are cheap) nobody is woken together.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

Future: Any = asyncio.Future  # as a name of its own: it is asked for at every reply
Due = deque[tuple[Callable[[Any], object], Context, asyncio.Future[Any]]]
"""Whom to call, in which context, with which future."""


class Waker:
    """Gives results to futures, and wakes who waits for them."""

    __slots__ = ("_loop", "_plain", "due", "handle", "last", "ready")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._plain = loop, Context()
        ready = getattr(loop, "_ready", None)
        self.ready: deque[asyncio.Handle] | None = ready if type(ready) is deque else None
        """The handles that the loop is to call, if these can be seen."""
        self.handle: asyncio.Handle | None = None
        """The one that they share."""
        self.last = 0
        """The `id` of the handle of the reply that came last alone; it may be that of another one by now."""
        self.due = Due()
        """Those whom that handle is to wake."""

    def answer(self, reply: asyncio.Future[Any], result: object) -> None:
        """What `reply.set_result` does. Raises `asyncio.InvalidStateError` as that does."""
        ready = self.ready
        if ready:
            last = ready[-1]
            if last is self.handle or (id(last) == self.last and self.begin()):
                self.join(reply, result)
                return
        reply.set_result(result)
        if ready:
            self.last = id(ready[-1])

    def begin(self) -> bool:
        """A second reply follows the first: wake those that come now together. Not in debug mode, in which the loop
        tells which callback was slow, so that each is to have its own.
        """
        if self._loop.get_debug():
            return False
        self.due = Due()
        self.handle = self._loop.call_soon(self._wake, self.due, context=self._plain)
        return True

    def join(self, reply: asyncio.Future[Any], result: object) -> None:
        """Give a reply, and wake who waits for it with the others."""
        waiting: Any = reply._callbacks if type(reply) is Future else None
        if waiting is None or len(waiting) != 1:
            reply.set_result(result)
            return
        callback, context = waiting[0]
        reply.remove_done_callback(callback)
        reply.set_result(result)
        self.due.append((callback, context, reply))

    def _wake(self, due: Due) -> None:
        try:
            while due:
                callback, context, reply = due.popleft()
                context.run(callback, reply)
        finally:
            if due:  # one has raised, which may end the loop, and must not keep the others from going on if it does not
                self._loop.call_soon(self._wake, due, context=self._plain)
