"""The logical actor: a path, a mailbox, watchers and children, through all its incarnations, and how they end.

Its parent either *judges* (a supervisor: it hears of every end and says restart or bury) or does not (any other
actor: a child that ends is buried at once). Actors do not know that they are supervised.
"""

import asyncio
import math
from typing import Any

from . import events
from .birth import Birth
from .burial import bury, has_hook, post_mortem
from .envelope import Own
from .errors import ActorGone, Ignore, StartFailed
from .exits import Crashed, Exit, Failed, Killed, Shutdown
from .handlers import Handler
from .life import Life
from .message import said, told
from .options import Blueprint
from .parent import Parent, ending_order
from .refs import Ref


class Cell(Birth):
    """One actor of a system. Its states: starting, running, stopping, restarting (down, its parent decides), ended."""

    __slots__ = ()
    parent: "Cell | None"
    children: "dict[str, Cell]"

    @property
    def is_at_rest(self) -> bool:
        """Whether it is up, and nothing goes on in it or will by itself: no message, timer, task or child."""
        life = self.life
        return life is not None and not self.children and not self.mailbox.queue and life.is_at_rest

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
        if not self._may_be_cancelled():
            return
        below: list[Cell] = [*reversed(self.children.values())] if children else []
        found: list[Cell] = []
        while below:  # no call of one by its parent: a tree may be deeper than a stack
            cell = below.pop()
            if cell._may_be_cancelled():
                found.append(cell)
                below.extend(reversed(cell.children.values()))
        for cell in reversed(found):
            cell._cancel(f"its parent {cell.parent.path if cell.parent is not None else ''} was killed")
        self._cancel(why)

    def _may_be_cancelled(self) -> bool:
        if self.hook is not None:
            self.hook.cancel()
        return not (self.gone or (self.life is not None and self.life.killed))

    def _cancel(self, why: str) -> None:
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
        error = exit.error if isinstance(exit, Crashed) else asyncio.CancelledError("it was stopped first")
        if isinstance(error, Ignore):
            exit = Shutdown(": ".join(filter(None, ("it declined to start", said(error)))))
        self.exit = exit
        self.mailbox.asleep = False
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            ready.set_exception(self._start_failed(error))
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
        if self.parent is not None and self.parent.children.get(self.name) is self:
            del self.parent.children[self.name]
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

    async def spawn(self, name: str, blueprint: Blueprint) -> Ref[Any]:
        """Start a child; it is ended again if whoever wanted it is cancelled meanwhile."""
        if self.life is None or self.life.phase not in ("starting", "running") or self.life.leaving is not None:
            raise ActorGone(f"{self.path} is ending and starts no more children", self.path, handled=False)
        try:
            child = self.child(name, blueprint)
        except TypeError as error:
            raise StartFailed(f"{self.path.rstrip('/')}/{name}", told(error)) from error
        try:
            rest = child.begin(child.life)
            if rest is not None:
                await rest
        except (StartFailed, Ignore) as error:
            await child.bury()
            raise error from error.__cause__
        except asyncio.CancelledError:
            child.cancel(children=False)  # those that are up end as in any failed start
            _ = self.runtime.keep(child.end("whoever wanted it was cancelled"), f"{child.path} end")
            raise
        # Not one that the child keeps, as few need it.
        return Ref(self.runtime, child.path, child.interfaces[0], child)


async def _stop_after_queue(_: Any, life: Life, exit: Exit) -> None:
    life.leave(exit)
