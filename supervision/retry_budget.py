"""How many retries a dependency gets beside its calls. When it fails for everybody, retries would multiply its load.

A token bucket as in Finagle's `RetryBudget` (Twitter, com.twitter.finagle.service): each call pays in a part of a
token, and each retry takes a whole one. Unlike there a retry that finds none is put off and not dropped: it takes a
token that is still to come, and the next one the one after that, so that they come back one by one.
"""

from typing import Protocol, runtime_checkable

import msgspec

from upright.actors.errors import GuardRefused
from upright.actors.gate import Gate
from upright.actors.policies import BUDGET, House, Policy

from .checks import at_least, dependency, is_number, line, positive
from .events import RetryBudgetSpent

WHOLE = 1.0 - 1e-9
"""What counts as a token: ten times 0.1 are a little less than 1."""


@runtime_checkable
class HasGates(Protocol):
    """A house that knows the other policies at work in it, as `Guards` does."""

    def gate(self, policy: Policy) -> Gate:
        """The gate of a policy."""
        ...


class RetryBudget(msgspec.Struct, frozen=True):
    """How many retries of calls to the dependency `name` may go out, beside its calls, in a system.

    `ratio`: what each call pays in, in retries: with 0.1 a tenth of the calls may be retried, and the load never grows
    by more than that. `per_second`: retries that come in by time alone, for a dependency with few calls. `most`: how
    many are saved up; the budget begins with as many. `longest_wait`: seconds that a retry waits in line within a call
    (see `retry`), 60 by default.

    An actor names it, `uses = (SMTP_RETRIES,)`: its messages are the calls, and those of a durable mailbox that are
    tried again are put off when there is no retry left, however long that takes; none is dropped.
    The budget itself refuses nobody. Each time that it runs out it tells `RetryBudgetSpent`.

    Raises `ValueError` for what cannot be.

    >>> RetryBudget("smtp", ratio=2)
    Traceback (most recent call last):
    ...
    ValueError: expected ratio to be between 0 and 1, got 2
    """

    name: str
    ratio: float = 0.1
    per_second: float = 1.0
    most: float = 10.0
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        dependency(self.name, self.key)
        if not is_number(self.ratio) or not 0 <= self.ratio <= 1:
            raise ValueError(f"expected ratio to be between 0 and 1, got {self.ratio!r}")
        positive("per_second", self.per_second, " retries")
        at_least("most", self.most, 1, " retries")
        positive("most", self.most, " retries")
        line(self.longest_wait, "most_waiting", float("inf"))

    @property
    def key(self) -> str:
        return ""

    @property
    def weight(self) -> int:
        return 1

    @property
    def rank(self) -> int:
        return BUDGET

    @property
    def plain(self) -> "RetryBudget":
        return self

    @property
    def retry(self) -> "RetryPermit":
        """The policy to put around a retry within a call, in a loop of one's own or of stamina or tenacity."""
        return RetryPermit(self)

    def open(self, house: House) -> "Deposits":
        """Its tokens, as many as there may be."""
        return Deposits(self, house)


class RetryPermit(msgspec.Struct, frozen=True):
    """What a retry within a call has to have: it waits in line until the `budget` has a token for it.

    It waits for `longest_wait` seconds of the budget at most, and raises `GuardRefused` then. Where a guard behind it
    refuses, the token goes back. Made by `RetryBudget.retry`, and at work in the guards in which its budget is.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> SMTP_RETRIES = RetryBudget("smtp")
    >>> async def main() -> str:
    ...     guards = Guards()
    ...     for attempt in range(1, 4):
    ...         try:
    ...             async with guards.guard(SMTP_RETRIES if attempt == 1 else SMTP_RETRIES.retry):
    ...                 if attempt < 3:
    ...                     raise ConnectionError("no route")
    ...                 return f"sent, attempt {attempt}"
    ...         except ConnectionError:
    ...             continue
    ...     return "not sent"
    >>> asyncio.run(main())
    'sent, attempt 3'
    """

    budget: RetryBudget

    @property
    def name(self) -> str:
        return self.budget.name

    @property
    def key(self) -> str:
        return ""

    @property
    def weight(self) -> int:
        return 1

    @property
    def rank(self) -> int:
        return BUDGET

    @property
    def plain(self) -> "RetryPermit":
        return self

    def open(self, house: House) -> "Withdrawals":
        """The line in front of the budget's tokens. Raises `TypeError` in a house that does not know its budget."""
        if not isinstance(house, HasGates):
            raise TypeError(f"expected a house that knows its policies, such as Guards(), got {house!r}")
        deposits = house.gate(self.budget).machine
        if not isinstance(deposits, Deposits):
            raise TypeError(f"expected the budget {self.name} at work, got {deposits!r}")
        return Withdrawals(deposits)


