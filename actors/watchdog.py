"""The watchdog: a thread that sees when something holds up the event loop, and says where, while it lasts."""

import asyncio
import threading
import time

from .dispatcher import Job
from .events import LoopBlocked
from .frames import stack_of
from .incarnation import Incarnation
from .runtime import Runtime


class Watchdog:
    """Asks the loop for a sign of life a few times per `limit`, as long as any actor has something to do.

    The event is emitted from this thread, since a blocked loop could not; one for each time that the loop is held up,
    not one per look. An idle system is not disturbed.
    """

    def __init__(self, runtime: Runtime, limit: float) -> None:
        self._runtime, self._limit = runtime, limit
        self._stop = threading.Event()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="upright watchdog", daemon=True)
        self._answered = 0

    def start(self) -> None:
        """Start to watch the thread that calls this."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        asked, since, told = 0, time.monotonic(), False
        while not self._stop.wait(self._limit / 4):
            if self._runtime.loop.is_closed():  # without stopping the system
                return
            now = time.monotonic()
            if self._answered == asked:
                if self._runtime.activity.count:
                    asked, since, told = asked + 1, now, False
                    self._ask(asked)
            elif not told and now - since >= self._limit:
                told = True
                self._report(now - since)

    def _ask(self, number: int) -> None:
        try:
            self._runtime.loop.call_soon_threadsafe(self._answer, number)
        except RuntimeError:  # closed since we looked
            self._stop.set()

    def _answer(self, number: int) -> None:
        self._answered = number

    def _report(self, blocked: float) -> None:
        job: Job | Incarnation | None = self._runtime.dispatcher.now
        turn = job.turn if isinstance(job, Incarnation) else None
        path, handler = (job.path, turn.handler.name) if job is not None and turn is not None else self._task()
        stack = stack_of(self._loop_thread)
        if stack is not None:
            self._runtime.bus.emit(LoopBlocked(path, handler, blocked, stack))

    def _task(self) -> tuple[str, str]:
        """The actor's path and the handler of the task that runs, if it is one of ours: they are in its name."""
        task = asyncio.current_task(self._runtime.loop)
        name = task.get_name() if task is not None else ""
        path, _, handler = name.partition(" ")
        return (path, handler) if path.startswith("/") else ("", name)
