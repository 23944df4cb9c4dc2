"""The durable state of one actor: loaded before its first message, saved with what it was changed by."""

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from upright.actors.errors import Refuse
from upright.actors.exits import Failed
from upright.actors.handlers import Handler
from upright.actors.runtime import Runtime
from upright.actors.seat import seat_now

from .codec import StateCodec
from .events import StateRefused
from .records import NOBODYS, StateRecord, StateWrite, Step, Verdict


class DurableState:
    """What the store has for an address, as far as this process knows: the bytes, and how often they were written."""

    def __init__(
        self, store: Any, address: str, codec: StateCodec[Any], new: Callable[[], Any], runtime: Runtime
    ) -> None:
        self._store, self._address, self._codec, self._new, self._runtime = store, address, codec, new, runtime
        self.is_stale = False
        """Whether another session may have written it since it was read."""
        self._version = 0
        self._body: bytes = b""

    async def load(self, instance: Any) -> None:
        """Read it, and give it to an instance. Raises `Undecodable`."""
        await self._store.flushed()  # what the instance before it did may not be written yet
        record: StateRecord | None = await self._store.read(self._address)
        self._version, self._body = (record.version, record.body) if record is not None else (0, b"")
        self.is_stale = False
        self.give(instance)

    def give(self, instance: Any) -> None:
        """Give an instance the state that was written last, whatever it made of it since."""
        known = self._version > 0
        instance.state = self._codec.decode(self._body, self._runtime.locate) if known else self._new()

    def write(self, instance: Any) -> StateWrite | None:
        """The write of its state, if that has changed; what is written next comes after it."""
        body = self._codec.encode(instance.state)
        if body == self._body and self._version:
            return None
        write = StateWrite(self._address, self._version, body)
        self._version, self._body = self._version + 1, body
        return write

    def saved_with(self, step: Step, instance: Any) -> Step:
        """That step, with the write of the state, if it has changed."""
        write = self.write(instance)
        return step if write is None else self._in(step, write)

    def _in(self, step: Step, write: StateWrite) -> Step:
        return msgspec.structs.replace(step, state=write)

    def saving(self, handler: Handler) -> Handler:
        """That handler, with the state saved when it returns: one that comes from no delivery, a timer's say."""

        async def save_after(instance: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_stale:
                await self.load(instance)
            try:
                result = await handler.function(instance, *args, **kwargs)
            except Refuse:  # the instance goes on, and would save with its next message what it took back
                self.give(instance)
                raise
            write = self.write(instance)
            if write is not None:
                seat = seat_now()
                self._runtime.activity.add(1)
                saved = functools.partial(self._saved, seat.host if seat is not None else None)
                owned = msgspec.structs.replace(write, owned=True)
                self._store.settle(self._in(Step(NOBODYS, "save"), owned), saved)
            return result

        return msgspec.structs.replace(handler, function=save_after)

    def _saved(self, host: Any, verdict: Verdict) -> None:
        self._runtime.activity.add(-1)
        if verdict == "ok":
            return
        if self._runtime.bus.wants(StateRefused):
            self._runtime.bus.emit(StateRefused(host.path if host is not None else "/", self._address, verdict))
        if host is not None and not host.detached:
            host.leave(Failed(RuntimeError(f"the state of {self._address} was refused: {verdict}")))
