"""Children in an order: started one after the other, restarted by a strategy, ended in reverse."""

from collections.abc import Sequence

from .charge import Charge
from .decision import group, shuts_down
from .intensity import Restarts
from .keeper import Keeper
from .plan import Plan


class Ordered(Keeper):
    """Keeps the children of a plan up. What administrators may ask stands in `Supervisor`."""

    def plan(self) -> Plan:
        """The children and how to keep them up; called at every start of this supervisor."""
        return Plan()

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

    async def _hold_back(self, charge: Charge) -> None:
        if self._plan.strategy != "one_for_one":
            await self._stop_with(charge)

    def _gone(self, charge: Charge) -> None:
        if not charge.spec.significant:
            return
        significant = [id for id, other in self._charges.items() if other.spec.significant and other.standing != "down"]
        if shuts_down(self._plan.auto_shutdown, True, significant):
            self.ctx.shut_down(f"the significant child {charge.spec.id} has ended")

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

    async def _bring_back(self, charge: Charge) -> None:
        if self._plan.strategy != "one_for_one":
            await self._start_in_order(await self._stop_with(charge))
        elif not self.ctx.ending:  # the same, without a look at all the others
            self._unschedule(charge)
            await self._start_or_retry(charge)

    async def _start_in_order(self, ids: Sequence[str]) -> None:
        """Start those that do not run; the first that fails is tried again later, and those after it with it."""
        for id in ids:
            charge = self._charges.get(id)
            if charge is None or charge.standing == "running":
                continue
            if self.ctx.ending or not await self._start_or_retry(charge):
                return
