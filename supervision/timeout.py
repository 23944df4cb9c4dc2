"""The time-out of a call or a block. It stands apart because of one question: whose cancellation is it?

The clock cancels the task, as anybody else may at the same moment. asyncio counts the requests, and a cancellation is
the clock's own only if, with its own request taken back, there are no more of them than before. `asyncio.timeout` goes
by the same rule, but costs more, and its timers keep a copy of the caller's context until long after the call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from types import TracebackType
from typing import TypeVar

import msgspec

from upright.actors.policies import TIMEOUT, House

from .checks import more_than, named

R = TypeVar("R")


class Timeout(msgspec.Struct, frozen=True):
    """What it guards may take so many `seconds` for each attempt; more than 0, and `inf` for as long as it likes.

    Then the code is cancelled and, once it has ended, the builtin `TimeoutError` raised in the place of its
    `CancelledError`. A cancellation from outside stays a `CancelledError`, also one at the very same moment. Code that
    swallows its cancellation is waited for, and what it returns or raises instead counts.

    For a time in all, put one of another name around the attempts, as here around three of them. Of two in one
    `guards.call` both stand inside of all other policies, so that each would be for every single attempt.

    Raises `ValueError` for what cannot be.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> QUOTES, IN_ALL = Timeout("quotes", 0.02), Timeout("quotes in all", 60.0)
    >>> async def main() -> None:
    ...     guards = Guards()
    ...     async with guards.guard(IN_ALL):
    ...         for _ in range(3):
    ...             try:
    ...                 await guards.call(QUOTES, asyncio.sleep, 10.0)
    ...             except TimeoutError as error:
    ...                 print(error)
    >>> asyncio.run(main())
    expected 'quotes' to take no more than 0.02 seconds
    expected 'quotes' to take no more than 0.02 seconds
    expected 'quotes' to take no more than 0.02 seconds
    >>> Timeout("quotes", 0)
    Traceback (most recent call last):
    ...
    ValueError: expected seconds to be more than 0, got 0
    """

    key = ""
    weight = 1
    rank = TIMEOUT

    name: str
    seconds: float

    def __post_init__(self) -> None:
        named("name", self.name)
        more_than("seconds", self.seconds, 0)

    @property
    def plain(self) -> "Timeout":
        return self

    def open(self, house: House) -> "Clock":
        """What runs calls against the clock; it remembers nothing of them."""
        return Clock(self)


class Clock:
    """A time-out at work. Made by `Timeout.open`."""

    __slots__ = ("policy", "context")

    def __init__(self, policy: Timeout) -> None:
        self.policy = policy
        # A cancelled timer stays in the loop's heap, and would keep the context of the message there: see the seats.
        self.context = Context()

    async def around(self, call: Callable[[], Awaitable[R]]) -> R:
        """Run the call, for so long."""
        with Limit(self):
            return await call()

    def block(self) -> "Limit":
        """The same for a block."""
        return Limit(self)


class Limit:
    """The time of one attempt, once, in the task that enters it."""

    __slots__ = ("_before", "_clock", "_is_late", "_task", "_timer")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_late = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError(f"expected {self._clock.policy!r} to guard code of a task")
        self._task, self._before = task, task.cancelling()
        self._timer = task.get_loop().call_later(self._clock.policy.seconds, self._expire, context=self._clock.context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if not self._is_late:
            return
        others = self._task.uncancel() > self._before  # ours is taken back, whatever the code made of it
        if isinstance(error, asyncio.CancelledError) and not others:
            policy = self._clock.policy
            raise TimeoutError(f"expected {policy.name!r} to take no more than {policy.seconds} seconds") from error

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _expire(self) -> None:
        self._is_late = True
        self._task.cancel()
