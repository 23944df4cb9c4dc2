"""The task that carries actors, as whoever looks at tasks sees it: under the name, and with the stack, of the handler.

`asyncio.all_tasks()`, `print_stack`, the debug mode's log of slow callbacks: all of them would show the run queue's own
coroutine, which tells nobody anything.
"""

import asyncio
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Protocol

from .frames import frames_of

RESTING = "upright carrier"


class Carried(Protocol):
    """What can be seen of a job: `stack`, the steps that wait for something, and `turn`, the message in hand."""

    stack: Coroutine[Any, Any, Any] | None

    @property
    def path(self) -> str: ...
    @property
    def turn(self) -> Any: ...


class Running(Protocol):
    """Who knows which job's code runs at this instant."""

    now: Any


class Carrier(asyncio.Task[None]):
    """Looks like a task of the handler that runs or waits in it. A name that is set is not kept: it has many owners.

    It has no `__init__`, since one is made for each wait; whoever makes it sets `running`, and `struck` to False.
    """

    __slots__ = ("struck",)
    struck: bool
    """Whether it was ever cancelled; a slot, for it is asked for after every activation."""
    running: Running
    job: Carried | None = None
    """The one that it stays with."""
    after: str = ""
    """The path of the one that it carried last, while the loop is in debug mode, where each ends a step of its own: a
    step that took long is logged with the name that the task has then.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the handler that waits in it; or, while one runs, this task, which then carries nobody else."""
        self.struck = True
        return super().cancel(msg)

    def get_name(self) -> str:
        """The actor's path and the handler; from any thread."""
        job: Carried | None = self.job
        if job is None and asyncio.current_task(self.get_loop()) is self:
            job = self.running.now
        if job is None:
            return f"{RESTING} after {self.after}" if self.after else RESTING
        turn = job.turn
        return f"{job.path} {turn.handler.name}" if turn is not None else job.path

    def get_coro(self) -> Any:
        """The steps of the one that it stays with, for those who follow what a coroutine waits for."""
        job = self.job
        steps = job.stack if job is not None else None
        return steps if steps is not None else super().get_coro()

    def get_stack(self, *, limit: int | None = None) -> list[FrameType]:
        """The frames of the code that waits, from the handler in."""
        job = self.job
        if job is None or job.stack is None:
            return super().get_stack(limit=limit)
        frames = frames_of(job.stack)
        drains = getattr(job.stack, "cr_frame", None) is not None  # the accelerator's drain has no frame
        inner = (frames[1:] if drains else frames) or frames
        return inner if limit is None else inner[max(len(inner) - limit, 0) :]
