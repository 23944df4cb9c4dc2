"""An incarnation's timers: messages to itself, later or again and again. They end with the incarnation."""

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from .envelope import MOVED, QUEUED, Envelope, Own
from .envelope import Host as Sender
from .handlers import Handler

ROOM = 16
"""Keys of timers that have fired, kept before the first look whether their ticks still wait."""


class Counter(Protocol):
    """Who counts what is going on."""

    def add(self, change: int) -> None: ...


class Host(Sender, Protocol):
    """Whose timers they are."""

    def has_stashed(self, envelope: Envelope) -> bool: ...
    def forget_stashed(self, envelope: Envelope) -> bool: ...


class Clock(Protocol):
    """What timers need of their system."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def plain(self) -> Context: ...
    @property
    def activity(self) -> Counter: ...


class Timer:
    """One timer; `cancel()` ends it, also when its tick already waits in the mailbox."""

    __slots__ = ("_arguments", "_due", "_handle", "_handler", "_period", "_tick", "_timers", "key")

    def __init__(
        self,
        timers: "Timers",
        key: object,
        delay: float,
        period: float | None,
        handler: Handler,
        arguments: tuple[tuple[Any, ...], dict[str, Any] | None],
    ) -> None:
        self.key = key
        self._timers, self._period, self._handler, self._arguments = timers, period, handler, arguments
        self._tick: Envelope | None = None
        self._due = timers.now() + delay
        self._handle: asyncio.TimerHandle | None = timers.call_at(self._due, self._fire)

    @property
    def active(self) -> bool:
        """Whether it will still tick."""
        return self._handle is not None

    @property
    def repeats(self) -> bool:
        """Whether it ticks again and again."""
        return self._period is not None

    def cancel(self) -> None:
        """End it. A tick that waits in the mailbox or was stashed is not run any more; cancelling twice is no harm."""
        self._timers.forget(self)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._tick is not None:
            self._timers.take_back(self._tick)

    def _fire(self) -> None:
        period = self._period
        if period is None:
            self._handle = None
            self._timers.forget(self)
        else:
            # At a fixed rate; ticks missed while the loop was blocked are skipped, never made up for in a burst.
            now = self._timers.now()
            self._due += period * max(1, math.ceil((now - self._due) / period))
            self._handle = self._timers.call_at(self._due, self._fire)
        tick = self._tick
        if tick is not None and tick.phase == QUEUED:
            return  # the actor is busy: one waiting tick says all that two would
        arguments, named = self._arguments
        self._tick = tick = Own(self._handler, arguments, named, self._timers.host)
        self._timers.post(tick)
        if period is None and self.key is not None:
            self._timers.keep_tick(self.key, tick)


class Timers:
    """All timers of one incarnation, by key. Those that will tick once count as activity."""

    __slots__ = ("_clock", "_room", "_running", "_ticks", "host", "post")

    def __init__(self, clock: Clock, host: Host, post: Callable[[Envelope], None]) -> None:
        self._clock, self.host, self.post = clock, host, post
        self._running: dict[object, Timer] = {}
        self._ticks: dict[object, Envelope] = {}
        self._room = ROOM

    def now(self) -> float:
        """The time on the loop's clock, in seconds."""
        return self._clock.loop.time()

    def call_at(self, when: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Set a timer of the loop."""
        # In a context of the system's own: with the caller's, the timer would keep the message in hand alive.
        return self._clock.loop.call_at(when, action, context=self._clock.plain)

    def start(
        self,
        key: object,
        delay: float,
        period: float | None,
        handler: Handler,
        arguments: tuple[tuple[Any, ...], dict[str, Any] | None],
    ) -> Timer:
        """Start a timer.

        One that runs under the same key is cancelled first. Without a key (None) nothing is replaced.
        """
        if key is not None:
            self.cancel(key)
        timer = Timer(self, key, delay, period, handler, arguments)
        self._running[timer if key is None else key] = timer
        if period is None:
            self._clock.activity.add(1)
        return timer

    def cancel(self, key: object) -> bool:
        """Cancel the timer under that key; False if there is none."""
        timer, tick = self._running.get(key), self._ticks.pop(key, None)
        if timer is not None:
            timer.cancel()
        return (tick is not None and self.take_back(tick)) or timer is not None

    def take_back(self, tick: Envelope) -> bool:
        """Have a tick not run any more that waits, or was set aside; False if it has had its turn."""
        if tick.phase == QUEUED:
            tick.phase = MOVED
            return True
        return self.host.forget_stashed(tick)

    def keep_tick(self, key: object, tick: Envelope) -> None:
        """The last tick of a timer waits in the mailbox; its key can still take it back."""
        self._ticks[key] = tick
        if len(self._ticks) > self._room:
            self._ticks = {name: waits for name, waits in self._ticks.items() if self._waits(waits)}
            self._room = max(ROOM, 2 * len(self._ticks))

    def _waits(self, tick: Envelope) -> bool:
        return tick.phase == QUEUED or self.host.has_stashed(tick)

    def forget(self, timer: Timer) -> None:
        """A timer has fired for the last time, or was cancelled."""
        if self._running.pop(timer if timer.key is None else timer.key, None) is not None and not timer.repeats:
            self._clock.activity.add(-1)

    def clear(self) -> None:
        """The incarnation has ended: cancel all."""
        for timer in tuple(self._running.values()):
            timer.cancel()

    def __len__(self) -> int:
        return len(self._running)
