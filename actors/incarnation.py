"""One life of an actor: start, serve, stop. A restart makes another incarnation; the `Cell` stays.

Everything that must not outlive an incarnation hangs on it: the instance, its context variables, timers, tasks,
watches, the stash and the notices that were meant for it. So nothing of an old one can reach a new one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sized
from contextvars import Context as Variables
from typing import Any, Protocol

from .dispatcher import Dispatcher
from .envelope import BESIDE, IN_HAND, Envelope, Link, Notice, Own
from .errors import ActorGone, Detached
from .events import ActorCrashed, Event
from .exits import Crashed, Exit, Failed, Killed, is_clean
from .handlers import Handler, HandlerTable, describe
from .handover import Handover
from .mailbox import Mailbox
from .options import Blueprint
from .passage import Passage, unpermitted
from .refs import Ref
from .runtime import Runtime
from .seat import Seat
from .tasks import Tasks
from .timers import Timers
from .watching import Watches

STARTING, RUNNING, STOPPING, OVER = "starting", "running", "stopping", "over"


UNUSED = Variables()
"""The context of an incarnation that was never active; nothing ever runs in it."""


async def _never(*_: Any) -> None:
    raise AssertionError("a name for a turn, not a handler")


STARTED, STOPPED, BACKGROUND = (Handler(name, _never, limit=1) for name in ("started", "stopping", "background"))


class Home(Protocol):
    """What an incarnation needs of the actor that it is an incarnation of."""

    @property
    def path(self) -> str: ...
    @property
    def around(self) -> str: ...
    @property
    def self_ref(self) -> Ref[Any]: ...
    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def blueprint(self) -> Blueprint: ...
    @property
    def handlers(self) -> HandlerTable: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def children(self) -> Sized: ...
    @property
    def passage(self) -> Passage | None: ...
    @property
    def kind(self) -> str: ...

    def tell(self, kind: Callable[..., Event], *fields: Any) -> None: ...
    def wake(self) -> None: ...
    def up(self) -> None: ...
    def cancel(self, why: str, children: bool = True) -> None: ...
    def arm(self) -> None: ...
    async def spawn(self, name: str, blueprint: Blueprint) -> Ref[Any]: ...
    async def end_children(self) -> None: ...
    async def over(self, exit: Exit, started: bool) -> None: ...


class Incarnation:
    """The state of one life. `Life`, in the next room, walks it through its steps.

    `attention` is the one flag that the loop reads per message; it is set whenever anything but "take the next
    message" is to be done.
    """

    __slots__ = (
        "_stash", "_tasks", "_timers", "_watches", "attention", "beside", "carrier", "cell", "control", "context",
        "detached", "gated", "instance", "killed", "lane", "leaving", "notices", "number", "overlapping", "passage",
        "paused", "paused_at", "phase", "ready", "runtime", "seat", "stack", "starter", "variables",
    )  # fmt: skip

    def __init__(self, cell: Home, number: int, lane: Dispatcher, starter: Link | None) -> None:
        self.cell, self.number, self.lane = cell, number, lane
        self.starter: Link | None = starter
        self.runtime = cell.runtime
        self.context = UNUSED
        self.instance: Any = None
        self.phase = STARTING
        self.passage = cell.passage
        self.attention = self.passage is not None
        self.killed = self.detached = self.gated = self.paused = False
        self.paused_at: float | None = None
        self.overlapping = self.notices = 0
        self.leaving: Exit | None = None
        self.control: deque[Notice] | None = None
        self.seat: Seat | None = None
        self.variables: object | None = None
        self.carrier: asyncio.Task[None] | Handover | None = None
        self.stack: Coroutine[Any, Any, Any] | None = None
        self.beside: Envelope | None = None
        self._timers: Timers | None = None
        self._tasks: Tasks | None = None
        self._watches: Watches | None = None
        self._stash: list[Envelope] | None = None

    @property
    def path(self) -> str:
        return self.cell.path

    @property
    def around(self) -> str:
        return self.cell.around

    @property
    def turn(self) -> Envelope | None:
        """What it has in hand, overlapping handlers aside."""
        return self.seat.turn if self.seat is not None else None

    @property
    def self_ref(self) -> Ref[Any]:
        return self.cell.self_ref

    @property
    def handlers(self) -> HandlerTable:
        return self.cell.handlers

    @property
    def room(self) -> int:
        return self.cell.mailbox.limit

    @property
    def entity(self) -> str:
        return self.cell.mailbox.entity

    def must_live(self) -> None:
        """Raise if code that has outlived this incarnation tries to act through it."""
        if self.detached:
            raise Detached(f"{self.path} swallowed its cancellation and was left behind; it may not act any more")
        if self.phase == OVER:
            raise ActorGone(
                f"this incarnation of {self.path} has ended; it may not act any more", self.path, handled=False
            )

    @property
    def timers(self) -> Timers:
        self.must_live()
        if self._timers is None:
            self._timers = Timers(self.runtime, self, self.cell.mailbox.post)
        return self._timers

    @property
    def tasks(self) -> Tasks:
        if self._tasks is None:
            self._tasks = Tasks(self.runtime.loop, self, self.task_ended)
        return self._tasks

    @property
    def watches(self) -> Watches:
        self.must_live()
        if self._watches is None:
            self._watches = Watches(self)
        return self._watches

    @property
    def stash(self) -> list[Envelope]:
        self.must_live()
        if self._stash is None:
            self._stash = []
        return self._stash

    def locate(self, path: str, actor: type[Any]) -> Ref[Any]:
        return self.runtime.locate(path, actor)

    async def spawn(self, name: str, blueprint: Blueprint) -> Ref[Any]:
        self.must_live()
        return await self.cell.spawn(name, blueprint)

    def unstash(self) -> None:
        """Put what was set aside back in front of the mailbox."""
        self.must_live()
        self.put_back_stash()

    def put_back_stash(self) -> None:
        """Put what was set aside back in front of the mailbox, at a restart too."""
        stash, self._stash = self._stash, None
        if stash:
            self.cell.mailbox.put_back(stash)

    def has_stashed(self, envelope: Envelope) -> bool:
        """Whether it was set aside and not put back."""
        return self._stash is not None and any(one is envelope for one in self._stash)

    def forget_stashed(self, envelope: Envelope) -> bool:
        """Take it from what was set aside; False if it is not there."""
        if self._stash is None or not self.has_stashed(envelope):
            return False
        self._stash = [one for one in self._stash if one is not envelope]
        return True

    def post_to_self(self, handler: Handler, args: tuple[Any, ...]) -> None:
        """A piped result: a message that the bound of the mailbox does not hold back."""
        if self.phase != OVER and not self.detached:
            self.cell.mailbox.post(Own(handler, args, None, self))

    def run_beside(self, work: Coroutine[Any, Any, Any], name: str, inner: object) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this incarnation."""
        if not asyncio.iscoroutine(work):
            raise TypeError(f"expected a coroutine, such as self.method(), got {describe(work)}")
        if self.phase in (STOPPING, OVER) or self.detached:
            work.close()
            if asyncio.iscoroutine(inner):
                inner.close()
            self.must_live()
            raise ActorGone(f"{self.path} is stopping and starts no more tasks", self.path, handled=False)
        if self.beside is None:
            self.beside = Envelope(BACKGROUND, (), None, None, phase=BESIDE)
        self.runtime.activity.add(1)
        return self.tasks.start(work, self.beside, name, inner)

    def running(self, handler: str) -> int:
        """How many messages for that handler it has in hand beside others."""
        return self._tasks.count(handler) if self._tasks is not None else 0

    def notice(self, handler: Handler, args: tuple[Any, ...], token: object) -> None:
        """Have `handler` called before the next message of the mailbox."""
        if self.phase == OVER or self.detached:
            return
        if self.control is None:
            self.control = deque()
        if self.cell.mailbox.restores:
            handler = self.cell.mailbox.saving(handler)
        self.control.append(Notice(handler, args, None, None, token=token))
        self.attend_soon()

    def withdraw(self, matches: Callable[[object], bool], put_back: bool = False) -> None:
        """Take back notices that were not handled yet, also those that were set aside and, if `put_back`, those that
        were put back in front of the mailbox then.
        """

        def goes(envelope: Envelope) -> bool:
            return isinstance(envelope, Notice) and matches(envelope.token)

        if self.control:
            self.control = deque(notice for notice in self.control if not goes(notice))
        if self._stash:
            self._stash = [envelope for envelope in self._stash if not goes(envelope)]
        if put_back and self.cell.mailbox.queue:
            self.cell.mailbox.take_out(goes)

    def leave(self, exit: Exit) -> None:
        """End after the message in hand; the first reason given counts. The time to do so runs from now.

        That one delivery has failed is no reason to hurry, and gives way to any other.
        """
        failed = isinstance(exit, Failed)
        if self.phase != OVER and (self.leaving is None or (isinstance(self.leaving, Failed) and not failed)):
            self.leaving = exit
            if not failed:
                self.cell.arm()
            self.attend_soon()

    def attend_soon(self) -> None:
        """Have the loop look at `attention` as soon as the message in hand is done."""
        self.attention = True
        self.cell.wake()

    def cancel(self, why: str) -> None:
        """Cancel whatever runs.

        `stopping()` is not called any more: what was entered is left by `finally` and `async with`.
        """
        self.killed = True
        if self.leaving is None or is_clean(self.leaving) or isinstance(self.leaving, Failed):
            self.leaving = Killed(why)
        if self._tasks is not None:
            self._tasks.cancel(again=True)
        if self.carrier is not None:
            self.carrier.cancel()
        else:
            self.attend_soon()
            # It may be its own handler that kills it and then waits.
            self.runtime.loop.call_soon(self.cancel_carrier)

    def pauses(self) -> None:
        """Nothing is taken out for a while: those who wait for room may go on.

        Not only at the end of a drain: one who waits may be the very actor that the handler has just asked.
        """
        mailbox = self.cell.mailbox
        if mailbox.waiting and self.phase == RUNNING:
            mailbox.release()

    def cancel_carrier(self) -> None:
        """Cancel a handler that has begun to wait only after the actor was killed."""
        if self.carrier is not None and self.phase != OVER and not self.detached:
            self.carrier.cancel()

    def resumed(self, steps: Coroutine[Any, Any, bool]) -> Coroutine[Any, Any, bool]:
        """It was set aside, and goes on: see `handover`."""
        self.stack = self.carrier = None
        return steps

    def cancelled_at_rest(self, error: asyncio.CancelledError) -> None:
        """A task group or cancel scope that `started()` opened has cancelled this incarnation's task."""
        self.background_crashed(error)

    def death(self) -> Exit:
        """The exit of an incarnation that was cancelled."""
        return self.leaving if isinstance(self.leaving, Killed | Crashed) else Killed()

    def task_ended(self, turn: Envelope, error: BaseException | None) -> None:
        """A background task or an overlapping handler has ended."""
        if self.detached:
            return
        self.runtime.activity.add(-1)
        if turn is not self.beside:
            self.overlapping -= 1
            if turn.phase == IN_HAND:  # cancelled before its first step: it goes back to the mailbox, as if still there
                turn.handler = unpermitted(turn.handler)
                self._stash = [*(self._stash or ()), turn]
            if self.gated:
                self.gated = False
                self.lane.push(self)  # type: ignore[arg-type]  # a Life is an Incarnation that can be activated
            self.pauses()  # in a durable pool there is room where nothing is in hand
        if error is not None:
            self.background_crashed(error)

    def background_crashed(self, error: BaseException) -> None:
        """An error in background work crashes the actor, after the message in hand."""
        if self.runtime.bus.wants(ActorCrashed):
            kind = self.cell.blueprint.actor.__name__
            self.runtime.bus.emit(ActorCrashed(self.path, kind, self.number, BACKGROUND.name, error))
        self.leave(Crashed(error))
