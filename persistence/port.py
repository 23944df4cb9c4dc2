"""The port: what an engine must be able to do so that mailboxes can keep their promises on it.

It is cut at the meaning. `write` does in one go what a loop's turn has gathered, because every engine is fastest that
way; each step of it is all or nothing. The engines know no actors, no policies and no codec.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from .records import Batch, StateRecord, Written
from .reports import Counts, Filter, Letter, Record, RecordFilter, StoryEvent

Stirred = Callable[[str | None], None]
"""Called when an address may have got messages that this session did not write; None: any address."""


class Engine(Protocol):
    """The messages and the states of one store, as one session writes and reads them."""

    async def open(self, stirred: Stirred) -> None:
        """Open a session, and take back what sessions that died had claimed.

        Raises `StoreUnavailable`, `StoreTooNew`, `StoreCorrupt`.
        """
        ...

    def hurry(self, within: float) -> None:
        """Wait for what others hold no longer than so many seconds from now on in all; until it is opened anew."""
        ...

    async def close(self) -> None:
        """End the session; what it still holds is claimed by nobody any more."""
        ...

    @property
    def name(self) -> str:
        """The name that the store was given when it was made, unlike any other's."""
        ...

    def now(self) -> float:
        """The time on the store's clock, in seconds since the epoch."""
        ...

    async def write(self, batch: Batch) -> Written:
        """Write a batch. When this returns, whoever looks finds it; whether it would survive a power cut,
        `Written.lasting` tells. The next may be written before that is done, and lasts no sooner.

        Raises `StoreUnavailable` if nothing of it was written, `OutcomeUnknown` if that cannot be told.
        """
        ...

    def begin(self, id: int, attempt: int, started: float) -> int:
        """Note that an attempt begins, so that a crash of this process uses it up. The result is for `end`; -1 where it
        could not be noted.
        """
        ...

    def end(self, slot: int) -> None:
        """The attempt has ended, well or not."""
        ...

    async def extend(self, id: int, token: int, progress: bytes | None) -> bool:
        """Tell how far a delivery got; False: its claim has ended."""
        ...

    async def read(self, address: str, kind: str = "") -> StateRecord | None:
        """The state of an address; with a `kind`, what is recorded under that name, see `RecordWrite`."""
        ...

    async def lasts(self) -> None:
        """Wait until what can be read now would survive a power cut, as far as the store promises that at all."""
        ...

    async def replies(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """The replies of those messages that are finished, and on disk; None where it ended without one."""
        ...


class Desk(Protocol):
    """What one may look at and do by hand."""

    def letters(self, only: Filter) -> AsyncIterator[Letter]:
        """What is in quarantine, the oldest first."""
        ...

    async def redrive(self, ids: Sequence[int]) -> dict[str, int]:
        """Put quarantined messages back at the tail of their mailboxes, as if new; how many, by address."""
        ...

    async def discard(self, ids: Sequence[int]) -> int:
        """Drop quarantined messages for good; how many there were."""
        ...

    async def edit(self, id: int, handler: str, body: bytes) -> bool:
        """Give a quarantined message another content; False if it is not there."""
        ...

    async def cancel(self, id: int, before: bytes | None = None, after: bytes | None = None) -> bool:
        """Take back a message that is not claimed; False if it is too late. Its reply is the one for `before` its first
        attempt, or the one for `after` that.
        """
        ...

    async def story(self, id: int) -> list[StoryEvent]:
        """The life of a message so far; empty if nothing is known of it."""
        ...

    async def counts(self) -> dict[str, Counts]:
        """How many messages there are, by address."""
        ...

    async def records(self, only: RecordFilter) -> list[Record]:
        """What is recorded, by name, from `RecordFilter.after` on."""
        ...

    async def kinds(self) -> dict[str, dict[str, int]]:
        """How many records there are, by kind and status. Those without a status, of entities and of steps, are left
        out.
        """
        ...

    async def forget(self, kind: str, names: Sequence[str]) -> int:
        """Drop records for good; how many there were."""
        ...
