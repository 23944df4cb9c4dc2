"""The buckets of rate limits that several processes share, each one a state in their store.

GCRA again (ITU-T I.371), with the time of the store's clock: a bucket is the time at which it is full. Whoever lends
writes that time under the version that it has read; if another process was quicker, it reads again.
"""

from typing import Any

import msgspec

from upright.actors.runtime import Runtime
from upright.supervision.shared_limit import Answer, Terms

from .errors import StoreError
from .records import NOBODYS, StateRecord, StateWrite, Step, Verdict

ADDRESS = "upright/limits/"
GRAIN = 1e-5
"""Seconds by which a token may come early: a float holds the seconds since the epoch to a part of a microsecond only,
and one who came in time must not find that he has to wait for less than that.
"""
RETRY = 1.0
"""Seconds after which a store that failed is asked again."""


class Limits:
    """Lends tokens out of the buckets of one store."""

    def __init__(self, store: Any, runtime: Runtime) -> None:
        self._store, self._runtime = store, runtime
        self._known: dict[str, tuple[int, float]] = {}

    def lend(self, name: str, terms: Terms, wanted: int, answer: Answer) -> None:
        """Lend up to so many tokens of the bucket of that name, and answer when that is on disk."""
        if name in self._known:
            self._try(name, terms, wanted, answer)
        else:
            _ = self._runtime.keep(self._read(name, terms, wanted, answer), f"upright limit {name}")

    async def _read(self, name: str, terms: Terms, wanted: int, answer: Answer) -> None:
        try:
            record: StateRecord | None = await self._store.read(ADDRESS + name)
        except StoreError:
            answer(0, RETRY)
            return
        full_at = 0.0
        if record is not None:
            full_at = msgspec.msgpack.decode(record.body, type=float)
        self._known[name] = record.version if record is not None else 0, full_at
        self._try(name, terms, wanted, answer)

    def _try(self, name: str, terms: Terms, wanted: int, answer: Answer) -> None:
        now = self._store.now()
        version, known = self._known[name]
        lent, full_at, wait = loan(terms, known, wanted, now)
        if not lent:
            # What another process has left there is known only after the next write, or after a look.
            del self._known[name]
            answer(0, wait)
            return

        def written(verdict: Verdict) -> None:
            if verdict == "ok":
                self._known[name] = version + 1, full_at
                answer(lent, 0.0)
            elif verdict == "conflict":
                self._known.pop(name, None)
                self.lend(name, terms, wanted, answer)
            else:
                answer(0, RETRY)

        write = StateWrite(ADDRESS + name, version, msgspec.msgpack.encode(full_at))
        self._store.settle(Step(NOBODYS, "save", state=write), written)


def loan(terms: Terms, full_at: float, wanted: int, now: float) -> tuple[int, float, float]:
    """How many tokens can be lent, when the bucket is full then, and how long to wait if there is none.

    >>> loan(Terms(interval=0.5, burst=4), full_at=0.0, wanted=3, now=10.0)
    (3, 11.5, 0.0)
    >>> loan(Terms(interval=0.5, burst=4), full_at=11.5, wanted=3, now=10.0)
    (1, 12.0, 0.0)
    >>> loan(Terms(interval=0.5, burst=4), full_at=12.0, wanted=3, now=10.0)
    (0, 12.0, 0.5)
    """
    room = terms.interval * terms.burst
    full_at = min(max(full_at, now), now + room)  # a clock that was set back must not keep it empty for long
    lent = min(wanted, int((now + room - full_at + GRAIN) / terms.interval))
    if lent < 1:
        return 0, full_at, max(full_at + terms.interval - now - room, GRAIN)
    return lent, full_at + lent * terms.interval, 0.0
