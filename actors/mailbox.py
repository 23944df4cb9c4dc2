"""The in-memory mailbox: a bounded queue, and the line of senders who wait for room in it.

Order: messages of one sender keep their order. A sender that found the mailbox full is served before any that came
later.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

from .durable import Keeper
from .envelope import QUEUED, Envelope, Own
from .handlers import Handler
from .line import Line
from .message import Message
from .seat import Seat


class Owner(Protocol):
    """What a mailbox needs of its actor: to be woken when a message comes while it is asleep, and to be told of an
    envelope that will not be handled.
    """

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    def wake(self) -> None: ...
    def dropped(self, envelope: Envelope, reason: str, error: BaseException | None = None) -> None: ...


class MailboxSpec(Protocol):
    """What a class of actors says of its mailbox: how to open one for an actor."""

    def open(self, owner: Any) -> "Mailbox":
        """A new mailbox of that actor."""
        ...


NOTHING: deque[Envelope] = deque()
"""The queue of every mailbox that never had a message; nobody writes to it. An empty deque is a third of an actor."""


class Mailbox:
    """Holds what waits for one actor, across its restarts. `full` is a policy of `Bounded`.

    `admits`: senders may append to `queue` themselves while it holds less than that; 0 where they have to `put`.
    """

    __slots__ = ("_plain", "admits", "asleep", "full", "limit", "owner", "queue", "waiting")
    seat: type[Seat] = Seat
    """What its actor's handlers sit on."""
    keeper: Keeper | None = None
    """What stores the messages, in a durable one."""
    at_once: bool = False
    """Whether there must be nobody who waits while there is room, not even for the time of a drain."""
    restores: bool = False
    """Whether there is something to load before an incarnation starts."""
    entity: str = ""
    """Which of many behind one address its actor is."""

    def __init__(self, owner: Owner, limit: int, full: str, plain: bool = True) -> None:
        self.owner, self.limit, self.full, self._plain = owner, limit, full, plain
        self.admits = 0
        self.queue: deque[Envelope] = NOTHING if plain else deque()
        self.asleep = False
        self.waiting: Line | None = None

    @property
    def is_paused(self) -> bool:
        """Whether what stores its messages hands none out, because a policy lets nobody through."""
        return self.keeper is not None and self.keeper.is_paused

    def saving(self, handler: Handler) -> Handler:
        """That handler, which may change what is restored."""
        return handler

    def unfold(self) -> deque[Envelope]:
        """The queue, to write to."""
        if self.queue is NOTHING:
            self.queue = deque()
            self.admits = self.limit if self.waiting is None else 0
        return self.queue

    def put_nowait(self, envelope: Envelope) -> bool:
        """Take the envelope if there is room, or if a policy makes room; False means it was not taken."""
        queue = self.unfold()
        if len(queue) >= self.limit or self.waiting:
            if self.full != "drop_old":
                return False
            self._drop_oldest()
        queue.append(envelope)
        if self.asleep:
            self.owner.wake()
        return True

    def _drop_oldest(self) -> None:
        oldest = next((waits for waits in self.queue if not isinstance(waits, Own)), None)
        if oldest is not None:
            self.queue.remove(oldest)
            self.owner.dropped(oldest, "dropped_old")

    def post(self, envelope: Envelope) -> None:
        """Take what the runtime itself sends (a timer's tick, a piped result), full or not."""
        self.unfold().append(envelope)
        if self.asleep:
            self.owner.wake()

    def put(self, envelope: Envelope, timeout: float | None) -> Awaitable[None]:
        """Take the envelope, but wait for room first, at most `timeout` seconds. Awaiting it raises `MailboxFull`."""
        if not self._plain:
            return self.line_up(envelope, timeout)
        return self._line().wait(self.owner.path, envelope, timeout)

    def line_up(self, envelope: Envelope, timeout: float | None) -> asyncio.Future[None]:
        """Let an envelope that found no room wait in line, from now on; the result is `Line.join`'s."""
        return self._line().join(self.owner.path, envelope, timeout)

    def _line(self) -> Line:
        if self.waiting is None:
            self.waiting, self.admits = Line(), 0  # nobody may pass those who wait
        return self.waiting

    async def restore(self, instance: Any) -> None:
        """Give a new instance what is kept for it."""

    def release(self) -> None:
        """Move in those who wait, as far as there is room; called after messages were taken out."""
        if self.waiting is not None:
            self.waiting.admit(self.queue, self.limit)
            if not self.waiting:
                self.waiting = None
                self.admits = self.limit if self._plain else 0

    def take_out(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out the envelopes that match, also from the line of those who wait for room; the others move up."""
        taken = self._take_from_queue(chosen)
        if self.waiting is not None:
            taken += self.waiting.take_out(chosen)
        self.release()
        return taken

    def _take_from_queue(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        taken = [envelope for envelope in self.queue if chosen(envelope)]
        for envelope in taken:
            self.queue.remove(envelope)
        return taken

    def put_back(self, envelopes: Iterable[Envelope]) -> None:
        """Put envelopes in front, in their order, full or not."""
        items = list(envelopes)
        for envelope in items:
            envelope.phase = QUEUED
        self.unfold().extendleft(reversed(items))
        if items and self.asleep:
            self.owner.wake()

    def purge(self) -> None:
        """Forget what an old incarnation had sent to itself: ticks and piped results must not reach the next one."""
        self.take_out(_is_own)

    def drain(self) -> list[Envelope]:
        """Everything that waits, in order, also with those who wait for room; the mailbox is empty afterwards."""
        left = list(self.queue)
        self.queue.clear()
        line, self.waiting, self.admits = self.waiting, None, 0
        if line is not None:
            left += [place.enter() for place in line.clear()]
        return left

    def holds(self, envelope: Envelope) -> bool:
        """Whether that envelope is in."""
        return envelope in self.queue

    def peek(self, most: int) -> Iterator[Message]:
        """The first `most` messages that wait, for inspection."""
        for position, envelope in enumerate(tuple(self.queue)):
            if position == most:
                return
            yield envelope.message()

    def __len__(self) -> int:
        return len(self.queue)


def _is_own(envelope: Envelope) -> bool:
    return isinstance(envelope, Own)
