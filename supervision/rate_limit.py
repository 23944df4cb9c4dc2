"""How many calls may go out in a time: a policy, and at work a state machine without a loop.

The algorithm is GCRA, the generic cell rate algorithm in its form of virtual scheduling (ITU-T I.371, annex A). It
remembers one time, the *theoretical arrival time* at which the bucket is full again, and lets a call through that does
not come earlier than that time less the burst. So nothing has to run to fill the bucket, and a key costs little.

That time is kept as a time and a count of intervals after it: adding an interval for each call would sum up the errors
of so many additions, and the limit would drift.
"""

import math
from bisect import bisect_right

import msgspec

from upright.actors.policies import RATE, House

from .checks import dependency, label, line, positive, share, whole
from .errors import RateLimited
from .shared_limit import Lends, SharedBucket, Terms

REMEMBERED = 16
"""How many low points of the debt are known apart; see `Gcra.give_back`."""
GRAIN = 2**20
"""Refunds are rounded down to such a part of a call: floats add these without an error."""


class RateLimit(msgspec.Struct, frozen=True):
    """At most `rate` calls in `per` seconds to the dependency `name`, counted for all who use the policy in a system.

    `burst`: how many may go at once after a quiet time; by default `rate`, rounded up. In any t seconds at most
    burst + rate * t / per calls go, which for t = per is twice the rate with the default: where a third party
    counts strictly, ask for half the rate, or for a small burst. With `burst=1` they are evenly spaced. What counts is
    when a call is let through: where it then waits for another policy, a bulkhead inside of the limit, calls can pile
    up there and go together.
    `longest_wait`: seconds that a call waits in line for its turn, 60 by default; 0 refuses at once. `most_waiting`:
    how many calls may wait; by default any number. The line is first in, first out, also for one that counts for much.
    `key`: whose calls, see `of`. `weight`: for how many one call counts, see `costing`. `shared`: all systems on one
    store share the limit, at the price of a commit for each tenth of a second, and of one more second: in any t seconds
    as many calls go as could in t + 1. Without a store it is for one system.

    A call that was refused raises `RateLimited`, and costs nothing; so does one that another guard refused afterwards.
    A call that was made counts, whatever became of it. Raises `ValueError` for what cannot be.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> GEOCODER = RateLimit("geocoder", 2, per=60.0, longest_wait=0)
    >>> async def main() -> None:
    ...     guards = Guards()
    ...     for _ in range(3):
    ...         async with guards.guard(GEOCODER):
    ...             print("called")
    >>> asyncio.run(main())
    Traceback (most recent call last):
    ...
    upright.supervision.errors.RateLimited: rate limit geocoder has no room for 30 s: 2 calls in 60 s
    """

    name: str
    rate: float
    per: float = 1.0
    burst: int | None = None
    longest_wait: float = 60.0
    most_waiting: float = float("inf")
    key: str = ""
    weight: int = 1
    shared: bool = False

    def __post_init__(self) -> None:
        dependency(self.name, self.key)
        positive("rate", self.rate, " calls")
        positive("per", self.per, " seconds")
        if not 0 < self.per / self.rate < float("inf"):
            raise ValueError(
                f"expected per / rate to be seconds that a float can say, got {self.per!r} / {self.rate!r}"
            )
        if self.burst is not None:
            whole("burst", self.burst, 1)
        line(self.longest_wait, "most_waiting", self.most_waiting)
        share("weight", self.weight, self.at_once, "burst")
        if self.shared and not self.longest_wait:
            raise ValueError("expected longest_wait to be more than 0 seconds for a shared limit, which asks its store")

    @property
    def at_once(self) -> int:
        """How many calls may go at once: the burst, or its default."""
        return math.ceil(self.rate) if self.burst is None else self.burst

    @property
    def rank(self) -> int:
        return RATE

    @property
    def plain(self) -> "RateLimit":
        if not self.key and self.weight == 1:
            return self
        return msgspec.structs.replace(self, key="", weight=1)

    def of(self, key: str) -> "RateLimit":
        """The same for the calls of one caller, a tenant, say: each key has a bucket and a line of its own.

        >>> RateLimit("geocoder", 2).of("acme").key
        'acme'
        """
        return msgspec.structs.replace(self, key=key)

    def costing(self, calls: int) -> "RateLimit":
        """The same for a call that counts for so many. Raises `ValueError` above the burst: it could never go.

        >>> RateLimit("geocoder", 2).costing(3)
        Traceback (most recent call last):
        ...
        ValueError: expected weight to be 2 or less, the burst, got 3
        """
        return msgspec.structs.replace(self, weight=calls)

    def open(self, house: House) -> "Gcra | SharedBucket":
        """Its bucket, full; or what this process has of the one in the store."""
        if self.shared and isinstance(house, Lends) and house.lender is not None:
            terms = Terms(self.per / self.rate, self.at_once)
            return SharedBucket(label(self.name, self.key), terms, self.longest_wait, self.most_waiting, house)
        return Gcra(self)


