"""What the policies of a system remember, over restarts of the program: all of it is one state in the store.

A breaker that opened before a deploy is open after it, for the rest of its wait; one that an operator has moved stays
where it was put. Where several processes share a store each has circuits of its own, and the last word is kept.
"""

import contextlib
import functools
from typing import Any

import msgspec

from upright.actors.runtime import Runtime

from .errors import StoreError
from .records import NOBODYS, StateRecord, StateWrite, Step, Verdict

ADDRESS = "upright/guards"
"""Where it is kept, among the states of actors."""
Records = dict[str, bytes]


class StoredBreaker(msgspec.Struct, frozen=True):
    """A circuit breaker as a store remembers it: the last word of all processes that share the store.

    `state`: `closed`, `open`, or the mode in which an operator has put it: `forced-open`, `disabled`, `metrics-only`.
    `openings`: in a row. `until`: of an open one, when its wait is over, in seconds since the epoch; 0 else. `who`
    moved it by hand, and `why`.
    """

    name: str
    state: str
    openings: int
    until: float
    who: str
    why: str


class Saved(msgspec.Struct, frozen=True):
    """What is read here of the record of a breaker."""

    state: str
    mode: str
    openings: int
    until: float
    who: str = ""
    why: str = ""


async def breakers_in(store: Any) -> list[StoredBreaker]:
    """All breakers that the store remembers, by their names."""
    record: StateRecord | None = await store.read(ADDRESS)
    found: list[StoredBreaker] = []
    for name, body in sorted((_records(record.body) if record is not None else {}).items()):
        kind, _, breaker = name.partition(" ")
        if kind == "breaker":
            with contextlib.suppress(msgspec.MsgspecError, ValueError):  # of another version
                saved = msgspec.msgpack.decode(body, type=Saved)
                state = saved.state if saved.mode == "automatic" else saved.mode
                until = saved.until if state == "open" else 0.0
                found.append(StoredBreaker(breaker, state, saved.openings, until, saved.who, saved.why))
    return found


def _records(body: bytes) -> Records:
    with contextlib.suppress(msgspec.MsgspecError, ValueError):  # of another version: the policies begin anew
        return msgspec.msgpack.decode(body, type=Records)
    return {}


class GuardRecords:
    """Reads them when a store opens, and writes each change."""

    def __init__(self, store: Any, runtime: Runtime) -> None:
        self._store, self._runtime = store, runtime
        self._version = 0
        self._known: Records = {}
        self._changed: Records = {}
        self._writing = False

    async def load(self) -> None:
        """Hand out what is kept, and keep what comes."""
        await self._read()
        guards = self._runtime.guards
        guards.wall = self._store.now
        guards.records.update(self._known)
        guards.recalled()
        guards.keep = self.keep

    async def _read(self) -> None:
        record: StateRecord | None = await self._store.read(ADDRESS)
        self._version, self._known = 0, {}
        if record is not None:
            self._version, self._known = record.version, _records(record.body)

    def keep(self, name: str, record: bytes) -> None:
        """Write that, soon."""
        self._changed[name] = record
        if not self._writing:
            self._write()

    def _write(self) -> None:
        changed, self._changed = self._changed, {}
        self._writing = True
        body = msgspec.msgpack.encode(self._known | changed)
        step = Step(NOBODYS, "save", state=StateWrite(ADDRESS, self._version, body))
        self._store.settle(step, functools.partial(self._written, changed))

    def _written(self, changed: Records, verdict: Verdict) -> None:
        self._writing = False
        if verdict == "ok":
            self._version += 1
            self._known |= changed
            if self._changed:
                self._write()
            return
        self._changed = changed | self._changed
        if verdict == "conflict":  # another process wrote meanwhile
            self._writing = True
            _ = self._runtime.keep(self._read_and_write(), "upright guard records")

    async def _read_and_write(self) -> None:
        try:
            await self._read()
        except StoreError:  # the next change tries again
            self._writing = False
        else:
            self._write()
