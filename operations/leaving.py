"""The last moments of a process that was a service: threads and tasks that do not end must not keep it alive.

Python waits for them without a bound: when an event loop closes, for the threads of its executor and for tasks that
swallow their cancellation; when the process ends, for all threads that are no daemons. Nobody can cancel a thread. So
what has said that it has stopped would stay, until somebody kills it.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import structlog

from .signals import ASKING, HANGUP, asking
from .statuses import FAILED

MOMENT = 1.0
"""Seconds, at least, that threads and tasks have for their ends."""
NEXT = 5.0
"""Seconds within which a program ends after its service, if that was all it is for; else it is left alone."""
LAST = 1.0
"""Seconds for saying which they were: whoever reads the log may be stuck too."""
CLOSED, ENDING, ASKED = "closed", "ending", "asked"


def status_of(error: BaseException) -> int:
    """With what a process ends that raises this."""
    return error.code if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code else FAILED


class Leaving:
    """Runs what a process is for, and has the process end soon afterwards: `Leaving(25.0).run(main())`.

    `within`: seconds that what is left then has for its end; it may be set until `main` returns. Those who end in time
    are waited for, and `atexit` functions run as ever. When the time is over, one line of the log says who was left,
    and the process exits with the status that `main` has returned; so it does at a signal that comes meanwhile.
    A status of the program's own, `sys.exit(7)` after that, is lost where somebody was left; an error is not.
    A program that goes on with something else after that is left alone, and so is one that does not run it in its main
    thread. `status_of`: with what the process ends if `main` raises.
    """

    def __init__(self, within: float, status_of: Callable[[BaseException], int] = status_of) -> None:
        self.within, self._status_of = within, status_of
        self._status, self._until = FAILED, 0.0
        self._news: SimpleQueue[str] = SimpleQueue()
        self._before: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: threading.Thread | None = None

    def run(
        self, main: Coroutine[Any, Any, int], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    ) -> int:
        """What `main` returns, on a loop of its own; raises what it raises."""
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                try:
                    status = runner.run(main)
                except BaseException as error:
                    # Of a handler that exits, say: all of it ends, and hears of signals, while the loop is closed.
                    self._begin(runner, self._status_of(error), self.within + MOMENT)
                    raise
                self._begin(runner, status, self.within)
                self._listen()
            return status
        finally:
            self._close()

    def _begin(self, runner: asyncio.Runner, status: int, within: float) -> None:
        """Nothing is left to do: watch over the end, from a thread that keeps nobody alive."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._status, self._until = status, time.monotonic() + max(within, MOMENT)
        self._loop = runner.get_loop()
        self._watching = threading.Thread(target=self._watch, name="upright leaving", daemon=True)
        self._watching.start()
        # Private, but there is no other way: what is registered with `atexit` is called after those threads have ended.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            register(self._end)

    def _end(self) -> None:
        """The program ends, and Python begins to wait for threads."""
        self._listen()
        self._news.put(ENDING)

    def _listen(self) -> None:
        """A signal ends the wait; the service has given back what it had."""
        if self._watching is None or not self._watching.is_alive():
            return
        for number in ASKING:
            self._before[number] = signal.signal(number, self._asked)
        if HANGUP in asking():  # it has been heard, and comes once more
            self._before[HANGUP] = signal.signal(HANGUP, self._heard_already)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self._news.put(ASKED)  # of all that wakes a thread this alone may be called by the handler of a signal

    def _heard_already(self, _number: int, _frame: FrameType | None) -> None:
        """The terminal has gone, which asks for the same as the first signal did."""

    def _close(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            if signal.getsignal(number) in (self._asked, self._heard_already):
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._news.put(CLOSED)

    def _watch(self) -> None:
        """Wait for the end, which ends this thread too."""
        if self._next(self._until) == CLOSED:
            if self._next(time.monotonic() + NEXT) != ENDING:
                return
            self._next(max(self._until, time.monotonic() + MOMENT))
        self._leave()

    def _next(self, until: float) -> str:
        """What happens next; "" if nothing does until then."""
        try:
            return self._news.get(timeout=max(until - time.monotonic(), 0.0))
        except Empty:
            return ""

    def _leave(self) -> None:
        if getattr(sys, "last_value", None) is not None:  # the program has raised since, which is no success
            self._status = self._status or FAILED
        try:
            threading.Thread(target=self._insist, name="upright leaving at last", daemon=True).start()
            self._say()
        finally:
            os._exit(self._status)

    def _insist(self) -> None:
        time.sleep(LAST)
        os._exit(self._status)

    def _say(self) -> None:
        threads, tasks = [*threads_left()], [*tasks_left(self._loop)]
        log = structlog.get_logger("upright")
        log.warning("service.cut_off", threads=threads, tasks=tasks, status=self._status)
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):  # there is none, or nobody reads it
                continue


def threads_left() -> Iterator[str]:
    """The threads for which Python waits, and where they stand; the main one if there is no other."""
    own, main = threading.current_thread(), threading.main_thread()
    left = [one for one in threading.enumerate() if not one.daemon and one not in (own, main)]
    frames = sys._current_frames()
    for thread in left or [main]:
        frame = frames.get(thread.ident or 0)
        where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
        yield f"{thread.name}{where}"


def tasks_left(loop: asyncio.AbstractEventLoop | None) -> Iterator[str]:
    """The tasks that have swallowed their cancellation."""
    if loop is None or loop.is_closed():
        return
    try:
        tasks = asyncio.all_tasks(loop)
    except RuntimeError:  # they change just now, in their own thread
        return
    for task in tasks:
        is_own = "shutdown_" in getattr(task.get_coro(), "__qualname__", "")  # of the loop, which waits for threads
        if not is_own and not task.done():
            yield task.get_name()
