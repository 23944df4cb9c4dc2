"""What is kept in the store of a service whose tree gave up: when, why, and in which process, for whoever comes next.

The log may be gone with the container, and the service be up again by then.
"""

import os

import msgspec

from upright.actors.events import SystemGaveUp
from upright.actors.system import ActorSystem
from upright.persistence.records import NOBODYS, RecordWrite, StateRecord, Step
from upright.persistence.store import Store

KIND, NAME = "upright/service", "gave-up"


class LastWord(msgspec.Struct, frozen=True):
    """A tree gave up: `at`, seconds since the epoch; `why`; in the process `pid`; `times` since the store was made."""

    at: float
    why: str
    pid: int
    times: int = 1


class LastWords:
    """From `start` to `stop`, writes down that the tree of a system gave up."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._store = system.store if isinstance(system.store, Store) else None
        self._kept: StateRecord | None = None

    async def start(self) -> None:
        """Listen; the store is open by now."""
        if self._store is not None:
            self._kept = await self._store.read(NAME, KIND)
            self._system.subscribe(self._gave_up, SystemGaveUp)

    async def stop(self) -> None:
        """Listen no more."""
        self._system.unsubscribe(self._gave_up)

    def _gave_up(self, event: SystemGaveUp) -> None:
        """The store closes when all have ended, which comes next: it writes this before."""
        store, kept = self._store, self._kept
        if store is None:
            return
        before = read_word(kept)
        word = LastWord(store.now(), event.why, os.getpid(), before.times + 1 if before is not None else 1)
        record = RecordWrite(
            KIND, NAME, kept.version if kept is not None else 0, msgspec.msgpack.encode(word), status="gave_up"
        )
        store.settle(Step(NOBODYS, "save", records=(record,)), _written)


def read_word(kept: StateRecord | None) -> LastWord | None:
    """What was kept, if it can be read."""
    if kept is None:
        return None
    try:
        return msgspec.msgpack.decode(kept.body, type=LastWord)
    except (msgspec.MsgspecError, ValueError):
        return None


def _written(_: object) -> None:
    """Nobody is left to hear of it."""
