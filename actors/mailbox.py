"""The in-memory mailbox: a bounded queue, and the senders who wait for room in it.

Order: messages of one sender keep their order. A sender that found the mailbox full is served before any that came
later: its envelope is moved in for it, so nobody can overtake between its waking and its next try.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from .envelope import QUEUED, Envelope
from .errors import MailboxFull
from .message import Message
from .options import Bounded

Drop = Callable[[Envelope, str], None]


class Mailbox:
    """Holds what waits for one actor, across its restarts.

    `wake` is called when a message enters while the actor is `asleep`; `drop` with an envelope that a policy threw out.
    """

    __slots__ = ("_drop", "_wake", "asleep", "full", "limit", "path", "queue", "waiting")

    def __init__(self, path: str, bounds: Bounded, wake: Callable[[], None], drop: Drop) -> None:
        self.path = path
        self.limit, self.full = bounds.limit, bounds.full
        self.queue: deque[Envelope] = deque()
        self.asleep = False
        self._wake, self._drop = wake, drop
        self.waiting: deque[tuple[Envelope, asyncio.Future[None]]] | None = None

    def put_nowait(self, envelope: Envelope) -> bool:
        """Take the envelope if there is room, or if a policy makes room; False means it was not taken."""
        queue = self.queue
        if len(queue) >= self.limit or self.waiting:
            if self.full != "drop_old":
                return False
            oldest = next((waits for waits in queue if not waits.own), None)
            if oldest is not None:
                queue.remove(oldest)
                self._drop(oldest, "dropped_old")
        queue.append(envelope)
        if self.asleep:
            self._wake()
        return True

    def post(self, envelope: Envelope) -> None:
        """Take what the runtime itself sends (a timer's tick, a piped result), full or not."""
        self.queue.append(envelope)
        if self.asleep:
            self._wake()

    async def put(self, envelope: Envelope, timeout: float | None) -> None:
        """Wait for room, at most `timeout` seconds, then take the envelope. Raises `MailboxFull`."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append((envelope, room))
        timer = None if timeout is None else loop.call_later(timeout, self._give_up, envelope, room)
        try:
            await room
        finally:
            if timer is not None:
                timer.cancel()
            if self.waiting and (room.cancelled() or room.exception() is not None):
                # One that gave up must not stay until there is room: with a stuck actor that would be for ever.
                self.waiting = deque(entry for entry in self.waiting if entry[1] is not room) or None

    def release(self) -> None:
        """Move in those who wait, as far as there is room; called after messages were taken out."""
        waiting, queue = self.waiting, self.queue
        if not waiting:
            return
        while waiting and len(queue) < self.limit:
            envelope, room = waiting.popleft()
            if not room.done():
                room.set_result(None)
                queue.append(envelope)
        if not waiting:
            self.waiting = None

    def take_out(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out the envelopes that match, also from the line of those who wait for room; the others move up."""
        taken = [envelope for envelope in self.queue if chosen(envelope)]
        for envelope in taken:
            self.queue.remove(envelope)
        for envelope, room in self.waiting or ():
            if chosen(envelope) and not room.done():
                room.set_result(None)
                taken.append(envelope)
        self.release()
        return taken

    def put_back(self, envelopes: Iterable[Envelope]) -> None:
        """Put envelopes in front, in their order, full or not."""
        items = list(envelopes)
        for envelope in items:
            envelope.phase, envelope.host = QUEUED, None
        self.queue.extendleft(reversed(items))
        if items and self.asleep:
            self._wake()

    def purge(self) -> None:
        """Forget what an old incarnation had sent to itself: ticks and piped results must not reach the next one."""
        self.take_out(_is_own)

    def drain(self) -> list[Envelope]:
        """Everything that waits, in order, also with those who wait for room; the mailbox is empty afterwards."""
        left = list(self.queue)
        self.queue.clear()
        for envelope, room in self.waiting or ():
            if not room.done():
                room.set_result(None)
                left.append(envelope)
        self.waiting = None
        return left

    def peek(self, most: int) -> Iterator[Message]:
        """The first `most` messages that wait, for inspection."""
        for position, envelope in enumerate(tuple(self.queue)):
            if position == most:
                return
            yield envelope.message()

    def __len__(self) -> int:
        return len(self.queue)

    def _give_up(self, envelope: Envelope, room: asyncio.Future[None]) -> None:
        if not room.done():
            error = MailboxFull(self.path, envelope.message(), " and had no room in time")
            room.set_exception(error)
            room.exception()


def _is_own(envelope: Envelope) -> bool:
    return envelope.own
