"""What is written and not on disk yet, and who is to hear of it when it is.

The next batch is written meanwhile: a group commit's time is the disk's and the interpreter's by halves, and each works
while the other does. One sync may be for several batches.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from upright.actors.durable import Receipt
from upright.actors.message import told
from upright.actors.waking import Waker

from . import crash_points
from .crash_points import Point
from .errors import OutcomeUnknown, StoreError
from .records import Outgoing, Step, Verdict, Written

MOST = 4_000
"""Messages and steps that may wait for the disk together."""
Settled = Callable[[Verdict], None]
Heard = Callable[[list[Receipt]], None]
Puts = list[tuple[list[Outgoing], asyncio.Future[list[Receipt]], Heard | None]]
"""New messages, their receipts to come, and who is to hear of these before anybody can answer them."""
Steps = list[tuple[Step, Settled]]
Told = tuple[tuple[Step, Settled], Verdict]


class Flight(NamedTuple):
    """What of one batch is to be told of."""

    puts: list[tuple[asyncio.Future[list[Receipt]], list[Receipt]]]
    steps: list[Told]
    then: list[asyncio.Future[None]]
    """Who waits until it has landed, and all before it."""


class Flights:
    """The batches that are written, until those who wait know. `landed` is called after each that had to wait for the
    disk, with the error if nobody knows what the disk has.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, waker: Waker, landed: Callable[[StoreError | None], None]
    ) -> None:
        self._loop, self._waker, self._landed = loop, waker, landed
        self._under_way: list[Flight] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._under_way)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be written before the disk has something of it: it may be stalled."""
        return self._size >= MOST

    def after(self, waiting: list[asyncio.Future[None]]) -> None:
        """Let these go on when all that is under way now has landed."""
        if self._under_way:
            self._under_way[-1].then.extend(waiting)
        else:
            pass_on(waiting)

    def take(self, written: Written, puts: Puts, steps: Steps) -> None:
        """A batch is written. Who may know of it only when it is on disk hears of it then, the others hear now."""
        flight, first = Flight([], [], []), 0
        for messages, stored, heard in puts:
            last = first + len(messages)
            receipts = written.receipts[first:last]
            if heard is not None:
                heard(receipts)
            flight.puts.append((stored, receipts))
            first = last
        lasting, settled = written.lasting, zip(steps, written.verdicts, strict=True)
        if lasting is None:
            flight.steps.extend(settled)
            self._answer(flight)
            return
        now = list[Told]()
        for one in settled:  # of one that was refused nothing was written
            (flight.steps if one[1] == "ok" and one[0][0].lasts else now).append(one)
        self._settle(now)
        self._under_way.append(flight)
        self._size += len(flight.puts) + len(flight.steps)
        lasting.add_done_callback(functools.partial(self._land, flight))

    def _land(self, flight: Flight, lasting: asyncio.Future[None]) -> None:
        self._under_way.remove(flight)
        self._size -= len(flight.puts) + len(flight.steps)
        error = asyncio.CancelledError() if lasting.cancelled() else lasting.exception()
        unknown: OutcomeUnknown | None = None
        if error is None:
            self._answer(flight)
        else:
            unknown = OutcomeUnknown(f"what was written could not be synced: {told(error)}")
            fail([stored for stored, _ in flight.puts], unknown)
            self.lose([step for step, _ in flight.steps])
        pass_on(flight.then)
        self._landed(unknown)

    def lose(self, steps: Steps) -> None:
        """Of these nobody can tell whether they were written, or they never will be."""
        self._settle([(step, "lost") for step in steps])

    def _answer(self, flight: Flight) -> None:
        if crash_points.on:
            crash_points.at(Point.SYNCED)
        self._settle(flight.steps)
        for stored, receipts in flight.puts:
            if not stored.done():
                self._waker.answer(stored, receipts)
        if crash_points.on:
            crash_points.at(Point.ANSWERED)

    def _settle(self, steps: list[Told]) -> None:
        for (_, settled), verdict in steps:
            try:
                settled(verdict)
            except Exception as error:  # what one of them does must not keep the others from hearing
                context = {"message": "a delivery was written, but what follows failed", "exception": error}
                self._loop.call_exception_handler(context)


def fail(waiting: Iterable[asyncio.Future[list[Receipt]]], error: StoreError) -> None:
    """Tell those who wait for their receipts."""
    for stored in waiting:
        if not stored.done():
            stored.set_exception(error)
            stored.exception()  # marks it as seen: the sender may be gone


def pass_on(waiting: Iterable[asyncio.Future[None]]) -> None:
    """Let those go on who wait."""
    for one in waiting:
        if not one.done():
            one.set_result(None)
