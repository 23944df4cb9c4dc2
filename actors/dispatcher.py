"""The run queue: how many actors share few tasks.

No task per actor. A message makes an idle actor *ready*; a carrier task takes ready actors from the queue and steps
each one's drain inside the actor's own context. Nearly always the drain ends without waiting, and the next actor's
turn comes. When a handler does wait, the carrier stays with that actor until it has finished (so `current_task()`,
time-outs and cancel scopes are those of one task from beginning to end) and a fresh carrier takes the queue. A
carrier that had waited is not used again: whatever still holds it (a stale `task.cancel()`) must not hit another
actor.

A *solo* dispatcher carries one actor only, in one task for the whole incarnation: for actors whose `started()` opens
something that `stopping()` closes, such as a task group or a cancel scope, which must be entered and left in the same
task.
"""

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Protocol

from .carrier import RESTING, Carried, Carrier
from .fatal import FATAL
from .handover import Handover
from .waking import Waker

SLICE = 64
"""Activations between two returns to the event loop, at most."""
STINT = 0.0005
"""Seconds between two returns to the event loop, about; a drain that used up its budget returns at once."""


class Job(Carried, Protocol):
    """What can be carried. While it waits, `carrier` is the task that stays with it, or the handover that it waits for:
    for whoever wants to cancel it.
    """

    context: Context
    carrier: asyncio.Task[None] | Handover | None

    def cancelled_at_rest(self, error: asyncio.CancelledError) -> None:
        """Its own task was cancelled while nothing ran in it; solo jobs only."""
        ...

    def pauses(self) -> None:
        """Its code waits for something."""
        ...

    def activate(self) -> Coroutine[Any, Any, bool]:
        """One activation, or the rest of one that was set aside; its result says whether it stopped only because its
        budget was used up.
        """
        ...


