"""An event loop whose clock jumps, so that an hour of waiting passes at once.

It stands apart because it is the only room that knows how asyncio keeps its timers and how libraries hand work
to threads. A naive jumping clock passes a time-out while a thread is still at work; this one holds still.
"""

import asyncio
import contextlib
import functools
import heapq
import itertools
import logging
import math
import selectors
import sys
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context
from typing import Any, Self, TypeVar, TypeVarTuple

__all__ = ["VirtualDeadlock", "VirtualTimeLoop", "advance", "hold_time"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Events = list[tuple[selectors.SelectorKey, int]]

log = logging.getLogger(__name__)


class VirtualDeadlock(RuntimeError):
    """Nothing can ever wake the loop: no timer, no thread in flight, no socket, pipe, signal or child to wait for."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on which time passes only when nothing else is left to do.

    `time()` starts at 0.0. When no callback is ready and the next timer lies ahead, the clock jumps to exactly
    that timer; timers due at one instant run in the order in which they were set.

    The clock **holds still**, and the loop really waits, while

    * work given to `run_in_executor` or `asyncio.to_thread` is in flight, until the thread is done with it, even
      if the awaiting task was cancelled meanwhile;
    * a worker of `anyio.to_thread.run_sync` is busy;
    * an aiosqlite operation is in flight, connecting and closing included (an idle connection holds nothing);
    * anybody is inside `hold()`.

    **The outside world is polled, not waited for, while a timer is set.** What sockets, pipes, children and
    signals have brought is handled before each jump: enough for two ends inside this process. Wrap the wait for
    another process, or for a thread of your own, in `hold()`. With no timer set, the loop waits for sockets,
    pipes, signal handlers and running children as any loop does.

    Traps: work in a thread that asks the loop to sleep (`anyio.from_thread.run(anyio.sleep, 1)`) waits for a
    clock which it holds itself, and a task that never leaves its thread cannot be timed out. Both stand still
    for ever; a warning that names the holders is logged after `deadlock_after`.

    Args:
        deadlock_after: real seconds without a sign of life before `VirtualDeadlock` is raised out of the run, for
            a thread may still wake the loop (and before that warning). `None` waits for ever. Default 5.

    Raises:
        ValueError: `deadlock_after` is negative.

    >>> async def wait_an_hour() -> float:
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
    ...     runner.run(wait_an_hour())
    3600.0
    """

    # Both are asyncio's own, hidden by the type stubs. now + (when - now) is not always `when`, and now + 1e-9 is
    # `now` itself after half a year: only the timer knows where to jump, only a resolution of one ulp makes it due.
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(self, *, deadlock_after: float | None = 5.0) -> None:
        self._poller = _Poller(self._wait)
        super().__init__(self._poller)
        if deadlock_after is not None and not deadlock_after >= 0:
            self.close()  # asyncio warns of a loop that was neither finished nor closed
            raise ValueError(f"expected deadlock_after to be 0 or more, got {deadlock_after}")
        self._deadlock_after = deadlock_after
        self._now = 0.0
        self._turns = itertools.count()
        self._arrivals: list[tuple[float, int, asyncio.Future[None]]] = []
        self._holds: dict[object, str] = {}
        self._owed: weakref.WeakSet[asyncio.Future[Any]] = weakref.WeakSet()
        self._children: weakref.WeakSet[asyncio.SubprocessTransport] = weakref.WeakSet()
        self._signals: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._own_io = len(self._poller.get_map())
        self._jump(0.0)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed() else "running" if self.is_running() else "idle"
        held = f" held by {', '.join(self._holders())}" if self._is_held() else ""
        return f"<{type(self).__name__} at {self._now} {state}{held}>"

    def time(self) -> float:
        """Virtual seconds since the loop was made; it never goes back."""
        return self._now

    @contextlib.contextmanager
    def hold(self, reason: str = "hold()") -> Generator[None]:
        """Keep the clock still and let the loop really wait; from any thread, nested as you like, named by `reason`."""
        token = object()
        self._holds[token] = reason
        try:
            yield
        finally:
            del self._holds[token]
            if asyncio._get_running_loop() is not self:
                with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                    super().call_soon_threadsafe(self._is_held)  # what is called does not matter: it wakes the loop

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedule as any loop does; equal instants keep their order, which a bare heap would scramble."""
        return super().call_at(_Instant(when, next(self._turns)), callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future; one made by aiosqlite is owed by its thread and holds the clock until it is answered."""
        future = super().create_future()
        if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] == "aiosqlite":
            self._owed.add(future)
        return future

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Wake the loop as usual; if this answers a future that is owed, the hold ends in the same step."""
        if self._owed and args and isinstance(args[0], asyncio.Future) and args[0] in self._owed:
            # Before the callback, the clock could jump past the answer; after it and from the thread, the loop
            # could fall asleep held with nobody left to wake it.
            return super().call_soon_threadsafe(self._answer, callback, args, context=context)
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run `func` in an executor and hold the clock until it has ended there."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if executor is None:
            executor = self._pool or ThreadPoolExecutor(thread_name_prefix="asyncio")
            self.set_default_executor(executor)
        # Not asyncio's own method: it hides the future of the work and shows only one that a cancel ends too soon.
        work = executor.submit(func, *args)
        future = asyncio.wrap_future(work, loop=self)
        held = contextlib.ExitStack()
        held.enter_context(self.hold(f"run_in_executor({_name(func)})"))
        # Called back after asyncio, so that the result is on its way before the clock is let go.
        work.add_done_callback(lambda _: held.close())
        return future

    def set_default_executor(self, executor: Any) -> None:
        super().set_default_executor(executor)
        self._pool = executor

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """Join the threads; from Python 3.12 on under a time-out of five minutes, so the clock is held."""
        with self.hold("shutdown_default_executor()"):
            await super().shutdown_default_executor(*args, **kwargs)

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super().subprocess_exec(*args, **kwargs)
        self._children.add(transport)
        return transport, protocol

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super().subprocess_shell(*args, **kwargs)
        self._children.add(transport)
        return transport, protocol

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        super().add_signal_handler(sig, callback, *args)
        self._signals.add(sig)

    def remove_signal_handler(self, sig: int) -> bool:
        self._signals.discard(sig)
        return super().remove_signal_handler(sig)

    def _wait(self, timeout: float | None) -> Events:
        """Stand in for `select`: poll, and where asyncio would sleep, wait for an answer or jump."""
        if timeout is not None and timeout <= 0:
            return self._poller.poll(0)
        # Read before the poll: a thread answers first and lets go afterwards, so if the clock is free here, the
        # poll sees the answer.
        held = self._is_held()
        if events := self._poller.poll(0):
            return events
        if held:
            return self._stand_still()
        while self._arrivals and self._arrivals[0][2].done():
            heapq.heappop(self._arrivals)
        timer = self._scheduled[0].when() if self._scheduled else math.inf
        if self._arrivals and self._arrivals[0][0] < timer:
            when, _, arrived = heapq.heappop(self._arrivals)
            self._jump(when)
            arrived.set_result(None)
        elif timer < math.inf:
            self._jump(timer)
        else:
            return self._wait_for_the_world()
        return []

    def _jump(self, when: float) -> None:
        self._now = max(self._now, float(when))
        self._clock_resolution = math.ulp(self._now)

    def _stand_still(self) -> Events:
        events = self._poller.poll(self._deadlock_after)
        if events or self._deadlock_after is None:
            return events
        log.warning("virtual time stands still at %s, held by %s", self._now, ", ".join(self._holders()))
        return self._poller.poll(None)

    def _wait_for_the_world(self) -> Events:
        has_io = len(self._poller.get_map()) > self._own_io
        has_child = any(child.get_returncode() is None for child in self._children)
        patience = None if has_io or has_child or self._signals else self._deadlock_after
        events = self._poller.poll(patience)
        if patience is not None and not events and not self._is_held():
            raise VirtualDeadlock(
                f"nothing can wake the loop at virtual time {self._now}: no timer, thread in flight, socket, pipe, "
                f"signal or child; a thread of your own that was to wake it must hold(). Waiting: {_waiting(self)}"
            )
        return events

    def _answer(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._owed.discard(args[0])
        callback(*args)

    def _is_held(self) -> bool:
        return bool(self._holds or self._owed or _busy_anyio_workers(self))

    def _holders(self) -> list[str]:
        libraries = ["aiosqlite"] * len(self._owed) + ["anyio.to_thread"] * _busy_anyio_workers(self)
        return [*self._holds.values(), *libraries]


async def advance(seconds: float) -> None:
    """Move virtual time by exactly `seconds`, running in order everything due in between.

    Returns once all that was due up to and at the target instant has come to rest: callbacks, the tasks which
    these woke, and the threads they called. So `advance(0)` lets the present instant settle. A task that never
    rests (`while True: await asyncio.sleep(0)`) keeps it from returning, and so does a hold of the caller's own.

    Raises:
        ValueError: `seconds` is negative or not finite.
        RuntimeError: the running loop is not a `VirtualTimeLoop`.

    >>> async def ring_one_of_two() -> list[str]:
    ...     rung: list[str] = []
    ...     asyncio.get_running_loop().call_later(20, rung.append, "later")
    ...     asyncio.get_running_loop().call_later(10, rung.append, "sooner")
    ...     await advance(15)
    ...     return rung
    >>> with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
    ...     runner.run(ring_one_of_two())
    ['sooner']
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError(f"expected the running loop to be a VirtualTimeLoop, got {loop!r}")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"expected seconds to be {'finite' if seconds > 0 else '0 or more'}, got {seconds}")
    arrived: asyncio.Future[None] = loop.create_future()
    heapq.heappush(loop._arrivals, (loop.time() + seconds, next(loop._turns), arrived))
    await arrived


