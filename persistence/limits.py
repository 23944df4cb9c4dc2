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

    def lend(self, name: str, terms: Terms, least: int, wanted: int, answer: Answer) -> None:
        """Lend up to so many tokens of the bucket of that name, `least` at least, and answer when that is on disk."""
        if name in self._known:
            self._try(name, terms, least, wanted, answer)
        else:
            _ = self._runtime.keep(self._read(name, terms, least, wanted, answer), f"upright limit {name}")

    async def _read(self, name: str, terms: Terms, least: int, wanted: int, answer: Answer) -> None:
        try:
            record: StateRecord | None = await self._store.read(ADDRESS + name)
        except StoreError:
            answer(0, RETRY)
            return
        full_at = 0.0
        if record is not None:
            full_at = msgspec.msgpack.decode(record.body, type=float)
        self._known[name] = record.version if record is not None else 0, full_at
        self._try(name, terms, least, wanted, answer)

    def _try(self, name: str, terms: Terms, least: int, wanted: int, answer: Answer) -> None:
        now = self._store.now()
        version, known = self._known[name]
        lent, full_at, wait = loan(terms, known, wanted, now, least)
        if not lent:
            # What another process has left there is known only after the next write, or after a look.
            del self._known[name]
            answer(0, wait)
            return

        def written(verdict: Verdict) -> None:
            if verdict == "ok":
                self._known[name] = version + 1, full_at
                answer(lent, wait)
            elif verdict == "conflict":
                self._known.pop(name, None)
                self.lend(name, terms, least, wanted, answer)
            else:
                answer(0, RETRY)

        write = StateWrite(ADDRESS + name, version, msgspec.msgpack.encode(full_at))
        self._store.settle(Step(NOBODYS, "save", state=write), written)


def loan(terms: Terms, full_at: float, wanted: int, now: float, least: int = 1) -> tuple[int, float, float]:
    """How many tokens are lent, when the bucket is full then, and in how many seconds they may be used; of none, in how
    many there may be some. Where there are fewer than `least`, and that is not one, tokens to come are lent: to one at
    a time, so that the bucket has twice its burst to fill at most.

    >>> loan(Terms(interval=0.5, burst=4), full_at=0.0, wanted=3, now=10.0)
    (3, 11.5, 0.0)
    >>> loan(Terms(interval=0.5, burst=4), full_at=11.5, wanted=3, now=10.0)
    (1, 12.0, 0.0)
    >>> loan(Terms(interval=0.5, burst=4), full_at=12.0, wanted=3, now=10.0)
    (0, 12.0, 0.5)
    >>> loan(Terms(interval=0.5, burst=4), full_at=11.5, wanted=3, now=10.0, least=3)
    (3, 13.0, 1.0)
    >>> loan(Terms(interval=0.5, burst=4), full_at=13.0, wanted=3, now=10.0, least=3)
    (0, 13.0, 1.0)
    """
    room = terms.interval * terms.burst
    full_at = min(max(full_at, now), now + 2 * room)  # a clock that was set back must not keep it empty for long
    owed = full_at - now - room
    free = int((GRAIN - owed) / terms.interval)
    if free >= least:
        lent = min(wanted, free)
        return lent, full_at + lent * terms.interval, 0.0
    if least == 1:
        return 0, full_at, max(owed + terms.interval, GRAIN)
    if owed > GRAIN:
        return 0, full_at, owed
    needs = least * terms.interval
    return least, full_at + needs, max(owed + needs, GRAIN)
