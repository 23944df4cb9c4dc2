"""Waiting for another actor without a task: a parent that restarts a child is set aside until the child is up.

A coroutine that waits for a future keeps its carrier, and the run queue needs a new one. A supervisor does not have to:
what it does while it restarts a child enters nothing that is bound to a task (no time-out, no cancel scope, no task
group), so it may go on in whichever carrier comes. Handlers say so by `@portable`; those of users never are.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Shelved(Protocol):
    """A job that can be set aside and resumed."""

    carrier: Any
    stack: Coroutine[Any, Any, Any] | None


class Handover:
    """Awaited by a job that wants `first` to run now, and to go on itself when it is told how that went.

    It looks like the future that it stands in for: `set_result`, `set_exception`, `cancel`, `done`.
    """

    __slots__ = ("_error", "_over", "_resume", "_shelved", "first")

    def __init__(self, first: Any, resume: Callable[[Any], None]) -> None:
        self.first, self._resume = first, resume
        self._shelved: Shelved | None = None
        self._over = False
        self._error: BaseException | None = None

    def shelve(self, job: Shelved, steps: Coroutine[Any, Any, Any]) -> None:
        """Set a job aside; whoever wants to cancel it finds this in the place of its carrier."""
        job.carrier, job.stack, self._shelved = self, steps, job

    def done(self) -> bool:
        """Whether it is known how it went."""
        return self._over

    def set_result(self, _: None) -> None:
        """It went well."""
        self._end(None)

    def set_exception(self, error: BaseException) -> None:
        """It failed."""
        self._end(error)

    def exception(self) -> BaseException | None:
        """Why it failed, if it did."""
        return self._error

    def cancel(self) -> None:
        """Whoever waits shall not wait any longer; also one who was told how it went, but has not gone on yet."""
        if self._over:
            self._error = asyncio.CancelledError()
        else:
            self._end(asyncio.CancelledError())

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._over, self._error = True, error
            if self._shelved is not None:
                self._resume(self._shelved)

    def __await__(self) -> Generator[Any, Any, None]:
        if not self._over:
            yield self
        error, self._error = self._error, None
        if error is not None:
            raise error


def portable(function: F) -> F:
    """Mark a handler of the runtime's own whose coroutine may go on in another task than the one in which it began."""
    function.__portable__ = function  # type: ignore[attr-defined]  # the mark names whom it marks: `functools.wraps` copies it
    return function
