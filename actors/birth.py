"""How an actor comes up: its place among the others, and the beginnings of its incarnations."""

import asyncio
from abc import ABCMeta
from collections.abc import Coroutine
from contextvars import Context as Variables
from inspect import getattr_static
from typing import Any, Self

from . import events
from .actor import Actor
from .dispatcher import Dispatcher
from .envelope import Link
from .errors import Ignore, StartFailed
from .exits import Crashed
from .fatal import FATAL
from .handover import Handover
from .identity import Identity
from .life import Life
from .message import told
from .nursery import CHILDLESS, ROOTLESS, Nursery, nursery_of
from .options import Blueprint, Bounded
from .runtime import Runtime
from .seat import TURN, Seat


class Birth(Identity):
    """An actor, and how it begins. `Cell`, in the next room, says what becomes of it."""

    __slots__ = ("children", "judged", "name", "nursery", "parent", "renewing")

    def __init__(self, runtime: Runtime, parent: Any, name: str, blueprint: Blueprint) -> None:
        if parent is None:
            place = ROOTLESS
        elif parent.nursery is not None:
            place = parent.nursery
        else:
            place = parent.nursery = nursery_of(parent.blueprint.actor, parent.path, parent.around)
        self.name = name  # first, for the mailbox of a pool's worker goes by it
        super().__init__(runtime, f"{place.prefix}{name}", place.around, blueprint)
        self.parent: Any = parent
        self.judged = place.judged
        self.children: dict[str, Any] = CHILDLESS
        self.nursery: Nursery | None = None
        self.renewing = False

    def enter(self) -> None:
        """Take its place among the actors of the system. Raises `NameTaken`."""
        parent: Birth | None = self.parent
        self.runtime.register(self.path, self)
        if parent is not None:
            if parent.children is CHILDLESS:
                parent.children = {}
            parent.children[self.name] = self
        if self.runtime.bus.heard:
            self.announce()

    def announce(self) -> None:
        """Tell that it is there."""
        self.tell(events.ActorSpawned, self.kind)

    def child(self, name: str, blueprint: Blueprint) -> Self:
        """A new child, in its place. Raises `NameTaken`; `TypeError` for one that has no mailbox."""
        child = type(self)(self.runtime, self, name, blueprint)
        child.enter()
        return child

    def pattern(self, name: str, blueprint: Blueprint) -> Self | None:
        """An actor that never lives, with its incarnation, for the accelerator to make the children of that class like;
        None if these are not all alike before they are made.
        """
        actor = blueprint.actor
        hooks = actor.started is not Actor.started or actor.stopping is not Actor.stopping
        # What is worked out at each look is not the same for the next one.
        fixed = type(actor) in (type, ABCMeta) and getattr_static(actor, "mailbox") is actor.mailbox
        if hooks or actor.uses or type(actor.mailbox) is not Bounded or not fixed:
            return None
        one = type(self)(self.runtime, self, name, blueprint)
        one._incarnate(None)
        nothing: Any = None
        one.blueprint = one.handlers = nothing  # each has its own; and the class and its arguments are not kept alive
        return one

    async def start(self) -> None:
        """Begin an incarnation and wait until it is up.

        Raises `StartFailed`; the actor is then down, or buried if nobody judges.
        """
        rest = self.begin()
        if rest is not None:
            await rest

    def begin(self, life: Life | None = None) -> Coroutine[Any, Any, None] | None:
        """Begin an incarnation, or the one that it came with: what is to be awaited then, as in `start`, or None if it
        is up, as most are at once.
        """
        seat, actor = TURN.get(), self.blueprint.actor
        starter = seat.asking() if seat is not None else None
        if life is None:
            life = self._incarnate(starter)
        else:
            life.starter = starter
        if actor.started is not Actor.started or life.lane is not self.runtime.dispatcher or self.mailbox.restores:
            return self._started(life, seat)
        try:
            Variables().run(life.make)  # what the constructor sets is not the messages'
        except FATAL:
            raise
        except BaseException as error:
            return self._not_made(life, error)
        life.made()
        return None

    async def _not_made(self, life: Life, error: BaseException) -> None:
        self.runtime.activity.add(1)
        ending = self.runtime.keep(life.finish(Crashed(error), started=False), f"{self.path} failed start")
        await asyncio.wait({ending})
        raise self._start_failed(error) from None if isinstance(error, Ignore) else error

    async def _started(self, life: Life, seat: Seat | None) -> None:
        lane, solo = life.lane, life.lane is not self.runtime.dispatcher
        self.runtime.activity.add(1)
        ready: asyncio.Future[None] | Handover
        if seat is not None and not solo and self._may_hand_over(seat):
            ready = Handover(life, lane.push)
        else:
            ready = self.runtime.loop.create_future()
            lane.push(life)
        self._ready = ready
        await ready

    def _incarnate(self, starter: Link | None) -> Life:
        lane, former = self.runtime.dispatcher, self.life
        # `started()` may enter what `stopping()` leaves, such as a task group: these must run in one task.
        solo = self.blueprint.actor.stopping is not Actor.stopping
        if solo:
            lane = Dispatcher(self.runtime.loop, shown=lane)
        home: Any = self  # a `Cell`
        self.life = life = Life(home, 1 if former is None else former.number + 1, lane, starter)
        if solo:
            lane.owner = life
        if former is not None:
            self._halting = self.renewing = self.mailbox.asleep = False
        return life

    def _renew(self) -> None:
        """Begin the next incarnation by itself, in place of one whose delivery failed."""
        self.tell(events.ActorRestarting, self.kind, self.incarnation + 1, 0.0)
        life = self._incarnate(None)
        self.renewing = True
        self.runtime.activity.add(1)
        life.lane.push(life)

    def _may_hand_over(self, seat: Seat) -> bool:
        """Whether the parent is what starts it, and can be set aside for so long; see `handover`."""
        parent: Life | None = self.parent.life if self.parent is not None else None
        turn = seat.turn
        if parent is None or seat.host is not parent or turn is None or not turn.handler.portable:
            return False
        return parent.stack is None and parent.lane is self.runtime.dispatcher

    def up(self) -> None:
        """`started()` has returned."""
        self.renewing = False
        if self.runtime.bus.heard:
            number = self.incarnation
            self.tell(events.ActorStarted, self.kind, number)
            if number > 1:
                self.tell(events.ActorRestarted, self.kind, number, len(self.mailbox))
        ready = self._ready
        if ready is not None:
            self._ready = None
            if not ready.done():
                ready.set_result(None)

    def _start_failed(self, error: BaseException) -> StartFailed | Ignore:
        if isinstance(error, Ignore):
            return error
        self.tell(events.ActorStartFailed, self.kind, self.incarnation, error)
        why = str(error) if isinstance(error, StartFailed) else told(error)
        failure = StartFailed(self.path, why)
        failure.__cause__ = error
        return failure

    async def restart(self, held_back: float = 0.0) -> None:
        """Begin the next incarnation of an actor that is down; for a parent that judges. Raises `StartFailed`.

        `held_back`: seconds that it had to wait for this.
        """
        above: Life | None = self.parent.life if self.parent is not None else None
        if above is not None:
            above.withdraw(lambda token: token is self)  # its last end is dealt with
        self.tell(events.ActorRestarting, self.kind, self.incarnation + 1, held_back)
        await self.start()
