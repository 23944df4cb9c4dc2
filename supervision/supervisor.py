"""The supervisor:

starts children in order, and keeps them up as OTP's `supervisor` does. The rules are in `decision` and `intensity`.
"""

import random
from collections.abc import Sequence
from typing import Any, TypeVar

from upright.actors.errors import Ignore, StartFailed
from upright.actors.exits import Crashed, Exit
from upright.actors.parent import Child, Parent
from upright.actors.refs import Ref

from .charge import Charge, ChildInfo, Counts, count
from .decision import Verdict, group, judge, shuts_down
from .errors import AlreadyPresent, AlreadyStarted, InvalidSpec, NotFound, NotStarted, Restarting, Running
from .intensity import Restarts
from .plan import Plan
from .spec import ChildSpec

A = TypeVar("A")


class Supervisor(Parent):
    """Keeps its children up. Build one with `supervisor(…)`, or subclass it and compute the children in `plan()`.

    Administrators ask its ref: `await bank.ask(Supervisor.start_child, child("late", Ledger, "USD"))`.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        self._given = plan
        self._charges: dict[str, Charge] = {}
        self._rng = random.Random()

    def plan(self) -> Plan:
        """The children and how to keep them up; called at every start of this supervisor."""
        return self._given if self._given is not None else Plan()

    async def started(self) -> None:
        """Start the children in order; if one fails, those before it are ended in reverse and this start fails."""
        self._plan = self.plan()
        self._restarts = Restarts(self._plan.intensity)
        for spec in self._plan.children:
            charge = self._charges[spec.id] = Charge(spec)
            await self._start(charge)

    def start_order(self) -> Sequence[str]:
        """The order of the specs, which a child that was terminated and restarted keeps."""
        return tuple(self._charges)

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """A child has ended by itself: restart it and whom the strategy names with it, or keep or forget its spec."""
        charge = self._charges.get(child.path.rpartition("/")[2])
        if charge is None or charge.child is not child or charge.standing != "running":
            return  # not ours any more, or its group is being restarted anyway
        match judge(charge.spec.restart, exit):
            case Verdict.RESTART:
                await self._restart(charge, exit)
            case Verdict.KEEP:
                await self._let_go(charge, forget=False)
                self._look_at_auto_shutdown(charge)
            case Verdict.FORGET:
                await self._let_go(charge, forget=True)
                self._look_at_auto_shutdown(charge)

    async def retry(self, id: str) -> None:
        """The delay of a restart is over, or a restart that failed is to be tried again."""
        charge = self._charges.get(id)
        if charge is not None and charge.standing == "restarting":
            await self._bring_back(charge)

    async def _restart(self, charge: Charge, exit: Exit) -> None:
        now = self.ctx.now()
        if self._restarts.would_exceed(now):
            self.ctx.shut_down(charge.last_words(self._restarts, now, exit), gave_up=True)
            return
        self._restarts.record(now)
        charge.standing = "restarting"
        delay = charge.delay(now, self._rng)
        if delay:
            await self._stop_with(charge)
            self._schedule(charge, delay)
        else:
            await self._bring_back(charge)

    async def _stop_with(self, failed: Charge) -> tuple[str, ...]:
        """Stop whom the strategy stops with it; who is to be started then, in order."""
        touched = group(self._plan.strategy, tuple(self._charges), failed.spec.id)
        for id in touched.start:
            self._unschedule(self._charges[id])  # one pending attempt per group: this one
        for id in touched.stop:
            charge = self._charges[id]
            if charge.spec.restart == "temporary":
                await self._let_go(charge, forget=True)
            elif charge.child is not None and charge.standing == "running":
                await charge.child.halt(f"{self._plan.strategy}: {failed.spec.id} is restarted")
                charge.standing = "restarting"
        return touched.start

    async def _bring_back(self, failed: Charge) -> None:
        await self._start_in_order(await self._stop_with(failed))

    async def _start_in_order(self, ids: Sequence[str]) -> None:
        """Start those that do not run; the first that fails is tried again later, and those after it with it."""
        for id in ids:
            charge = self._charges.get(id)
            if charge is None or charge.standing == "running":
                continue
            if self.ctx.ending:
                return
            try:
                await self._start(charge)
            except StartFailed as error:
                charge.standing = "restarting"
                self._try_again(charge, error)
                return

    def _try_again(self, charge: Charge, error: StartFailed) -> None:
        """Queue the next attempt to oneself, so that everybody else is served before it; it counts as a restart."""
        now = self.ctx.now()
        cause = error.__cause__ if error.__cause__ is not None else error
        if self._restarts.would_exceed(now):
            self.ctx.shut_down(charge.last_words(self._restarts, now, Crashed(cause)), gave_up=True)
            return
        self._restarts.record(now)
        self._schedule(charge, charge.delay(now, self._rng))

    def _schedule(self, charge: Charge, delay: float) -> None:
        self._unschedule(charge)
        charge.attempt = self.ctx.after(delay, Supervisor.retry, charge.spec.id)

    def _unschedule(self, charge: Charge) -> None:
        attempt, charge.attempt = charge.attempt, None
        if attempt is not None:
            attempt.cancel()

    def _look_at_auto_shutdown(self, ended: Charge) -> None:
        left = [id for id, charge in self._charges.items() if charge.spec.significant and charge.standing != "down"]
        if shuts_down(self._plan.auto_shutdown, ended.spec.significant, left):
            self.ctx.shut_down(f"the significant child {ended.spec.id} has ended")

    async def _start(self, charge: Charge) -> None:
        """Start a child for the first time or again. One that declines stays down; raises `StartFailed`."""
        try:
            if charge.child is None:
                ref = await self.ctx.spawn_from(charge.spec.blueprint())
                charge.child = ref.recipient  # type: ignore[assignment]  # the actor, as its parent sees it
            else:
                await charge.child.restart()
        except Ignore:
            await self._let_go(charge, forget=charge.spec.restart == "temporary")
        else:
            charge.standing = "running"

    async def _let_go(self, charge: Charge, forget: bool) -> None:
        """End a child for good, if it is there; keep its spec or not."""
        self._unschedule(charge)
        child, charge.child, charge.standing = charge.child, None, "down"
        if child is not None:
            await child.end(f"its supervisor {self.ctx.path} lets it go")
        if forget and self._charges.get(charge.spec.id) is charge:
            del self._charges[charge.spec.id]

    def _find(self, id: str) -> Charge:
        charge = self._charges.get(id)
        if charge is None:
            raise NotFound(f"expected one of {', '.join(self._charges) or 'no children'}, got {id!r}", id)
        return charge

    def _find_down(self, id: str) -> Charge:
        charge = self._find(id)
        if charge.standing == "running":
            raise Running(f"expected {id!r} to be down, but it runs: terminate it first", id)
        if charge.standing == "restarting":
            raise Restarting(f"expected {id!r} to be down, but it is about to be restarted: terminate it first", id)
        return charge

    async def start_child(self, spec: ChildSpec[A]) -> Ref[A]:
        """Start another child, after all others in the order.

        Raises `AlreadyStarted`, `AlreadyPresent`, `NotStarted` (its spec is then not kept), or `InvalidSpec`.
        """
        try:
            self._plan.check(spec, ())
        except (TypeError, ValueError) as error:
            raise InvalidSpec(str(error), str(getattr(spec, "id", ""))) from error
        known = self._charges.get(spec.id)
        if known is not None and known.standing == "running" and known.child is not None:
            raise AlreadyStarted(spec.id, known.child.self_ref)
        if known is not None:
            raise AlreadyPresent(f"expected a new id, but {spec.id!r} is known: restart or delete it", spec.id)
        charge = self._charges[spec.id] = Charge(spec)
        try:
            await self._start(charge)
        except StartFailed as error:
            del self._charges[spec.id]
            raise NotStarted(error, spec.id) from error.__cause__
        if charge.child is None:
            raise NotStarted(StartFailed(f"{self.ctx.path}/{spec.id}", "it declined to start"), spec.id)
        ref: Ref[A] = charge.child.self_ref
        return ref

    async def terminate_child(self, id: str) -> None:
        """End a child, or its attempts to come back; its spec stays, unless it is temporary. Raises `NotFound`."""
        charge = self._find(id)
        await self._let_go(charge, forget=charge.spec.restart == "temporary")
        if not any(other.attempt for other in self._charges.values()):
            # Those that were stopped with it waited for its return.
            await self._start_in_order([id for id, other in self._charges.items() if other.standing == "restarting"])

    async def restart_child(self, id: str) -> Ref[Any] | None:
        """Start a child that is down;

        None if it declines. Raises `NotFound`, `Running`, `Restarting`, `NotStarted` (the spec stays).
        """
        charge = self._find_down(id)
        try:
            await self._start(charge)
        except StartFailed as error:
            charge.child = None
            raise NotStarted(error, id) from error.__cause__
        return charge.child.self_ref if charge.child is not None else None

    async def delete_child(self, id: str) -> None:
        """Forget the spec of a child that is down. Raises `NotFound`, `Running`, `Restarting`."""
        self._find_down(id)
        del self._charges[id]

    async def which_children(self) -> list[ChildInfo]:
        """All children, the newest first."""
        return [charge.info() for charge in reversed(self._charges.values())]

    async def count_children(self) -> Counts:
        """How many children there are, run, and of which kind."""
        return count(list(self._charges.values()))
