"""Being alone: a delivery in whose hands a process has died runs with no other beside it.

If it kills the process again, nobody else was there to be suspected. There are two exceptions. Who runs for too long
is not waited for, since nobody else may begin meanwhile. And whom somebody waits for, what was asked inside a delivery,
may run, with all that stands before it in its mailbox, or both would wait for each other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

PATIENCE = 10.0
"""Seconds for which one that is to be alone waits for the others to end."""


class Solitude:
    """Counts the deliveries that run in this process, and keeps others out while one has to be alone.

    `asked`: the addresses that deliveries wait for a reply from.
    """

    __slots__ = ("_asked", "_invited", "_waiting", "is_closed", "is_wanted", "running")

    def __init__(self, asked: Callable[[], Iterable[str]] = tuple) -> None:
        self.running = 0
        self.is_wanted = False
        """Whether a delivery is alone, or waits for the others to end; or whether it is closed."""
        self.is_closed = False
        """Whether none begins any more but of those who are asked by one that runs."""
        self._asked = asked
        self._invited: set[str] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, address: str, alone: bool) -> bool:
        """Wait until a delivery of that address may run; whether it is alone then. `alone`: it should be.

        See `shuts_out` for what is to be asked afterwards.
        """
        while self.is_wanted and not self.is_closed and address not in self._invited:
            await self._change()
        if not alone or self.is_wanted:
            self.running += 1
            return False
        self.is_wanted, self._invited = True, set(self._asked())
        try:
            async with asyncio.timeout(PATIENCE):
                while self.running and not self.is_closed and address not in self._invited:
                    await self._change()
        except TimeoutError:
            pass  # it runs beside those; should it kill the process, they are suspects too, and run alone in their turn
        except BaseException:
            self._admit()
            raise
        self.running += 1
        return True

    def invite(self, address: str) -> None:
        """That address was asked inside a delivery: what it has may run."""
        if self.is_wanted and address not in self._invited:
            self._invited.add(address)
            self._wake()

    def leave(self, alone: bool) -> None:
        """It has ended. `alone`: what `enter` said."""
        self.running -= 1
        if alone:
            self._admit()
        elif not self.running:
            self._wake()

    def close(self) -> None:
        """Let those come to their ends that run, and no other begin but whom one of these waits for."""
        self.is_closed = self.is_wanted = True
        self._invited |= set(self._asked())
        self._wake()

    def shuts_out(self, address: str) -> bool:
        """Whether a delivery of that address, let in or not, is not to begin any more."""
        return self.is_closed and address not in self._invited

    async def quiet(self) -> None:
        """Wait until no delivery runs. It has to be closed before, or another may begin."""
        while self.running:
            await self._change()

    def _admit(self) -> None:
        if not self.is_closed:
            self.is_wanted = False
            self._invited = set()
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter
