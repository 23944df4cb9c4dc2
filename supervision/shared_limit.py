"""A rate limit that several processes share: tokens are lent from the bucket in their store, a few at a time.

Here is the borrower's side, without a loop. A token that was lent and not used within a second is not used at all: so
there are never more calls than the limit allows, and a little fewer when there is little to do.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from upright.actors.policies import House

from .errors import RateLimited

AHEAD = 0.1
"""Tokens are lent for so many seconds at a time: each loan is a commit in the store."""
FRESH = 1.0
"""Seconds for which a token that was lent may be used."""
Answer = Callable[[int, float], None]
"""Told how many tokens were lent, and if none, in how many seconds there may be one."""


class Terms(NamedTuple):
    """The bucket: `interval` seconds a token, and `burst` tokens at most."""

    interval: float
    burst: int


class Lender(Protocol):
    """Who has the buckets."""

    def lend(self, name: str, terms: Terms, wanted: int, answer: Answer) -> None:
        """Lend up to so many tokens, and answer later."""
        ...


@runtime_checkable
class Lends(Protocol):
    """A house whose store has buckets. `lender`: None where there is no store."""

    lender: Lender | None


class SharedBucket:
    """The tokens that this process has; `RateLimit` with `shared=True` is its policy."""

    is_shut = False

    def __init__(self, name: str, terms: Terms, longest_wait: float, most_waiting: float, house: House) -> None:
        self._name, self._terms, self._house = name, terms, house
        self.longest_wait, self.most_waiting = longest_wait, most_waiting
        self._tokens = 0
        self._fresh_until = 0.0
        self._asking = False
        self._again_at = float("-inf")
        self._changed: Callable[[], None] = _nobody

    def listen(self, changed: Callable[[], None]) -> None:
        """Call that when tokens have come."""
        self._changed = changed

    def room(self, now: float) -> float:
        """How many calls of weight 1 may go now; where none may, tokens are asked for."""
        if now > self._fresh_until:
            self._tokens = 0
        if self._tokens < 1:
            self._ask(now, 1)
        return self._tokens

    def enter(self, now: float, patient: bool, weight: int) -> Any:
        """A token, its weight; None if there are too few, and then more are asked for."""
        if now > self._fresh_until:
            self._tokens = 0
        if self._tokens < weight:
            self._ask(now, weight - self._tokens)
            return None
        self._tokens -= weight
        return weight

    def _ask(self, now: float, least: int) -> None:
        lender = self._house.lender if isinstance(self._house, Lends) else None
        if self._asking or now < self._again_at or lender is None:
            return
        self._asking = True
        ahead = math.ceil(AHEAD / self._terms.interval)
        lender.lend(self._name, self._terms, min(max(least, ahead), self._terms.burst), self._answered)

    def _answered(self, lent: int, wait: float) -> None:
        now = self._house.now()
        self._asking = False
        self._again_at = now + wait
        if lent:
            self._tokens = lent + (self._tokens if now <= self._fresh_until else 0)
            self._fresh_until = now + FRESH
        self._changed()

    def leave(self, token: Any, error: BaseException | None, took: float, now: float) -> None:
        """A call that was made counts, whatever became of it."""

    def give_back(self, token: Any, now: float) -> None:
        """There was no call: its token may be used by another one."""
        self._tokens += token

    def opens_at(self, now: float) -> float:
        """When it is worth asking the store again; while it is asked, `listen` tells."""
        return float("inf") if self._asking else max(self._again_at, now)

    def refusal(self, now: float) -> RateLimited:
        wait = max(self._again_at - now, self._terms.interval)
        return RateLimited(f"rate limit {self._name} has no token for {wait:.3g} s", self._name, wait)

    def setback(self) -> float:
        return 0.0

    def is_idle(self, now: float) -> bool:
        """Whether it has nothing that could still be used."""
        return not self._asking and (now > self._fresh_until or not self._tokens)

    def __repr__(self) -> str:
        return f"<SharedBucket {self._name}, {self._tokens} tokens here>"


def _nobody() -> None:
    """Nobody waits."""