class Dispatcher:
    """A queue of ready jobs and the carriers that serve it."""

    __slots__ = (
        "_carriers",
        "_closing",
        "_loop",
        "_server",
        "_shown",
        "_solo",
        "_waiter",
        "clock",
        "idle",
        "left",
        "now",
        "owner",
        "ready",
        "stint",
        "until",
        "waker",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, shown: "Dispatcher | None" = None) -> None:
        self._loop, self._solo = loop, shown is not None
        self._shown = self if shown is None else shown
        self.ready: deque[Job] = deque()
        """The jobs that wait for an activation. Append to it, and `rouse()` the dispatcher if it is `idle`."""
        self.idle = True
        """Whether no carrier will come to `ready` by itself."""
        self._waiter: asyncio.Future[None] | None = None
        self._carriers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Task[None] | None = None  # the carrier that takes jobs from the queue, if there is one
        self._closing = False
        self.now: Job | None = None
        """The job whose code runs at this instant; the watchdog's thread reads it."""
        self.owner: Job | None = None
        """The one job of a solo dispatcher."""
        self.clock: Callable[[], float] = loop.time
        self.stint = self.left = SLICE
        """Activations until the carrier should return to the event loop, at the beginning and now."""
        self.until = 0.0
        """When the carrier should return to the event loop; a drain looks at it now and then."""
        self.waker: Waker = Waker(loop) if shown is None else shown.waker
        """Who gives replies."""

    def push(self, job: Job) -> None:
        """Queue a job for one activation."""
        self.ready.append(job)
        if self.idle:
            self.rouse()

    def rouse(self) -> None:
        """Have a carrier come to what is ready."""
        self.idle = False
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        elif self._server is None:
            self._hire()

    def close(self) -> None:
        """Let the carriers end as soon as nothing is ready; those that are held by a waiting job end with it."""
        self._closing = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def closed(self) -> None:
        """Wait until every carrier that no job holds has ended."""
        if self._server is not None:
            await asyncio.wait((self._server,))

    def _retire(self) -> None:
        """The carrier leaves the queue to another one, which is hired when there is something for it to do."""
        self._server, self.idle = None, True
        if self.ready:
            self.rouse()

    def _hire(self) -> None:
        # An empty context: a carrier must not keep the request id, say, of whoever happened to start the system.
        # Not loop.create_task: an eager task factory would run the queue inside of whoever pushes.
        task = Carrier(self._main(), loop=self._loop, name=RESTING, context=Context())
        task.running, task.struck = self._shown, False
        self._carriers.add(task)
        self._server = task
        task.add_done_callback(self._fired)

    def _fired(self, task: asyncio.Task[None]) -> None:
        self._carriers.discard(task)
        if self._server is task:
            # Cancelled while it rested: the loop shuts down, or somebody held on to it. The next job hires another.
            self._server, self._waiter, self.idle = None, None, True
            if self.ready and not self._closing:
                self.rouse()
        # What ends the loop has its say where that was run.
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, FATAL):
            context = {"message": "a carrier of actors failed", "exception": error, "task": task}
            self._loop.call_exception_handler(context)

    async def _main(self) -> None:  # from 3.12 on create_task refuses a bare generator
        await self._carry()

    @types.coroutine
    def _carry(self) -> Generator[Any, Any, None]:
        loop, ready = self._loop, self.ready
        task = asyncio.current_task(loop)
        assert isinstance(task, Carrier)
        self._begin_stint()
        while True:
            if not ready:
                if self._closing:
                    return
                self._waiter = waiter = loop.create_future()
                self.idle = True
                try:
                    yield from waiter
                except asyncio.CancelledError as error:
                    if not self._solo or self._closing or self.owner is None:
                        raise
                    # A task group or cancel scope that `started()` opened has failed, and cancels its host task.
                    self._waiter = None
                    self.owner.cancelled_at_rest(error)
                self._begin_stint()
                continue
            waits = self.work(task)
            if waits is None:
                if ready:
                    yield
                    if task.after:
                        task.after = ""
                    self._begin_stint()
                if task.struck:
                    if not self._solo:
                        # The handler cancelled its task and then did not wait. That must not hit the next actor.
                        self._retire()
                        return
                    task.struck = False
                continue
            job, steps, awaited = waits
            job.pauses()
            if type(awaited) is Handover:  # never in a job that had waited before, nor in a solo one: see `Cell.start`
                self._shown.now = None
                awaited.shelve(job, steps)
                ready.appendleft(awaited.first)
                continue
            if not self._solo:
                self._retire()
            yield from self._stay(task, job, steps, awaited)
            if not self._solo:
                return

    def _begin_stint(self) -> None:
        self.stint = self.left = 1 if self._loop.get_debug() else SLICE
        self.until = self.clock() + STINT

    def work(self, task: Carrier) -> "tuple[Job, Coroutine[Any, Any, bool], Any] | None":
        """Activate what is ready until it is time to return to the event loop, or until a job waits: that job, its
        steps, and what it waits for.
        """
        ready, left = self.ready, self.left
        while ready:
            job = ready.popleft()
            self._shown.now = job
            steps = job.activate()
            try:
                awaited = job.context.run(steps.send, None)
            except StopIteration as end:
                self._shown.now = None
                left -= 1
                if end.value or left <= 0 or (not left & 7 and self.clock() > self.until) or task.struck:
                    if self.stint == 1:
                        task.after = job.path
                    break
            else:
                self.left = left
                return job, steps, awaited
        self.left = left
        return None

    def _stay(
        self, task: Carrier, job: Job, steps: Coroutine[Any, Any, bool], awaited: Any
    ) -> Generator[Any, Any, None]:
        run = job.context.run
        job.stack, task.job = steps, job
        try:
            while True:
                self._shown.now, job.carrier = None, task
                resume: Callable[[Any], Any] = steps.send
                value: Any
                try:
                    value = yield awaited
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:
                    if error.__traceback__ is not None:  # its last line would be the one above, not the handler's
                        error.__traceback__ = error.__traceback__.tb_next
                    resume, value = steps.throw, error
                self._shown.now, job.carrier = job, None
                awaited = run(resume, value)
                job.pauses()
        except StopIteration:
            return
        finally:
            self._shown.now = job.carrier = job.stack = task.job = None
            while task.cancelling():  # what was cancelled was the handler, and it has ended
                task.uncancel()
