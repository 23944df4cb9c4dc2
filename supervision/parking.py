"""When a mailbox as a whole stops for a while: a state machine without a clock, without a loop and without I/O.

state   | may claim | a message fails                                 | one succeeds
open    | any       | the tenth different one in a row: parked        | the row begins anew
parked  | none      | it began before the park: its attempt goes back | it began before the park: nothing
due     | one       | as when parked                                  | as when parked
probing | none      | the probe: parked for longer; others: see above | the probe: open; others: nothing

It becomes due by time alone, and probing by `claimed`. One bad message fails for its own reasons; ten different ones in
a row have one reason in common, which is not theirs, and more attempts would only use them up. Of messages in lanes,
those of one account say, that go one after the other, all of a lane may well have the same reason: these count for one.
And who probes had better take a message of a lane that did not fail.
"""

import random
from collections.abc import Iterable

import msgspec

from .backoff import Backoff
from .checks import whole

PARKS = Backoff(2.0, 300.0)
REMEMBERED = 1_000
SUSPECTS = 100
"""Lanes of which it is remembered that they failed, at most."""


class Parked(msgspec.Struct, frozen=True):
    """The mailbox is parked.

    `until`: the time from which one message may be tried. `give_back`: the ids of messages that fell victim, in the
    order in which they failed first; each gets one attempt back. `begins`: whether a park begins now; if not, the
    message that failed was a late one, of those that were in hand when the park began.
    """

    until: float
    give_back: tuple[str, ...]
    begins: bool = True


class Opened(msgspec.Struct, frozen=True):
    """The mailbox is open again; `parks` is how many parks in a row it took since the doubling last began anew."""

    parks: int


class Parking:
    """Whether one mailbox may hand out messages, after what became of the ones before.

    A park lasts `backoff`: 2 seconds, doubling with each further one to 300, spread by its jitter. A probe that
    succeeds opens the mailbox but does not forget: if it parks again before it has been open for the `quiet` time of
    `backoff` (twice the cap, ten minutes, unless told otherwise), that park is longer than the last one. Until such a
    quiet time no message gets an attempt back twice, unless it succeeded in between: otherwise ten bad messages and now
    and then a good one could go round for ever.

    All times are seconds on one monotonic clock. A mailbox has one claimer, which asks `may_claim`, claims, and calls
    `claimed` for what it got before it asks again. When an attempt ends:

    - its handler returned: `succeeded`
    - it failed: `decide` first. If that is `Discarded`, or `Quarantined` and `ruled`, the message is at fault:
      `released`. If not, `failed`; and if the answer gives an attempt back to this very message, it is put back for
      the time `until`, whatever `decide` said.
    - it ended in any other way (deferred, interrupted, cancelled by hand, its lease lost): `released`

    An id in `give_back` may meanwhile have been quarantined, or run again; what that means for it is the caller's to
    see to. A probe has no time limit of its own: only the policy's `attempt_timeout` ends one that hangs.

    >>> parking, rng = Parking(failures=2, backoff=Backoff(2.0, 300.0, jitter="none")), random.Random(1)
    >>> parking.failed("a", 0.0, rng), parking.failed("a", 1.0, rng), parking.failed("b", 2.0, rng)
    (None, None, Parked(until=4.0, give_back=('a', 'b'), begins=True))
    >>> parking.may_claim(3.9), parking.may_claim(4.0), parking.claimed("a", 4.0), parking.may_claim(4.0)
    (0, 1, None, 0)
    >>> parking.failed("a", 5.0, rng)
    Parked(until=9.0, give_back=(), begins=True)
    >>> parking.claimed("b", 9.0), parking.succeeded("b", 9.5), parking.may_claim(9.5)
    (None, Opened(parks=2), None)
    """

    __slots__ = ("_given", "_opened_at", "_parks", "_probe", "_row", "_until", "backoff", "failures", "suspects")

    def __init__(self, failures: int = 10, backoff: Backoff = PARKS) -> None:
        """`failures`: how many different messages in a row have to fail; `ValueError` below 1."""
        whole("failures", failures, 1)
        self.failures = failures
        self.backoff = backoff
        # Dicts in place of sets: they keep the order.
        self._row: dict[tuple[str, str], str] = {}  # by lane and, where it has none, by id: the id of the last one
        self.suspects: dict[str, None] = {}
        """The lanes that have failed and not succeeded since: a probe had better be of another one."""
        self._given: dict[str, None] = {}
        self._parks = 0
        self._opened_at = 0.0
        self._until: float | None = None
        self._probe: str | None = None

    @property
    def is_parked(self) -> bool:
        """Whether it is not open: parked, due or probing."""
        return self._until is not None

    @property
    def is_spotless(self) -> bool:
        """Whether it is open and knows of no failure: a success changes nothing."""
        return self._until is None and not (self._row or self._given or self.suspects)

    def may_claim(self, now: float) -> int | None:
        """How many messages may be claimed at `now`: None for as many as one likes, 0 for none, 1 for a probe."""
        if self._until is None:
            return None
        return 1 if now >= self._until and self._probe is None else 0

    def claimed(self, id: str, now: float) -> None:
        """A message was claimed. When a probe is due it is the probe; else this changes nothing."""
        if self.may_claim(now) == 1:
            self._probe = id

    def failed(self, id: str, now: float, rng: random.Random, lane: str = "") -> Parked | None:
        """A message has failed at `now`, of that lane if it has one. None if the mailbox stays open."""
        if lane:
            self.suspects.pop(lane, None)
            self.suspects[lane] = None
            if len(self.suspects) > SUSPECTS:
                del self.suspects[next(iter(self.suspects))]
        if self._until is not None:
            if id != self._probe:
                return Parked(self._until, self._give_back((id,)), begins=False)
            return self._park((), now, rng)
        self._row[lane, "" if lane else id] = id
        if len(self._row) < self.failures:
            return None
        if self.backoff.is_quiet(now - self._opened_at):
            self._parks = 0
            self._given.clear()
        return self._park(self._give_back(self._row.values()), now, rng)

    def succeeded(self, id: str, now: float, lane: str = "") -> Opened | None:
        """A message has succeeded at `now`, of that lane if it has one. None if that opens nothing."""
        self._given.pop(id, None)
        self.suspects.pop(lane, None)
        if self._until is None:
            self._row.clear()
        elif id == self._probe:
            self._until = self._probe = None
            self._opened_at = now
            return Opened(self._parks)
        return None

    def released(self, id: str) -> None:
        """A claimed message ended without telling anything about the mailbox; if it was the probe, another may go."""
        if id == self._probe:
            self._probe = None

    def _park(self, give_back: tuple[str, ...], now: float, rng: random.Random) -> Parked:
        self._row.clear()
        self._probe = None
        self._parks += 1
        self._until = now + self.backoff.delay(self._parks, rng)
        return Parked(self._until, give_back)

    def _give_back(self, ids: Iterable[str]) -> tuple[str, ...]:
        victims = tuple(id for id in ids if id not in self._given)
        self._given.update(dict.fromkeys(victims))
        # A mailbox that goes on opening and parking for weeks never has a quiet time.
        while len(self._given) > REMEMBERED:
            del self._given[next(iter(self._given))]
        return victims

    def __repr__(self) -> str:
        if self._until is None:
            return f"<Parking open {len(self._row)}/{self.failures} failed>"
        if self._probe is not None:
            return f"<Parking probing {self._probe}>"
        return f"<Parking parked until {self._until:.3f}>"
