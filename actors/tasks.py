"""An incarnation's own asyncio tasks:

background work, piped results, overlapping handlers. They end with the incarnation.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

from .durable import Delivered, WorkSeat
from .envelope import Envelope, Host
from .seat import TURN, Seat

Outcome = Callable[[Envelope, BaseException | None], None]


class Tasks:
    """Starts tasks in a context of their own, hears of their end, and cancels what is left.

    `ended` is called, on the loop, with the task's turn and the error that it raised, if any; a cancelled task has
    none.
    """

    __slots__ = ("_counts", "_ended", "_host", "_loop", "_running")

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host, ended: Outcome) -> None:
        self._loop, self._host, self._ended = loop, host, ended
        self._counts: Counter[str] = Counter()
        self._running: dict[asyncio.Task[Any], tuple[Envelope, object]] = {}

    def start(
        self, work: Coroutine[Any, Any, Any], turn: Envelope, name: str, inner: object = None
    ) -> asyncio.Task[Any]:
        """Run `work` in the turn given. `inner`: an awaitable that `work` holds, closed should `work` never begin."""
        context = Context()
        context.run(TURN.set, (WorkSeat if isinstance(turn, Delivered) else Seat)(self._host, turn))
        task: asyncio.Task[Any] = asyncio.Task(work, loop=self._loop, name=name, context=context)
        self._running[task] = (turn, inner)
        self._counts[turn.handler.name] += 1
        task.add_done_callback(self._done)
        return task

    def count(self, name: str) -> int:
        """How many tasks of that handler run."""
        return self._counts[name]

    def turns(self) -> list[Envelope]:
        """The turns of all tasks that run."""
        return [turn for turn, _ in self._running.values()]

    def cancel(self, only: Envelope | None = None, again: bool = False) -> None:
        """Ask all, or those of one turn, to end; `join` waits for them.

        One that was asked already is asked `again` only when its time is up: it may be waiting in a `finally`.
        """
        for task, (turn, _) in tuple(self._running.items()):
            if (only is None or turn is only) and (again or not task.cancelling()):
                task.cancel()

    def all(self) -> tuple[asyncio.Task[Any], ...]:
        """The tasks that run."""
        return tuple(self._running)

    async def join(self) -> None:
        """Wait until all have ended."""
        while self._running:
            await asyncio.wait(tuple(self._running))
            await asyncio.sleep(0)  # their done callbacks, which empty the table, run in the loop's next turn

    def _done(self, task: asyncio.Task[Any]) -> None:
        turn, inner = self._running.pop(task)
        self._counts[turn.handler.name] -= 1
        if asyncio.iscoroutine(inner) and not getattr(inner, "cr_suspended", True):
            inner.close()  # its task was cancelled before its first step: "never awaited" would be noise
        self._ended(turn, None if task.cancelled() else task.exception())


async def deliver(
    awaitable: Awaitable[Any],
    succeeded: Callable[[Any], None],
    failed: Callable[[Exception], None] | None,
) -> None:
    """Wait for a piped result and hand it on; without `failed` an error crashes the actor, as its own would."""
    error: Exception
    try:
        result = await awaitable
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        error = RuntimeError("what was piped was cancelled by somebody else")
        if failed is None:
            raise error from None
        failed(error)
    except Exception as raised:
        if failed is None:
            raise
        failed(raised)
    else:
        succeeded(result)
