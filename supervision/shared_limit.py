"""A rate limit that several processes share: tokens are lent from the bucket in their store, a few at a time.

Here is the borrower's side, without a loop. A token that was lent and not used within a second is not used at all, also
one that was given back: so what goes in any t seconds was lent in these, or in the second before. Where there is little
to do, a little less goes than the limit allows.

For a call that counts for much all its tokens are lent at once, and if there are too few, those to come: it has a claim
to them, and nobody who needs little can take them from under it, in whatever process.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from upright.actors.policies import House

from .errors import RateLimited

AHEAD = 0.1
"""Tokens are lent for so many seconds at a time: each loan is a commit in the store."""
FRESH = 1.0
"""Seconds for which a token that was lent may be used."""
LOOK_AGAIN = 1.0
"""Seconds after which it looks whether there is a store again."""
Answer = Callable[[int, float], None]
"""Told how many tokens were lent, and in how many seconds they may be used; if none, in how many there may be some."""


class Terms(NamedTuple):
    """The bucket: `interval` seconds a token, and `burst` tokens at most."""

    interval: float
    burst: int


class Lender(Protocol):
    """Who has the buckets."""

    def lend(self, name: str, terms: Terms, least: int, wanted: int, answer: Answer) -> None:
        """Lend up to so many tokens, and not fewer than `least`, or none; answer later."""
        ...


@runtime_checkable
class Lends(Protocol):
    """A house whose store has buckets. `lender`: None where there is no store."""

    lender: Lender | None


class Lot(NamedTuple):
    """Tokens of one loan, or what is left of them: how many, and from when until when they may be used."""

    tokens: int
    since: float
    until: float


class SharedBucket:
    """The tokens that this process has; `RateLimit` with `shared=True` is its policy."""

    is_shut = False

    def __init__(self, name: str, terms: Terms, longest_wait: float, most_waiting: float, house: House) -> None:
        self._name, self._terms, self._house = name, terms, house
        self.longest_wait, self.most_waiting = longest_wait, most_waiting
        self._lots: list[Lot] = []  # the one that goes bad first is the first
        self._asking = False
        self._again_at = float("-inf")
        self._changed: Callable[[], None] = _nobody

    def listen(self, changed: Callable[[], None]) -> None:
        """Call that when tokens have come."""
        self._changed = changed

    def room(self, now: float) -> float:
        """How many calls of weight 1 may go now; where none may, tokens are asked for."""
        usable = self._usable(now)
        if usable < 1:
            self._ask(now, 1)
            usable = self._usable(now)
        return usable

    def wanted(self, now: float, weight: int) -> None:
        """Somebody waits who counts for so many: ask for as much, if it is not here."""
        if self._usable(now) < weight:
            self._ask(now, min(weight, self._terms.burst))

    def enter(self, now: float, patient: bool, weight: int) -> list[Lot] | None:
        """Tokens for a call of that weight; None if there are too few, and then they are asked for."""
        if self._usable(now) < weight:
            self._ask(now, weight)
            return None
        taken: list[Lot] = []
        left: list[Lot] = []
        for lot in self._lots:
            uses = min(weight, lot.tokens) if lot.since <= now else 0
            weight -= uses
            if uses:
                taken.append(lot._replace(tokens=uses))
            if uses < lot.tokens:
                left.append(lot._replace(tokens=lot.tokens - uses))
        self._lots = left
        return taken

    def _usable(self, now: float) -> int:
        if self._lots and self._lots[0].until < now:
            self._lots = [lot for lot in self._lots if lot.until >= now]
        return sum(lot.tokens for lot in self._lots if lot.since <= now)

    def _ask(self, now: float, least: int) -> None:
        lender = self._lender
        if self._asking or now < self._again_at or lender is None:
            return
        self._asking = True
        ahead = math.ceil(AHEAD / self._terms.interval)
        lender.lend(self._name, self._terms, least, min(max(least, ahead), self._terms.burst), self._answered)

    @property
    def _lender(self) -> Lender | None:
        return self._house.lender if isinstance(self._house, Lends) else None

    def _answered(self, lent: int, wait: float) -> None:
        now = self._house.now()
        self._asking = False
        self._again_at = now + wait
        if lent:
            self._add(Lot(lent, now + wait, now + wait + FRESH))
        self._changed()

    def _add(self, lot: Lot) -> None:
        self._lots.append(lot)
        self._lots.sort(key=lambda one: one.until)

    def leave(self, token: list[Lot], error: BaseException | None, took: float, now: float) -> None:
        """A call that was made counts, whatever became of it."""

    def give_back(self, token: list[Lot], now: float) -> None:
        """There was no call: its tokens may be used by another one, for as long as they would have been good."""
        for lot in token:
            if lot.until >= now:
                self._add(lot)

    def opens_at(self, now: float) -> float:
        """When it is worth asking the store again; while it is asked, `listen` tells."""
        if self._asking:
            return float("inf")
        return max(self._again_at, now if self._lender is not None else now + LOOK_AGAIN)

    def refusal(self, now: float) -> RateLimited:
        wait = max(self._again_at - now, self._terms.interval)
        return RateLimited(f"rate limit {self._name} has no token for {wait:.3g} s", self._name, wait)

    def setback(self) -> float:
        return 0.0

    def is_idle(self, now: float) -> bool:
        """Whether it has nothing that could still be used."""
        return not self._asking and all(lot.until < now for lot in self._lots)

    def __repr__(self) -> str:
        return f"<SharedBucket {self._name}, {sum(lot.tokens for lot in self._lots)} tokens here>"


def _nobody() -> None:
    """Nobody waits."""
