"""The watchdog: a thread that sees when a handler holds up the event loop, and says where, while it lasts."""

import sys
import threading
import time
import traceback

from .bus import EventBus
from .dispatcher import Dispatcher, Job
from .events import LoopBlocked
from .incarnation import Incarnation


class Watchdog:
    """Looks a few times per `limit` whether the same handler still runs, without having waited once.

    It costs the loop nothing: it reads what the dispatchers note anyway. The event is emitted from this thread, since
    a blocked loop could not; one for each time that a handler blocks, not one per look.
    """

    def __init__(self, dispatcher: Dispatcher, bus: EventBus, limit: float) -> None:
        if not limit > 0:
            raise ValueError(f"expected blocked_after to be more than 0 seconds, got {limit!r}")
        self._dispatcher, self._bus, self._limit = dispatcher, bus, limit
        self._stop = threading.Event()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="upright watchdog", daemon=True)

    def start(self) -> None:
        """Start to watch the thread that calls this."""
        self._loop_thread = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        seen: object = None
        since, told = time.monotonic(), False
        while not self._stop.wait(self._limit / 4):
            job: Job | Incarnation | None = self._dispatcher.now
            turn = job.turn if isinstance(job, Incarnation) else None
            now = time.monotonic()
            if turn is None or turn is not seen:
                seen, since, told = turn, now, False
            elif not told and now - since >= self._limit:
                told = True
                handler = turn.handler.name
                self._bus.emit(LoopBlocked(job.path if job is not None else "", handler, now - since, self._stack()))

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return ""
        return "".join(traceback.StackSummary.extract(traceback.walk_stack(frame)).format()[::-1])
