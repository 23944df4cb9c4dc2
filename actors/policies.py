"""What guards a call, as protocols: the wing `supervision` fulfils them, and so may a user.

A *policy* is a frozen value with a name, such as `CircuitBreaker("smtp")`. What it remembers belongs to a system and
is made there once for each name: a *machine* is asked before a call and told of its outcome; an *envelope of a call*,
`Wrapper`, has nothing to ask, and runs the call in its own way. Neither knows actors, mailboxes or a loop.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from .errors import GuardRefused
from .events import Event

R = TypeVar("R")


class House(Protocol):
    """What a policy at work may ask of the system that it works in. `rng`: for jitter."""

    rng: random.Random

    @property
    def allows_chaos(self) -> bool:
        """Whether trouble may be made on purpose."""
        ...

    def now(self) -> float:
        """Seconds on the loop's clock."""
        ...

    def tell(self, event: Event) -> None:
        """Let subscribers hear of it."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, which go on over restarts of the program."""
        ...

    def recall(self, name: str) -> bytes | None:
        """What was remembered under that name, in this run of the program or in an earlier one."""
        ...

    def remember(self, name: str, record: bytes) -> None:
        """Keep that under that name; where there is a store, over restarts of the program too."""
        ...


@runtime_checkable
class Machine(Protocol):
    """A policy at work. All times are seconds on one monotonic clock; nothing here waits.

    `longest_wait`: seconds that a call may wait in line for its turn. `most_waiting`: how many calls may.
    `is_shut`: nobody gets through for some time, so that those who were let near had better go elsewhere.
    """

    @property
    def longest_wait(self) -> float: ...
    @property
    def most_waiting(self) -> float: ...
    @property
    def is_shut(self) -> bool: ...
    def room(self, now: float) -> float:
        """How many of those who can wait would be let through now."""
        ...

    def enter(self, now: float, patient: bool, weight: int) -> Any:
        """Let one through that counts for so many: a token of its visit, never None; None refuses. `patient`: it could
        wait for its turn.
        """
        ...

    def leave(self, token: Any, error: BaseException | None, took: float, now: float) -> None:
        """The call has ended after `took` seconds; a cancelled one with its `CancelledError`."""
        ...

    def give_back(self, token: Any, now: float) -> None:
        """There was no call."""
        ...

    def opens_at(self, now: float) -> float:
        """When asking again may help though nobody leaves; `inf` if it cannot."""
        ...

    def refusal(self, now: float) -> GuardRefused:
        """The error for a call that was not let through."""
        ...

    def setback(self) -> float:
        """Seconds for which a message that has failed here had better wait: 0 while nothing seems to be wrong."""
        ...

    def is_idle(self, now: float) -> bool:
        """Whether a new one in its place would do the same."""
        ...


@runtime_checkable
class Wrapper(Protocol):
    """A policy that has nothing to ask before a call, and runs it in its own way. One that may run it several times
    says so by an attribute `repeats`, which is true; one that raises errors in the place of the dependency by
    `stands_in`, which its block has too.
    """

    async def around(self, call: Callable[[], Awaitable[R]]) -> R:
        """Run the call, once, never, or several times."""
        ...

    def block(self) -> AbstractAsyncContextManager[Any]:
        """The same around a block of code, where that is possible; else it raises `TypeError`."""
        ...


class Policy(Protocol):
    """A frozen value that says how calls of one dependency are guarded.

    `name`: the dependency's. `key`: whose calls, in a policy that knows each caller apart; else empty. `weight`: for
    how many one call counts. `plain`: the policy without key and weight; all of one name must agree in it. `rank`: its
    place among others around one call, the outermost has the lowest.
    """

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def plain(self) -> "Policy": ...
    @property
    def rank(self) -> int: ...
    def open(self, house: House) -> Machine | Wrapper:
        """What remembers, for one system."""
        ...


def is_policy(given: object) -> bool:
    """Whether that can be opened; a class of policies has yet to be called."""
    return callable(getattr(given, "open", None)) and not isinstance(given, type)


FALLBACK, HEDGE, BUDGET, BREAKER, RATE, BULKHEAD, TIMEOUT, CHAOS = range(10, 90, 10)
"""Ranks of the policies that there are, the outermost first."""
