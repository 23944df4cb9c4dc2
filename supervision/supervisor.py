"""The supervisor: keeps its children up as OTP's `supervisor` does, and does what administrators ask of it."""

from typing import Any, TypeVar

from upright.actors.errors import StartFailed
from upright.actors.refs import Ref

from .charge import Charge
from .errors import AlreadyPresent, AlreadyStarted, InvalidSpec, NotStarted, Restarting, Running
from .ordered import Ordered
from .plan import Plan
from .spec import ChildSpec

A = TypeVar("A")


class Supervisor(Ordered):
    """Keeps its children up. Build one with `supervisor(…)`, or subclass it and compute the children in `plan()`.

    Administrators ask its ref: `await bank.ask(Supervisor.start_child, child("late", Ledger, "USD"))`.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        super().__init__()
        self._given = plan

    def plan(self) -> Plan:
        """The children and how to keep them up; called at every start of this supervisor."""
        return self._given if self._given is not None else Plan()

    def _find_down(self, id: str) -> Charge:
        charge = self._find(id)
        if charge.standing == "running":
            raise Running(f"expected {id!r} to be down, but it runs: terminate it first", id)
        if charge.standing == "restarting":
            raise Restarting(f"expected {id!r} to be down, but it is about to be restarted: terminate it first", id)
        return charge

    async def start_child(self, spec: ChildSpec[A]) -> Ref[A]:
        """Start another child, after all others in the order.

        Raises `AlreadyStarted`, `AlreadyPresent`, `NotStarted` (its spec is then not kept, unless it declined to
        start), or `InvalidSpec`.
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
        if self._plan.strategy != "one_for_one":
            await self._start_in_order(self._forlorn())

    def _forlorn(self) -> list[str]:
        """Those that were stopped with one and wait for its return, whom no attempt that is to come will start."""
        waiting: list[str] = []
        for id, charge in self._charges.items():
            if charge.attempt is not None:
                return [] if self._plan.strategy == "one_for_all" else waiting
            if charge.standing == "restarting":
                waiting.append(id)
        return waiting

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
