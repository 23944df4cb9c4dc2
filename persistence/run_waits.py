"""What comes to a run from outside: a signal, a time, a word by hand, or that its message killed its process.

It stands apart from `run_steps`, which makes the moves that follow from it.
"""

from .errors import RunNotFound
from .moves import Perform
from .run_plan import DEFINITION, NO_RUN, DefinitionChanged, RunPlan
from .run_record import ENDED
from .run_steps import RunSteps
from .steps import Reject, consulted


class RunWaits(RunSteps):
    """Ends the waiting of one runner's runs."""

    def lost(self, plan: RunPlan, letter: int) -> None:
        """A message of the run is in quarantine, and no handler could say so: its process died each time."""
        record = plan.record
        record.letter, record.error = letter, "its process died with it in hand, three times in a row"
        if record.status != "compensating":
            record.status = "failed"
        plan.tell("failed", error=record.error)
        plan.change()

    async def stirred(self, plan: RunPlan) -> None:
        """Something came from outside: it may go on, unless its next step is on its way."""
        plan.check_version()
        record = plan.record
        under_way = record.status in ("running", "compensating") and not record.letter
        if under_way or self._is_stuck(plan):
            plan.change()
        else:
            await self.advance(plan)

    def _is_stuck(self, plan: RunPlan) -> bool:
        """Whether it has failed, and waits for somebody who mends that. What comes is kept for it meanwhile: what has
        no attempt left is not tried again because of it. Only a signal that leads out of the state, where it waited for
        one, leads it on, and a cancel, if it does not take back already.
        """
        record = plan.record
        has_failed = record.letter or record.status == "failed"
        if not has_failed or plan.hand.record.id in record.letters:
            return False
        if record.cancel is not None and record.status != "compensating":
            return False
        try:
            move = self._next(plan)
        except Exception:  # a guard at fault, or a definition that does not know it: that is why it has failed
            return True
        return not isinstance(move, Perform) or move.signal is None

    async def signalled(self, plan: RunPlan, name: str, payload: bytes) -> None:
        """Somebody has sent it that signal."""
        if not plan.exists:
            plan.retry = NO_RUN
            raise RunNotFound(f"expected a run {plan.id!r} of {self._runner.kind}: there is none")
        if plan.record.status in ENDED:
            plan.tell("signalled", name, error="it is over: nothing came of it")
            plan.change()
            return
        plan.check_version()
        if name not in self._definition.transitions:
            plan.retry = DEFINITION
            raise DefinitionChanged(f"{self._definition.title} has no signal {name!r} any more")
        plan.record.inbox.append((name, payload))
        plan.tell("signalled", name)
        await self.stirred(plan)

    async def timed_out(self, plan: RunPlan, name: str) -> None:
        """It has waited for long enough."""
        plan.check_version()
        transition = self._definition.transitions.get(name)
        if transition is None or str(transition.source.value) != plan.record.state:
            plan.retry = DEFINITION
            raise DefinitionChanged(f"{self._definition.title} has no {name!r} any more after {plan.record.state!r}")
        try:
            if transition.when is not None and not consulted(transition.when, plan.data()):
                return
        except Reject as error:
            plan.tell("timed_out", name)
            self._rejected(plan, transition, error)
        else:
            plan.tell("timed_out", name)
            await self._perform(plan, transition)
        await self._follow(plan)

    async def rewind(self, plan: RunPlan, step: str) -> None:
        """Go on from that step, whatever was done since."""
        plan.check_version()
        transition = self._definition.transitions.get(step)
        if transition is None:
            plan.retry = DEFINITION
            raise DefinitionChanged(f"{self._definition.title} has no step {step!r}")
        record = plan.record
        record.status, record.cancel, record.finished = "running", None, 0.0
        plan.tell("redriven", step)
        self.enter(plan, transition.source)
        await self._follow(plan)
