"""What every supervisor does, with or without an order of its children: judge an end, count restarts, hold them back,
try again, give up.
"""

import random
from abc import abstractmethod
from typing import Any

from upright.actors.errors import ActorGone, Ignore, NameTaken, StartFailed
from upright.actors.events import SupervisorGaveUp
from upright.actors.exits import Crashed, Exit
from upright.actors.handover import portable
from upright.actors.message import told
from upright.actors.parent import Child, Parent

from .charge import Charge, ChildInfo, Counts, count
from .decision import Verdict, judge
from .errors import NotFound
from .intensity import Restarts


class Keeper(Parent):
    """Keeps its children up. `Supervisor` and `DynamicSupervisor` say which of them a restart concerns."""

    def __init__(self) -> None:
        self._charges: dict[str, Charge] = {}
        self._rng = random.Random()
        self._restarts: Restarts

    async def which_children(self) -> list[ChildInfo]:
        """All children, the newest first."""
        return [charge.info() for charge in reversed(self._charges.values())]

    async def count_children(self) -> Counts:
        """How many children there are, run, and of which kind; one that is restarting counts among the specs."""
        return count(list(self._charges.values()))

    @portable
    async def child_ended(self, child: Child, exit: Exit) -> None:
        """A child has ended by itself: restart it and whom the strategy names with it, or keep or forget its spec."""
        charge = self._charges.get(child.path.rpartition("/")[2])
        if charge is None:  # it was spawned by hand, and is in nobody's care; or it is not ours any more
            self.ctx.background(child.end(f"its supervisor {self.ctx.path} keeps none of that name"))
            return
        if charge.child is not child or charge.standing != "running":
            return  # not ours any more, or its group is being restarted anyway
        verdict = judge(charge.spec.restart, exit)
        if verdict is Verdict.RESTART:
            await self._restart(charge, exit)
        else:
            await self._let_go(charge, forget=verdict is Verdict.FORGET)
            self._gone(charge)

    @portable
    async def retry(self, id: str) -> None:
        """The delay of a restart is over, or a restart that failed is to be tried again."""
        charge = self._charges.get(id)
        if charge is not None and charge.standing == "restarting":
            await self._bring_back(charge)

    @abstractmethod
    async def _bring_back(self, charge: Charge) -> None:
        """Start it again, and whom the strategy names with it."""

    async def _hold_back(self, charge: Charge) -> None:
        """Its restart waits for a while: do now what comes before it."""

    def _gone(self, charge: Charge) -> None:
        """A child has ended by itself and will not come back."""

    async def _restart(self, charge: Charge, exit: Exit) -> None:
        if not self._may_restart(charge, exit):
            return
        charge.standing = "restarting"
        if delay := charge.delay(self.ctx.now(), self._rng):
            await self._hold_back(charge)
            self._schedule(charge, delay)
        else:
            await self._bring_back(charge)

    def _may_restart(self, charge: Charge, exit: Exit) -> bool:
        """Count one more restart; if that is one too many, give up."""
        now = self.ctx.now()
        if self._restarts.would_exceed(now):
            why = charge.last_words(self._restarts, now, exit)
            if self.ctx.bus.wants(SupervisorGaveUp):
                self.ctx.bus.emit(SupervisorGaveUp(self.ctx.path, why))
            self.ctx.shut_down(why, gave_up=True)
            return False
        self._restarts.record(now)
        return True

    async def _start_or_retry(self, charge: Charge) -> bool:
        """Start one that is to come back; if it fails, queue the next attempt to oneself, so that everybody else is
        served before it. It counts as a restart.
        """
        try:
            await self._start(charge)
        except StartFailed as error:
            charge.standing = "restarting"
            if self.ctx.ending:
                return False  # it was cut off by our own end, which is no failure of the child
            cause = error.__cause__ if error.__cause__ is not None else error
            if self._may_restart(charge, Crashed(cause)):
                self._schedule(charge, charge.delay(self.ctx.now(), self._rng))
            return False
        return True

    def _schedule(self, charge: Charge, delay: float) -> None:
        self._unschedule(charge)
        charge.attempt = self.ctx.after(delay, Keeper.retry, charge.spec.id)

    def _unschedule(self, charge: Charge) -> None:
        attempt, charge.attempt = charge.attempt, None
        if attempt is not None:
            attempt.cancel()

    async def _start(self, charge: Charge) -> None:
        """Start a child for the first time or again. One that declines stays down; raises `StartFailed`."""
        try:
            if charge.child is None:
                ref = await self.ctx.spawn_from(charge.spec.blueprint())
                found: Any = ref.recipient  # the actor, as its parent sees it
                charge.child = found
            else:
                await charge.child.restart(charge.waited(self.ctx.now()))
        except (ActorGone, NameTaken) as error:  # we are ending ourselves; or it is not the only child of that name
            raise StartFailed(f"{self.ctx.path}/{charge.spec.id}", told(error)) from error
        except Ignore:
            await self._let_go(charge, forget=charge.spec.restart == "temporary")
        else:
            charge.standing = "running"

    async def _let_go(self, charge: Charge, forget: bool) -> None:
        """End a child for good, if it is there; keep its spec or not."""
        self._unschedule(charge)
        child, charge.child, charge.standing, charge.held_back = charge.child, None, "down", 0.0
        if child is not None:
            await child.end(f"its supervisor {self.ctx.path} lets it go")
        if forget and self._charges.get(charge.spec.id) is charge:
            del self._charges[charge.spec.id]

    def _find(self, id: str) -> Charge:
        given: object = id
        charge = self._charges.get(id) if isinstance(given, str) else None
        if charge is None:
            raise NotFound(f"expected one of {', '.join(self._charges) or 'no children'}, got {id!r}", id)
        return charge