class Deposits:
    """The tokens of one dependency in one system; `RetryBudget` is its policy. Below 0 they are promised ones.

    Calls pass by and pay in. Who tries again asks `put_off`, or waits in line; see `Withdrawals`.
    """

    longest_wait = 0.0
    """Nobody ever waits here."""
    most_waiting = 0.0
    is_shut = False

    def __init__(self, policy: RetryBudget, house: House) -> None:
        self.policy, self._house = policy, house
        self._tokens, self._counted = policy.most, float("-inf")
        self._is_spent = False

    def tokens(self, now: float) -> float:
        """How many retries may go out now; below 0, how many that were put off have not had their turn yet."""
        if now > self._counted:
            self.pay((now - self._counted) * self.policy.per_second)
            self._counted = now
        return self._tokens

    def pay(self, tokens: float) -> float:
        """Pay in as much as there is place for; how much it was. Take that out, if it is below 0."""
        paid = min(tokens, self.policy.most - self._tokens)
        self._tokens += paid
        return paid

    def room(self, now: float) -> float:
        return float("inf")

    def enter(self, now: float, patient: bool, weight: int) -> float:
        """A call: what it paid in."""
        self.tokens(now)
        return self.pay(self.policy.ratio * weight)

    def leave(self, token: float, error: BaseException | None, took: float, now: float) -> None:
        """What it paid stays, however it ended."""

    def give_back(self, token: float, now: float) -> None:
        """There was no call, and nothing that could be tried again."""
        self.tokens(now)
        self.pay(-token)

    def put_off(self, now: float) -> float:
        """Take a token for a retry: 0.0 if there is one, else the seconds by which it is to be put off."""
        is_there = self.has_one(now)
        self.pay(-1.0)
        return 0.0 if is_there else self.ran_out(-self._tokens)

    def has_one(self, now: float) -> bool:
        """Whether a retry may go out now."""
        if self.tokens(now) < WHOLE:
            return False
        self._is_spent = False
        return True

    def ran_out(self, missing: float) -> float:
        """So many tokens are missing: the seconds in which they come in. Told once, until there was a token again."""
        wait = missing / self.policy.per_second
        if not self._is_spent:
            self._is_spent = True
            self._house.tell(RetryBudgetSpent("/", self.policy.name, wait))
        return wait

    def opens_at(self, now: float) -> float:
        return float("inf")

    def refusal(self, now: float) -> GuardRefused:
        wait = max(0.0, 1.0 - self.tokens(now)) / self.policy.per_second
        text = f"retry budget {self.policy.name} has no retry left for {wait:.3g} s"
        return GuardRefused(text, self.policy.name, wait)

    def setback(self) -> float:
        """It says so when it is asked for a retry."""
        return 0.0

    def is_idle(self, now: float) -> bool:
        return self.tokens(now) >= self.policy.most

    def __repr__(self) -> str:
        return f"<Deposits {self._tokens:.3g}/{self.policy.most:g} retries>"


class Withdrawals:
    """Retries within calls; `RetryPermit` is their policy. The first in line has a token that is still to come.

    So it does not wait for ever behind messages that are put off. If it gives up, the next one has that token.
    """

    is_shut = False
    most_waiting = float("inf")

    def __init__(self, deposits: Deposits) -> None:
        self.longest_wait = deposits.policy.longest_wait
        self._deposits = deposits
        self._promised: float | None = None  # when the token of the first in line is there

    def room(self, now: float) -> int:
        """How many retries may go out now."""
        there = max(0, int(self._deposits.tokens(now) + 1.0 - WHOLE))
        if self._promised is None:
            return there
        return there + 1 if self._is_due(now, self._promised) else 0

    def enter(self, now: float, patient: bool, weight: int) -> bool | None:
        deposits = self._deposits
        if self._promised is None:
            if not patient and not deposits.has_one(now):
                deposits.ran_out(1.0 - deposits.tokens(now))
                return None
            wait = deposits.put_off(now)
            if not wait:
                return True
            self._promised = now + wait
        if not self._is_due(now, self._promised):
            return None
        self._promised = None
        # One that nobody fetched for long does not stand beside a full budget.
        deposits.pay(min(0.0, deposits.policy.most - 1.0 - deposits.tokens(now)))
        return True

    def _is_due(self, now: float, promised: float) -> bool:
        """Whether the promised token is there: in its time, or before, when calls have paid all that was promised."""
        return now >= promised or self._deposits.tokens(now) >= WHOLE - 1.0

    def leave(self, token: bool, error: BaseException | None, took: float, now: float) -> None:
        """The retry was made."""

    def give_back(self, token: bool, now: float) -> None:
        self._deposits.tokens(now)
        self._deposits.pay(1.0)

    def opens_at(self, now: float) -> float:
        if self.room(now):
            return now + 1.0 / self._deposits.policy.per_second
        if self._promised is not None:
            return self._promised
        return now + (1.0 - self._deposits.tokens(now)) / self._deposits.policy.per_second

    def refusal(self, now: float) -> GuardRefused:
        return self._deposits.refusal(now)

    def setback(self) -> float:
        """It knows nothing of messages."""
        return 0.0

    def is_idle(self, now: float) -> bool:
        return self._promised is None and self._deposits.is_idle(now)

    def __repr__(self) -> str:
        return f"<Withdrawals from {self._deposits!r}>"
