"""The logical actor: a path, a mailbox, watchers and children, through all its incarnations.

Its parent either *judges* (a supervisor: it hears of every end and says restart or bury) or does not (any other
actor: a child that ends is buried at once). Actors do not know that they are supervised.
"""

import asyncio
import math
from contextvars import Context as Variables
from typing import Any

from . import events
from .actor import Actor
from .burial import bury, has_hook, post_mortem
from .dispatcher import Dispatcher
from .ending import FATAL
from .envelope import Link, Own
from .errors import ActorGone, Ignore, StartFailed
from .exits import Crashed, Exit, Failed, Killed, Shutdown
from .handlers import Handler
from .handover import Handover
from .identity import Identity
from .life import Life
from .message import told
from .options import Blueprint
from .parent import Parent, ending_order
from .refs import Ref
from .runtime import Runtime
from .seat import TURN, Seat

CHILDLESS: dict[str, Any] = {}
"""The children of those that have none; never written to."""


class Cell(Identity):
    """One actor of a system. Its states: starting, running, stopping, restarting (down, its parent decides), ended."""

    __slots__ = ("children", "judged", "parent", "renewing")

    def __init__(self, runtime: Runtime, parent: "Cell | None", blueprint: Blueprint) -> None:
        path = around = "/"
        if parent is not None:
            path = f"{parent.path.rstrip('/')}/{blueprint.name}"
            beside = getattr(parent.blueprint.actor, "children_stand_beside", False)
            around = parent.around if beside else parent.path
        super().__init__(runtime, path, around, blueprint)
        self.parent = parent
        self.judged = parent is not None and issubclass(parent.blueprint.actor, Parent)
        """Whether its parent decides what becomes of it when it ends."""
        self.children: dict[str, Cell] = CHILDLESS
        self.renewing = False
        runtime.register(path, self)
        if parent is not None:
            if parent.children is CHILDLESS:
                parent.children = {}
            parent.children[blueprint.name] = self
        self.tell(events.ActorSpawned, blueprint.actor.__name__)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is up, and nothing goes on in it or will by itself: no message, timer, task or child."""
        life = self.life
        return life is not None and not self.children and not self.mailbox.queue and life.is_at_rest

    async def start(self) -> None:
        """Begin an incarnation and wait until it is up.

        Raises `StartFailed`; the actor is then down, or buried if nobody judges.
        """
        seat = TURN.get()
        life = self._incarnate(seat.asking() if seat is not None else None)
        lane, solo = life.lane, life.lane is not self.runtime.dispatcher
        if self.blueprint.actor.started is Actor.started and not solo and not self.mailbox.restores:
            try:
                Variables().run(life.make)  # what the constructor sets is not the messages'
            except FATAL:
                raise
            except BaseException as error:
                self.runtime.activity.add(1)
                ending = self.runtime.keep(life.finish(Crashed(error), started=False), f"{self.path} failed start")
                await asyncio.wait({ending})
                raise self._start_failed(error) from None if isinstance(error, Ignore) else error
            life.made()
            return
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
        # `started()` may enter what `stopping()` leaves, such as a task group: these must run in one task.
        solo = self.blueprint.actor.stopping is not Actor.stopping
        lane = Dispatcher(self.runtime.loop, shown=self.runtime.dispatcher) if solo else self.runtime.dispatcher
        self.life = life = Life(self, self.incarnation + 1, lane, starter)
        if solo:
            lane.owner = life
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
        parent, turn = self.parent.life if self.parent is not None else None, seat.turn
        if parent is None or seat.host is not parent or turn is None or not turn.handler.portable:
            return False
        return parent.stack is None and parent.lane is self.runtime.dispatcher

    def up(self) -> None:
        """`started()` has returned."""
        number, self.renewing = self.incarnation, False
        self.tell(events.ActorStarted, self.kind, number)
        if number > 1:
            self.tell(events.ActorRestarted, self.kind, number, len(self.mailbox))
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
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
        if self.parent is not None and self.parent.life is not None:
            self.parent.life.withdraw(lambda token: token is self)  # its last end is dealt with
        self.tell(events.ActorRestarting, self.kind, self.incarnation + 1, held_back)
        await self.start()

    async def kill(self, why: str) -> None:
        """Cancel the incarnation at once and wait for its end; its parent hears of it."""
        if self.hook is not None:
            self.hook.cancel()
        if self.gone or self.life is None or self.life.phase == "over":
            return
        if self._down is None:
            self._down = self.runtime.loop.create_future()
        down = self._down
        self.cancel(why)
        await asyncio.wait({down})  # not the future itself: a waiter that is cancelled would cancel it for all

    def arm(self) -> None:
        """The time to end runs: cancel after `shutdown` seconds, and after `grace` more leave it behind."""
        for child in tuple(self.children.values()):
            if child.life is not None and child.life.phase == "starting":
                _ = self.runtime.keep(child.halt(f"its parent {self.path} ends"), f"{child.path} halt")
        if self._ladder is None and not self.gone:
            limit = self.blueprint.patience
            if limit != math.inf:
                self._ladder = self.runtime.loop.call_later(limit, self.cancel, context=self.runtime.plain)

    def cancel(self, why: str = "it did not end within its shutdown time", children: bool = True) -> None:
        """Cancel what runs, and what runs below; whoever swallows that is left behind."""
        if self.hook is not None:
            self.hook.cancel()
        if self.gone or (self.life is not None and self.life.killed):
            return
        for child in reversed(tuple(self.children.values()) if children else ()):
            child.cancel(f"its parent {self.path} was killed")
        if self._ladder is not None:
            self._ladder.cancel()
        self._ladder = self.runtime.loop.call_later(self.runtime.grace, self._abandon, context=self.runtime.plain)
        if self.life is not None and self.life.phase != "over" and not self.life.killed:
            self.life.cancel(why)

    def _abandon(self) -> None:
        life = self.life
        if self.gone or life is None or life.phase == "over":
            return
        if self.children:  # they end within their own grace; the wait for them is no swallowing
            self._ladder = self.runtime.loop.call_later(self.runtime.grace, self._abandon, context=self.runtime.plain)
            return
        self.runtime.zombies += 1
        self.tell(events.ZombieDetached, self.kind, life.number, post_mortem(life))
        started = life.phase != "starting"
        exit = life.death() if not started else Killed("it swallowed its cancellation")
        life.detach()
        life.clear()
        _ = self.runtime.keep(self.over(exit, started), f"{self.path} end of a zombie")

    async def end(self, why: str) -> Exit:
        """Ask it to stop, wait until it has ended for good, and return how; a brutal one is cancelled at once."""
        await self.halt(why)
        if not self.gone and self.judged:
            await self.bury()
        await asyncio.wait({self.ended})
        return self.exit

    async def halt(self, why: str, by_hand: bool = False) -> None:
        """End the incarnation only, in the time that the blueprint gives.

        A parent that judges then restarts or buries.
        """
        life = self.life
        if self.gone or life is None or life.phase == "over":
            return
        self._halting = not by_hand
        if self._down is None:
            self._down = self.runtime.loop.create_future()
        if self.blueprint.shutdown == "brutal":
            self.cancel("brutal shutdown")
        elif self.blueprint.drains and life.leaving is None:
            self.arm()
            self.mailbox.post(Own(Handler("stop", _stop_after_queue), (life, Shutdown(why)), None, None))
        else:
            life.leave(Shutdown(why))
        await asyncio.wait({self._down})

    async def end_children(self) -> None:
        """End all children, the youngest first, each in its own time; those of a parent that says so all at once."""
        why = f"its parent {self.path} ends"
        if getattr(self.blueprint.actor, "ends_children_together", False):
            ending = {self.runtime.keep(child.end(why), f"{child.path} end") for child in self.children.values()}
            if ending:
                await asyncio.wait(ending)
        while self.children:
            for name in ending_order(self.life.instance if self.life is not None else None, self.children):
                if name in self.children:
                    await self.children[name].end(why)

    async def over(self, exit: Exit, started: bool) -> None:
        """The incarnation has ended; go down, or for good."""
        life = self.life
        assert life is not None
        if isinstance(exit, Failed) and life.leaving is not None:
            exit = life.leaving  # it may have been asked to end for good, while others that overlap came to their ends
        self.exit = exit
        self.mailbox.asleep = False
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            error = exit.error if isinstance(exit, Crashed) else None
            failure = self._start_failed(error if error is not None else asyncio.CancelledError("it was stopped first"))
            ready.set_exception(failure)
            ready.exception()  # marks it as seen: whoever waited may be gone
        if isinstance(exit, Failed) and not self._halting:
            self._disarm()
            self.runtime.activity.add(-1)
            self._renew()
            return
        if not self.judged:
            await self.bury()
        else:
            self._disarm()
            life.refuse_impatient()
            heard = (started or self.renewing) and not self._halting
            if heard and self.parent is not None and self.parent.life is not None:
                self.parent.life.notice(self.parent.handlers[Parent.child_ended], (self, exit), self)
        self.runtime.activity.add(-1)
        down, self._down = self._down, None
        if down is not None and not down.done():
            down.set_result(exit)

    async def bury(self) -> None:
        """End for good; it goes on to its end although whoever waits for it may be cancelled."""
        burial = bury(self, self.exit)
        if has_hook(self):
            await asyncio.wait({self.runtime.keep(burial, f"{self.path} burial")})
        else:
            await burial  # it waits for nothing then, so nothing can cut it off

    def leave_registry(self) -> None:
        """Free the name, tell the watchers, in this order."""
        self._disarm()
        self.gone = True
        self.runtime.unregister(self.path, self)
        if self.parent is not None and self.parent.children.get(self.blueprint.name) is self:
            del self.parent.children[self.blueprint.name]
        self.life = None
        watchers, self._watchers = self._watchers, None
        for watch in watchers or ():
            watch.down(self.exit)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(self.exit)

    def _disarm(self) -> None:
        if self._ladder is not None:
            self._ladder.cancel()
            self._ladder = None

    async def spawn(self, blueprint: Blueprint) -> Ref[Any]:
        """Start a child; it is ended again if whoever wanted it is cancelled meanwhile."""
        if self.life is None or self.life.phase not in ("starting", "running") or self.life.leaving is not None:
            raise ActorGone(f"{self.path} is ending and starts no more children", self.path, handled=False)
        try:
            child = Cell(self.runtime, self, blueprint)
        except TypeError as error:
            raise StartFailed(f"{self.path.rstrip('/')}/{blueprint.name}", told(error)) from error
        try:
            await child.start()
        except (StartFailed, Ignore) as error:
            await child.bury()
            raise error from error.__cause__
        except asyncio.CancelledError:
            child.cancel()
            _ = self.runtime.keep(child.end("whoever wanted it was cancelled"), f"{child.path} end")
            raise
        return Ref(self.runtime, child.path, child.interfaces[0], child)  # not one that the child keeps, as few need it


async def _stop_after_queue(_: Any, life: Life, exit: Exit) -> None:
    life.leave(exit)