Visit = tuple[int, float, int]
"""Of a call that was let through: its weight, its time, and which one it was."""


class Gcra:
    """The calls of one dependency, or of one key, in one system; `RateLimit` is its policy.

    >>> bucket = Gcra(RateLimit("geocoder", 2, per=1.0))
    >>> bucket.room(0.0), bucket.enter(0.0, False, 2), bucket.room(0.0), bucket.opens_at(0.0)
    (2, (2, 0.0, 1), 0, 0.5)
    """

    is_shut = False

    __slots__ = ("_burst", "_full", "_interval", "_lows", "_nth", "_spent", "longest_wait", "most_waiting", "policy")

    def __init__(self, policy: RateLimit) -> None:
        self.policy = policy
        self.longest_wait, self.most_waiting = policy.longest_wait, policy.most_waiting
        self._burst = policy.at_once
        self._interval = policy.per / policy.rate
        self._full = float("-inf")  # when it was full, and what was spent since
        self._spent = 0.0
        self._nth = 0
        self._lows: list[tuple[int, float]] = []

    def room(self, now: float) -> int:
        """How many calls of weight 1 may go now."""
        self._look(now)
        if not self._spent:
            return self._burst
        # The quotient may be off by one in its last place; what `_at` says counts, for timers are set by it.
        room = math.floor(self._burst - self._debt(now))
        while room < self._burst and now >= self._at(room + 1):
            room += 1
        while room > 0 and now < self._at(room):
            room -= 1
        return max(room, 0)

    def enter(self, now: float, patient: bool, weight: int) -> Visit | None:
        self._look(now)
        if now < self._at(weight):
            return None
        self._nth += 1
        self._note(self._nth, self._debt(now))
        self._spent += weight
        return weight, now, self._nth

    def leave(self, token: Visit, error: BaseException | None, took: float, now: float) -> None:
        """A call that was made counts, also a cancelled one: nobody knows how far it came."""

    def give_back(self, token: Visit, now: float) -> None:
        """There was no call: the bucket is as if it had never come, but never fuller than that.

        While others spend, all of it comes back. What would have overflowed a bucket that was nearly full meanwhile is
        gone: it could not have been saved up either. That is known from the lowest debt that a later call has met;
        of these low points a few are remembered, and where they were merged less is given back.
        """
        weight, entered, nth = token
        self._look(now)
        first = bisect_right(self._lows, (nth, float("inf")))
        low = self._lows[first][1] if first < len(self._lows) else weight
        refund = max(weight - (now - entered) / self._interval, min(weight, low))
        if refund > 0:
            self._spent -= math.floor(refund * GRAIN) / GRAIN  # where that is too much, `_look` cuts it
        # Without this call the later ones had met as much less: one that is given back after it has to know.
        later = self._lows[first:]
        del self._lows[first:]
        for other, debt in later:
            self._note(other, max(0.0, debt - weight))

    def opens_at(self, now: float) -> float:
        """When the next whole call comes in, later than now: one that counts for much looks again then."""
        return self._at(self.room(now) + 1)

    def refusal(self, now: float) -> RateLimited:
        policy, wait = self.policy, self.opens_at(now) - now
        text = f"has no room for {wait:.3g} s: {policy.rate:g} calls in {policy.per:g} s"
        return RateLimited(f"rate limit {label(policy.name, policy.key)} {text}", policy.name, wait)

    def setback(self) -> float:
        """A limit knows nothing of failures."""
        return 0.0

    def is_idle(self, now: float) -> bool:
        """Whether the bucket is full."""
        return now >= self._at(self._burst)

    def _at(self, weight: int) -> float:
        """When a call of that weight may go; all that asks for the time asks here, so that no two answers differ."""
        return self._full + (self._spent + weight - self._burst) * self._interval

    def _debt(self, now: float) -> float:
        """How many calls are missing from a full bucket."""
        return max(0.0, self._spent - (now - self._full) / self._interval)

    def _look(self, now: float) -> None:
        """Full is full: time that passes then is not saved up."""
        # Not at that very time: who comes each time when it is full would sum up the errors of these times.
        if now > self._at(self._burst):
            self._full, self._spent = now, 0.0

    def _note(self, nth: int, debt: float) -> None:
        """The call met that debt. What stands in the list rises: of each it is the lowest of all from there on."""
        lows = self._lows
        while lows and lows[-1][1] >= debt:
            lows.pop()
        if len(lows) < REMEMBERED:
            lows.append((nth, debt))
        else:
            lows[-1] = nth, lows[-1][1]

    def __repr__(self) -> str:
        return f"<Gcra {self.policy.rate:g} in {self.policy.per:g} s, {self._burst} at once>"