def hold_time(reason: str = "hold_time()") -> contextlib.AbstractContextManager[None]:
    """Hold the running loop's clock where it can be held, and do nothing on any other loop.

    Code that must not import the test kit writes `getattr(loop, "hold", contextlib.nullcontext)()`.
    """
    hold: Callable[[str], contextlib.AbstractContextManager[None]] | None
    hold = getattr(asyncio.get_running_loop(), "hold", None)
    return contextlib.nullcontext() if hold is None else hold(reason)


class _Instant(float):
    """When a timer is due and, among timers due at the same instant, whose turn comes first."""

    __slots__ = ("turn",)
    turn: int

    def __new__(cls, when: float, turn: int) -> Self:
        instant = super().__new__(cls, when)
        instant.turn = turn
        return instant

    def __lt__(self, other: float) -> bool:
        return self.turn < other.turn if isinstance(other, _Instant) and self == other else super().__lt__(other)


class _Poller(selectors.DefaultSelector):
    """The system's selector, whose `select` asks the loop what to do instead of sleeping."""

    def __init__(self, wait: Callable[[float | None], Events]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> Events:
        return self._wait(timeout)

    def poll(self, timeout: float | None) -> Events:
        return super().select(timeout)


def _name(work: Any) -> str:
    """What runs in a thread, told without its arguments: no payload goes into a log."""
    while isinstance(work, functools.partial):  # asyncio.to_thread runs partial(context.run, func, …)
        work = work.args[0] if isinstance(getattr(work.func, "__self__", None), Context) else work.func
    return getattr(work, "__qualname__", type(work).__qualname__)


def _busy_anyio_workers(loop: asyncio.AbstractEventLoop) -> int:
    """How many of anyio's threads work for this loop, read from its books, for it tells nobody.

    Not through `RunVar.get`: where sniffio is installed that asks for the current task, and a waiting loop has none.
    """
    backend, lowlevel = sys.modules.get("anyio._backends._asyncio"), sys.modules.get("anyio.lowlevel")
    if backend is None or lowlevel is None:
        return 0
    try:
        if not (books := lowlevel._run_vars.get(loop)):
            return 0
        return len(books.get(backend._threadpool_workers, ())) - len(books.get(backend._threadpool_idle_workers, ()))
    except AttributeError as error:
        raise RuntimeError(
            f"the installed anyio keeps its worker threads elsewhere ({error}), so VirtualTimeLoop cannot tell whether "
            "anyio.to_thread is at work; it knows the books of anyio 4.16"
        ) from error


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    """The tasks that wait, each with its coroutines from the outermost in."""
    stories: list[str] = []
    for task in asyncio.all_tasks(loop):
        names: list[str] = []
        coroutine: Any = task.get_coro()
        while hasattr(coroutine, "cr_await"):
            names.append(coroutine.__qualname__)
            coroutine = coroutine.cr_await
        stories.append(f"{task.get_name()} in {' > '.join(names)}")
    return f"{len(stories)} tasks, {', '.join(sorted(stories)[:10])}{', …' if stories[10:] else ''}"
