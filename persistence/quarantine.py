"""The quarantine: messages that could not be handled, with their stories; to look at, and to send on again."""

from collections.abc import AsyncIterator, Awaitable, Callable

from .port import Desk
from .reports import Filter, Letter


class Quarantine:
    """What was set aside in a store."""

    def __init__(self, desk: Desk, look: Callable[[str | None], Awaitable[None]]) -> None:
        self._desk, self._look = desk, look

    async def letters(
        self, address: str | None = None, reason: str | None = None, error: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Letter]:
        """The messages in quarantine, the oldest first: of this address, for this reason, whose last error contains
        this text; `limit` of them at most.
        """
        async for letter in self._desk.letters(Filter(address, reason, error, limit)):
            yield letter

    async def redrive(self, *ids: int) -> int:
        """Put messages back at the tail of their mailboxes, as if they were new; how many there were."""
        moved = await self._desk.redrive(ids)
        for address in moved:
            await self._look(address)
        return sum(moved.values())

    async def discard(self, *ids: int) -> int:
        """Drop messages for good; how many there were. Their stories stay."""
        return await self._desk.discard(ids)
