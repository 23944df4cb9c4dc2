"""What comes back out of quarantine by itself, when a circuit closes.

It stands apart from the quarantine, which is there without a system: this listens to one, has a task for each circuit,
and ends with the store.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from upright.actors.runtime import Runtime
from upright.supervision.events import BreakerClosed, BreakerMoved

from .errors import StoreError


class Source(Protocol):
    """The quarantine, as this needs it."""

    def waits_for(self, breaker: str) -> bool: ...
    async def closed(self, breaker: str, failed: Callable[[StoreError], object] | None = None) -> int: ...


class Comebacks:
    """Redrives what was asked for whenever a circuit closes, by itself or by hand. `failed` hears of a store that does
    not take it, and it is tried again.
    """

    def __init__(self, source: Source, runtime: Runtime, failed: Callable[[StoreError], None]) -> None:
        self._source, self._runtime, self._failed = source, runtime, failed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    def start(self) -> None:
        """From now on."""
        self._runtime.bus.subscribe(self._closed, BreakerClosed)
        self._runtime.bus.subscribe(self._moved, BreakerMoved)

    async def stop(self) -> None:
        """No more; what was not redriven yet stays."""
        self._runtime.bus.unsubscribe(self._closed)
        self._runtime.bus.unsubscribe(self._moved)
        tasks, self._tasks = [*self._tasks.values()], {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _closed(self, event: BreakerClosed) -> None:
        self._begin(event.breaker)

    def _moved(self, event: BreakerMoved) -> None:
        if event.mode == "automatic":  # which closes it, and no other event tells of that
            self._begin(event.breaker)

    def _begin(self, breaker: str) -> None:
        if not self._source.waits_for(breaker):
            return
        if breaker in self._tasks:
            self._again.add(breaker)  # there may be letters that came after it had begun
            return
        task = self._runtime.keep(self._redrive(breaker), "upright redrive")
        self._tasks[breaker] = task
        task.add_done_callback(lambda done: self._ended(breaker, done))

    async def _redrive(self, breaker: str) -> None:
        self._again.add(breaker)
        while breaker in self._again:
            self._again.discard(breaker)
            await self._source.closed(breaker, self._failed)

    def _ended(self, breaker: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(breaker) is task:
            del self._tasks[breaker]
