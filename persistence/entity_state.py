"""The durable state of one entity: a record of its kind, under its id, that is saved with the end of each message."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from upright.actors.runtime import Runtime

from .codec import StateCodec
from .durable_state import DurableState
from .records import RecordWrite, StateRecord, StateWrite, Step, Verdict


class Writing(Protocol):
    """Who knows what is under way for an entity."""

    address: str

    def is_writing(self, id: str) -> bool: ...
    def begun(self, id: str) -> None: ...
    def ended(self, id: str) -> None: ...


class EntityState(DurableState):
    """What the store has for an entity, as far as this process knows.

    Another process may handle a message for it whenever this one has none in hand and nothing on its way to the store.
    So it is read again then, which costs one look into the store for a message.
    """

    def __init__(
        self, front: Writing, store: Any, id: str, codec: StateCodec[Any], new: Callable[[], Any], runtime: Runtime
    ) -> None:
        super().__init__(store, f"{front.address}/{id}", codec, new, runtime)
        self._front, self._id = front, id
        self._is_fresh = False

    @property
    def is_stale(self) -> bool:
        """Whether another process may have written it since it was read."""
        fresh, self._is_fresh = self._is_fresh, False
        return not (fresh or self._front.is_writing(self._id))

    @is_stale.setter
    def is_stale(self, value: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # used alike
        """What is so is found out anew each time."""

    async def load(self, instance: Any) -> None:
        """Read it, and give it to an instance that does not have it. Raises `Undecodable`."""
        if self._front.is_writing(self._id):
            await self._store.flushed()  # what the instance before it did is not written yet
        record: StateRecord | None = await self._store.read(self._id, self._front.address)
        version, body = (record.version, record.body) if record is not None else (0, b"")
        known, self._version, self._body = version == self._version, version, body
        if not known or "state" not in vars(instance):
            self.give(instance)

    async def restore(self, instance: Any) -> None:
        """Read it for a new instance, which begins with a message that nobody else can have."""
        await self.load(instance)
        self._is_fresh = True

    def _in(self, step: Step, write: StateWrite) -> Step:
        if not step.delivery.id:
            self._front.begun(self._id)
        record = RecordWrite(self._front.address, self._id, write.expected, write.body, lasts=False)
        return msgspec.structs.replace(step, records=(*step.records, record))

    def _saved(self, host: Any, verdict: Verdict) -> None:
        self._front.ended(self._id)
        super()._saved(host, verdict)
