"""The end of a service, as a row of steps in a bounded time: so that a deploy loses nothing and hangs nowhere.

Not ready any more; no intake; what runs comes to its end; what still runs then is cancelled, and its messages go back
unharmed; the children end in reverse order; the store is flushed and closed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from upright.actors.system import ActorSystem
from upright.persistence.store import Store

from .events import ServiceDraining, ServiceHurried
from .watch import Health

SHARE = 0.8
"""Of the time of a drain, so much for handlers that run; the rest is for the ends of the actors."""
RESERVE = 1.0
"""Seconds, at most, that are kept for closing the store when everybody has ended."""


class Drain:
    """Ends a system within `within` seconds since `begin`, and its `grace` more if somebody swallows being cancelled.

    `begin()` is at once: from then on nothing new is begun. `finish()` waits for the end. `hurry()` cuts the wait off.
    `quiet`: what is waited for before the system ends, in place of what runs from its store.
    """

    def __init__(
        self, system: ActorSystem, health: Health, within: float, quiet: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._system, self._health, self.within, self._quiet = system, health, within, quiet
        self.begun = asyncio.Event()
        """Set as soon as nothing new is begun."""
        self.hurried = asyncio.Event()
        """Set as soon as what still runs is cancelled."""
        self._since = 0.0
        self._finishing: asyncio.Task[None] | None = None

    @property
    def left(self) -> float:
        """Seconds that are left of the time."""
        return max(self._since + self.within - asyncio.get_running_loop().time(), 0.0)

    def begin(self, why: str) -> None:
        """Take no more work. Again: does nothing."""
        if self.begun.is_set():
            return
        self._since = asyncio.get_running_loop().time()
        self._health.draining = True
        self.begun.set()
        self._system.bus.emit(ServiceDraining("/", why, self.within))
        self.close_intake()

    def close_intake(self) -> None:
        """Have the store hand out nothing more; until it is opened anew."""
        store = self._system.store
        if isinstance(store, Store):
            store.stop_intake()

    def hurry(self, why: str) -> None:
        """Cancel what still runs. Again: does nothing."""
        self.begin(why)
        if self.hurried.is_set():
            return
        self.hurried.set()
        over = self._finishing is not None and self._finishing.done()
        if not over:
            self._system.bus.emit(ServiceHurried("/", why))

    async def finish(self) -> None:
        """Let what runs come to its end, and end all. Whoever is cancelled ends only the own wait for it."""
        self.begin("it was asked to stop")
        if self._finishing is None:
            self._finishing = asyncio.get_running_loop().create_task(self._finish(), name="upright drain")
        await asyncio.shield(self._finishing)

    async def _finish(self) -> None:
        store = self._system.store
        if self._quiet is not None and self._system.running:
            await self._in_time(self._quiet(), self._ending())
        elif isinstance(store, Store) and self._system.running:
            await self._in_time(store.quiet(), self.left - (1 - SHARE) * self.within)
        if isinstance(store, Store):
            store.hurry(max(self.left, RESERVE))
        stopping = asyncio.ensure_future(self._system.stop(within=self._ending()))
        if not await self._in_time(asyncio.shield(stopping), None):
            await self._system.stop(within=0)
        await stopping

    def _ending(self) -> float:
        """Seconds that the actors have for their ends."""
        return 0.0 if self.hurried.is_set() else max(self.left - min(RESERVE, self.within / 10), 0.0)

    async def _in_time(self, awaited: Awaitable[None], limit: float | None) -> bool:
        """Whether it ended before the time was up, and before somebody hurried."""
        waiting = asyncio.ensure_future(awaited)
        hurried = asyncio.ensure_future(self.hurried.wait())
        done, _ = await asyncio.wait(
            {waiting, hurried}, timeout=None if limit is None else max(limit, 0.0), return_when=asyncio.FIRST_COMPLETED
        )
        hurried.cancel()
        if waiting in done:
            waiting.result()
            return True
        waiting.cancel()
        await asyncio.wait({waiting})
        return False
