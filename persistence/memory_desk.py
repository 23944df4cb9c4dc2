"""Looking into a store in memory, and acting on it by hand."""

from collections.abc import AsyncIterator, Sequence

from .memory_engine import MemoryEngine
from .memory_rows import Row
from .reports import Counts, Filter, Letter, Record, RecordFilter, StoryEvent


class MemoryDesk:
    """See `Desk`. What changes something needs a session that is open."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine, self._tables = engine, engine.tables

    async def letters(self, only: Filter) -> AsyncIterator[Letter]:
        """See `Desk.letters`."""
        if only.only is not None:
            row = self._tables.rows.get(only.only)
            if row is not None and row.state == "quarantined":
                yield _letter(row)
            return
        found = [row for row in self._tables.rows.values() if row.state == "quarantined" and _fits(row, only)]
        for row in found[: only.limit]:
            yield _letter(row)

    async def redrive(self, ids: Sequence[int]) -> dict[str, int]:
        """See `Desk.redrive`."""
        session, moved = self._engine.session, dict[str, int]()
        for id in ids:
            address = self._tables.redrive(id, self._engine.now())
            if address is not None:
                moved[address] = moved.get(address, 0) + 1
        self._tables.stir_others(session, moved)
        return moved

    async def discard(self, ids: Sequence[int]) -> int:
        """See `Desk.discard`."""
        return sum(self._drop(id, "discarded") for id in ids)

    async def edit(self, id: int, handler: str, body: bytes) -> bool:
        """See `Desk.edit`."""
        return self._tables.edit(id, handler, body, self._engine.now())

    async def cancel(self, id: int, before: bytes | None = None, after: bytes | None = None) -> bool:
        """See `Desk.cancel`."""
        cancelled, row = self._drop(id, "cancelled"), self._tables.rows.get(id)
        if cancelled and row is not None:
            row.reply = after if row.attempt else before
        return cancelled

    def _drop(self, id: int, name: str) -> bool:
        session, row = self._engine.session, self._tables.rows.get(id)
        dropped = self._tables.drop(id, self._engine.now(), name)
        if dropped and row is not None:  # it may have held up others
            self._tables.stir_others(session, [row.message.address])
        return dropped

    async def story(self, id: int) -> list[StoryEvent]:
        """See `Desk.story`."""
        row = self._tables.rows.get(id)
        if row is None:
            return []
        story = [StoryEvent("stored", row.stored, trace=row.message.trace), *row.events]
        if row.state == "claimed":
            story.append(StoryEvent("claimed", row.claimed, row.attempt + 1, trace=row.message.trace))
        return story

    async def counts(self) -> dict[str, Counts]:
        """See `Desk.counts`."""
        numbers: dict[str, dict[str, int]] = {}
        for row in self._tables.rows.values():
            if row.state != "finished":
                of = numbers.setdefault(row.message.address, {})
                state = "waiting" if row.state == "delayed" else row.state
                of[state] = of.get(state, 0) + 1
        return {address: Counts(**of) for address, of in numbers.items()}

    async def records(self, only: RecordFilter) -> list[Record]:
        """See `Desk.records`."""
        of = self._tables.records.get(only.kind, {})
        found = (of[name] for name in sorted(of))
        return [one for one in found if _is_wanted(one, only)][: only.limit]

    async def kinds(self) -> dict[str, dict[str, int]]:
        """See `Desk.kinds`."""
        found: dict[str, dict[str, int]] = {}
        for kind, of in sorted(self._tables.records.items()):
            for one in of.values():
                if one.status:
                    statuses = found.setdefault(kind, {})
                    statuses[one.status] = statuses.get(one.status, 0) + 1
        return found

    async def forget(self, kind: str, names: Sequence[str]) -> int:
        """See `Desk.forget`."""
        return sum(self._tables.forget(kind, name) for name in names)


def _is_wanted(one: Record, only: RecordFilter) -> bool:
    if one.name <= only.after or (only.before is not None and not one.changed < only.before):
        return False
    wanted = (only.name, one.name), (only.status, one.status), (only.position, one.position)
    return all(asked in (None, found) for asked, found in wanted)


def _fits(row: Row, only: Filter) -> bool:
    if only.address is not None and row.message.address != only.address:
        return False
    if only.reason is not None and row.reason != only.reason:
        return False
    return only.error is None or bool(row.failures and only.error in row.failures[-1].error)


def _letter(row: Row) -> Letter:
    message = row.message
    return Letter(
        row.id, message.address, message.handler, row.body, row.reason, tuple(row.failures), row.stored, row.finished,
        message.key, message.once, message.sender, message.trace,
    )  # fmt: skip
