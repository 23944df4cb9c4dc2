"""The hedge of a slow call: the same call once more beside it, and the first good answer wins.

It stands apart because it alone runs a call more than once. The idea is Dean's and Barroso's, "The Tail at Scale",
2013: a second request after the time that 95 in 100 calls take costs 5 % more calls, and cuts off the long tail.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import msgspec

from upright.actors.message import told
from upright.actors.policies import HEDGE, House

from .checks import at_least, named, whole
from .events import CallHedged

R = TypeVar("R")


class Hedge(msgspec.Struct, frozen=True):
    """FOR CALLS THAT ONLY READ. A call that changes anything changes it twice: never hedge a payment.

    After `after` seconds (0 or more; `inf`: only after a failure) without an acceptable answer, the call is made again
    beside itself, and so on up to `calls` in all, 2 or more. One that fails, or whose answer is not acceptable, has the
    next one made at once. `accepts`: a plain function of an answer, whether it is acceptable; without one every answer
    is, and no error. The first acceptable answer wins; of two at one moment, that of the call that began first.

    If no answer is acceptable, the one of the call that began first is returned all the same; and if all calls failed,
    the error of the first is raised, as it would have been without a hedge, with those of the others as notes. What is
    no `Exception` (a cancellation within the call, say) and what `accepts` raises end it all at once.

    Before it returns or raises, all calls have ended: the others are cancelled and waited for, also one that swallows
    its cancellation; what they raise by then is dropped. A cancellation from outside is handed on to all.

    Each call runs in a task and in a copy of the caller's context: what it sets there, the caller does not see. A block
    cannot be hedged. Each further call is told as `CallHedged`. Raises `ValueError` and `TypeError` for what cannot be.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> QUOTES = Hedge("quotes", after=0.01)
    >>> waits = [10.0, 0.0]
    >>> async def quote(symbol: str) -> str:
    ...     await asyncio.sleep(waits.pop(0))
    ...     return f"{symbol} at 12"
    >>> async def main() -> str:
    ...     return await Guards(print).call(QUOTES, quote, "ACME")
    >>> asyncio.run(main())
    CallHedged(path='/', hedge='quotes', calls=2)
    'ACME at 12'
    >>> Hedge("quotes", after=0.01, calls=1)
    Traceback (most recent call last):
    ...
    ValueError: expected calls to be 2 or more, got 1
    """

    key = ""
    weight = 1
    rank = HEDGE

    name: str
    after: float
    calls: int = 2
    accepts: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        named("name", self.name)
        at_least("after", self.after, 0, " seconds")
        whole("calls", self.calls, 2)
        if self.accepts is not None and (not callable(self.accepts) or inspect.iscoroutinefunction(self.accepts)):
            raise TypeError(f"expected accepts to be a plain function of an answer, got {self.accepts!r}")

    @property
    def plain(self) -> "Hedge":
        return self

    def open(self, house: House) -> "Hedged":
        """What makes calls beside each other; it remembers nothing of them."""
        return Hedged(self, house)


class Hedged:
    """A hedge at work. Made by `Hedge.open`."""

    __slots__ = ("_house", "_policy")
    repeats = True

    def __init__(self, policy: Hedge, house: House) -> None:
        self._policy, self._house = policy, house

    async def around(self, call: Callable[[], Awaitable[R]]) -> R:
        """Run the call, and again beside itself, until there is an answer."""
        begun: list[asyncio.Task[R]] = []
        unjudged: list[asyncio.Task[R]] = []
        try:
            while len(begun) < self._policy.calls:
                if begun:
                    self._house.tell(CallHedged("/", self._policy.name, len(begun) + 1))
                task = asyncio.create_task(_run(call))
                begun.append(task)
                unjudged.append(task)
                winner = await self._winner(unjudged, is_last=len(begun) == self._policy.calls)
                if winner is not None:
                    return winner.result()
        finally:
            await _end(begun)
        return self._second_best(begun)

    async def _winner(self, unjudged: list["asyncio.Task[R]"], is_last: bool) -> "asyncio.Task[R] | None":
        """Wait for the call that wins; None when another one is due, or when none is left and none can win."""
        while unjudged:
            wait = None if is_last else self._policy.after
            await asyncio.wait(unjudged, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in unjudged if task.done()]:
                unjudged.remove(task)
                if self._wins(task):
                    return task
            if not is_last:
                break
        return None

    def _wins(self, task: "asyncio.Task[R]") -> bool:
        """Whether that is the end of it all: an acceptable answer, or what is worse than an error."""
        if task.cancelled():
            return True
        error = task.exception()
        if error is not None:
            return not isinstance(error, Exception)
        return self._policy.accepts is None or bool(self._policy.accepts(task.result()))

    def _second_best(self, begun: list["asyncio.Task[R]"]) -> R:
        """The answer of the first that gave one; else the error of the first, with the others as notes."""
        for task in begun:
            if task.exception() is None:
                return task.result()
        first, *others = [task.exception() for task in begun]
        assert first is not None
        for number, error in enumerate(others, 2):
            if error is not None and error is not first:
                first.add_note(f"hedge {self._policy.name!r}: call {number} of {len(begun)} failed too: {told(error)}")
        raise first

    def block(self) -> AbstractAsyncContextManager[Any]:
        """Raises `TypeError`: what stands in a block can only run once."""
        raise TypeError(
            f"expected a call for {self._policy!r}, for a block cannot run twice:"
            " `await guards.call(HEDGE, function, …)`"
        )


async def _run(call: Callable[[], Awaitable[R]]) -> R:
    return await call()


async def _end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel these, and wait until they have ended; a cancellation from outside meanwhile is handed on, and counts."""
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it counts as seen, or asyncio would complain of it
    if cancelled is not None:
        raise cancelled
