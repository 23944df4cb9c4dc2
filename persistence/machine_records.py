"""The runs of one machine, as a store has them: to look at, with or without a system that runs them.

It stands apart from `Machines`, which finds them in a system and sends them messages, since a look needs neither.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from .errors import StoreUnavailable
from .records import StateRecord
from .reports import Record, RecordFilter
from .run_record import RunRecord, decoded

PAGE = 100
FEW = 100
"""Runs of a kind that are looked at to see whose they are."""


class MachineRecords:
    """The runs of `machine` in that store. `name`: the address under which they are, or its last part; without one the
    store must have those of one machine of that class.
    """

    locate: Any = None
    """What finds the refs in their data; None where there is no system."""

    def __init__(self, store: Any, machine: Any, name: str | None) -> None:
        self.store, self.machine, self._name = store, machine, name
        self.kind = ""

    async def find_kind(self) -> str:
        """Under which address they are. Raises `LookupError` if that cannot be told."""
        if not self.kind:
            kinds = sorted(await self.store.desk.kinds())
            if self._name is None:
                found = [kind for kind in kinds if await self._is_ours(kind)]
            else:
                found = [kind for kind in kinds if self._name in (kind, kind.rpartition("/")[2])] or [self._name]
            if len(found) != 1:
                raise LookupError(
                    f"expected the runs of one machine of {self.machine.__name__} in {self.store!r}, got those of"
                    f" {', '.join(found) or 'none'}: name its address"
                )
            self.kind = found[0]
        return self.kind

    async def _is_ours(self, kind: str) -> bool:
        """Whether the first few runs stand where the machine has a state."""
        states = self.machine.definition
        records = await self.store.desk.records(RecordFilter(kind, limit=FEW))
        return all(states.state(record.position) is not None for record in records)

    async def tell(self, handler: str, id: str, *args: Any, once: str = "") -> Any:
        """Send the runner a message about a run. Raises `StoreUnavailable`, for nobody here knows of one."""
        raise StoreUnavailable(
            f"expected a system, to send something to run {id!r}: a store alone is there to be looked at"
        )

    async def read(self, id: str) -> RunRecord | None:
        """The record of a run; None if there is none yet."""
        found: StateRecord | None = await self.store.read(id, await self.find_kind())
        return decoded(found.body) if found is not None else None

    async def runs(self, only: RecordFilter) -> AsyncIterator[Record]:
        """The records, by their ids, a page at a time; the kind that it names does not count."""
        left, only = only.limit, msgspec.structs.replace(only, kind=await self.find_kind())
        while left > 0:
            page = msgspec.structs.replace(only, limit=min(left, PAGE))
            found: list[Record] = await self.store.desk.records(page)
            for one in found:
                yield one
            if len(found) < page.limit:
                return
            left -= len(found)
            only = msgspec.structs.replace(only, after=found[-1].name)
