"""Those who wait for room in a mailbox: first come, first served.

A sender's envelope is moved in for it, and only then is it told, so nobody can overtake it between its waking and a
next try.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from functools import partial
from itertools import count

from .envelope import Envelope
from .errors import MailboxFull

PLAIN = Context()
"""For timers and callbacks: with their setter's context they would keep the message in hand alive."""


class Place:
    """A place in a line: the `envelope`, what tells its sender that it is in (`room`), and the `order` of coming.

    `room` is None where nobody waits for that.
    """

    __slots__ = ("envelope", "line", "order", "room")

    def __init__(self, envelope: Envelope, room: asyncio.Future[None] | None, order: int) -> None:
        self.envelope, self.room, self.order = envelope, room, order
        self.line: Line | None = None

    @property
    def left(self) -> bool:
        """Whether its sender has given up."""
        return self.room is not None and self.room.done()

    def enter(self) -> Envelope:
        """Its envelope is in, or taken away: either way nobody waits for room any more."""
        if self.room is not None:
            self.room.set_result(None)
        return self.envelope


class Line:
    """A line of messages that wait for room. Lines that share their `orders` can be compared."""

    __slots__ = ("_orders", "_places")

    def __init__(self, orders: Iterator[int] | None = None) -> None:
        self._orders = orders if orders is not None else count(1)
        self._places: deque[Place] = deque()

    async def wait(self, path: str, envelope: Envelope, timeout: float | None) -> None:
        """Stand in line until the envelope was let in; as `join`, and cheaper, for whoever does nothing else."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        place = Place(envelope, room, next(self._orders))
        place.line = self
        self._places.append(place)
        timer = None if timeout is None else loop.call_later(timeout, _give_up, path, place, context=PLAIN)
        try:
            await room
        except BaseException:
            place.line.remove(place)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def join(self, path: str, envelope: Envelope, timeout: float | None) -> asyncio.Future[None]:
        """Stand in line from now on; what is returned is resolved when the envelope was let in.

        It raises `MailboxFull` after `timeout` seconds. Cancel it to leave.
        """
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        place = Place(envelope, room, next(self._orders))
        self.extend((place,))
        timer = None if timeout is None else loop.call_later(timeout, _give_up, path, place, context=PLAIN)
        room.add_done_callback(partial(_done, place, timer), context=PLAIN)
        return room

    def hold(self, envelope: Envelope) -> None:
        """Have an envelope wait at the end of the line, with nobody waiting for that."""
        self.extend((Place(envelope, None, next(self._orders)),))

    def hold_in_front(self, envelopes: Iterable[Envelope]) -> None:
        """Have envelopes wait in front of all others, in their order."""
        self.extend_in_front(Place(envelope, None, 0) for envelope in envelopes)

    def extend_in_front(self, places: Iterable[Place]) -> None:
        """Put places of another line in front of all others, in their order."""
        for place in reversed(tuple(places)):
            if not place.left:
                place.line, place.order = self, 0
                self._places.appendleft(place)

    def extend(self, places: Iterable[Place]) -> None:
        """Put places, new ones or those of another line, at the end."""
        for place in places:
            if not place.left:
                place.line = self
                self._places.append(place)

    def first(self, may: Callable[[Envelope], bool] | None = None) -> Place | None:
        """The first place whose envelope may enter."""
        while self._places and self._places[0].left:
            self._places.popleft()
        if may is None:
            return self._places[0] if self._places else None
        return next((place for place in self._places if not place.left and may(place.envelope)), None)

    def remove(self, place: Place) -> None:
        """Take a place out of the line, without telling its sender."""
        if self._places and self._places[0] is place:
            self._places.popleft()
        elif place in self._places:
            self._places.remove(place)

    def admit(self, queue: deque[Envelope], limit: int) -> None:
        """Move into this queue, in order, as many as there is room for."""
        places = self._places
        while places and len(queue) < limit:
            place = places.popleft()
            if not place.left:
                queue.append(place.enter())

    def take_out(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out the envelopes that match; their senders wait no more."""
        taken = [place for place in self._places if not place.left and chosen(place.envelope)]
        for place in taken:
            self._places.remove(place)
        return [place.enter() for place in taken]

    def split(self, chosen: Callable[[Envelope], bool]) -> list[Place]:
        """The places whose envelopes match, taken out of the line but not told yet."""
        places = self.clear()
        self.extend(place for place in places if not chosen(place.envelope))
        return [place for place in places if chosen(place.envelope)]

    def clear(self) -> list[Place]:
        """All who wait, taken out of the line but not told yet."""
        places, self._places = self._places, deque()
        return [place for place in places if not place.left]

    def __iter__(self) -> Iterator[Place]:
        return (place for place in tuple(self._places) if not place.left)

    def __len__(self) -> int:
        return len(self._places)


def _done(place: Place, timer: asyncio.TimerHandle | None, room: asyncio.Future[None]) -> None:
    if timer is not None:
        timer.cancel()
    if place.line is not None and (room.cancelled() or room.exception() is not None):
        # One that gave up must not stay until there is room: with a stuck actor that would be for ever.
        place.line.remove(place)


def _give_up(path: str, place: Place) -> None:
    if place.room is not None and not place.room.done():
        place.room.set_exception(MailboxFull(path, place.envelope.message(), " and had no room in time"))
        place.room.exception()
