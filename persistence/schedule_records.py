"""What a store knows of schedules: up to which time their ticks are settled.

It stands apart from the actor that fires them, so that it can be read where no schedule is: the rules are in the code.
"""

from datetime import UTC, datetime
from typing import Protocol

import msgspec

from .codec import StateCodec, Undecodable
from .records import StateRecord

PREFIX = "schedule/"
"""What the addresses of their records begin with, among the states of actors."""
LAST_DATE = datetime.max.replace(tzinfo=UTC).timestamp() - 1.0


class Settled(msgspec.Struct, frozen=True):
    """What the store has of a schedule: the time `until` which its ticks are settled, and the `last` one fired."""

    until: float
    last: float | None = None


CODEC = StateCodec(Settled)


class StoredSchedule(msgspec.Struct, frozen=True):
    """A schedule as a store has it: when it was fired `last`, None for never, and the time `until` which all of its
    ticks are settled, fired or not. Both in UTC. When it comes next is known to the code alone.
    """

    name: str
    last: datetime | None
    until: datetime | None


class Source(Protocol):
    """A store, as this needs it."""

    async def addresses(self) -> list[str]: ...
    async def read(self, address: str, kind: str = "") -> StateRecord | None: ...


async def schedules_in(store: Source) -> list[StoredSchedule]:
    """All that were ever fired, or waited, on that store, by their names."""
    found: list[StoredSchedule] = []
    for address in await store.addresses():
        if not address.startswith(PREFIX):
            continue
        record = await store.read(address)
        if record is None:
            continue
        try:
            settled: Settled = CODEC.decode(record.body)
        except Undecodable:  # of another version, or an actor's that has such an address
            continue
        found.append(StoredSchedule(address.removeprefix(PREFIX), date_of(settled.last), date_of(settled.until)))
    return found


def date_of(when: float | None) -> datetime | None:
    """A time on the store's clock, in UTC; None for never."""
    return None if when is None or when > LAST_DATE else datetime.fromtimestamp(when, UTC)
