"""How the moves of a run are made: the step's method is called, and the record is brought to where that leads."""

import asyncio
import enum
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol
from urllib import parse

import msgspec

from upright.actors.errors import GuardRefused, Refuse, WrongArguments
from upright.actors.message import said, told
from upright.supervision.retry import Again, Failed, Ruling, decide, retry_after

from .attempt import in_time
from .definition import Definition
from .forms import Misfit
from .hand import Hand
from .moves import Arrive, Finish, Lost, Perform, Refused, Undo, Wait, next_move
from .plan import Plan, UsedUp
from .records import Outgoing
from .run_plan import DEFINITION, LATE, REJECTED, USED_UP, DefinitionChanged, RunPlan, not_yet
from .run_record import Done, Status
from .signals import signal_form
from .state_machine import StateMachine, StepContext
from .steps import Reject, Transition

State = enum.Enum


class Runner(Protocol):
    """What the steps need of the actor that runs them."""

    machine: type[StateMachine[Any]]
    at_once: ClassVar[int]
    ctx: Any

    def make(self) -> StateMachine[Any]: ...
    @property
    def hand(self) -> Hand: ...
    @property
    def kind(self) -> str: ...
    def locate(self, path: str, actor: type[Any]) -> Any: ...
    def message(self, handler: str, key: str, *args: Any, due: float = 0.0, address: str = "") -> Outgoing: ...


class RunSteps:
    """Makes the moves of one runner's runs."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._definition: Definition = runner.machine.definition
        self._rng = random.Random()
        self._room = asyncio.Semaphore(runner.at_once)  # each handler has a limit of its own, and steps are in many

    def enter(self, plan: RunPlan, state: State) -> None:
        """Be in that state from now on."""
        record = plan.record
        self._cancel_child(plan)
        record.state, record.entry, record.joining = str(state.value), record.entry + 1, None
        plan.tell("entered")

    async def advance(self, plan: RunPlan) -> None:
        """Make the next move, and say what comes after it."""
        plan.check_version()
        record = plan.record
        if record.cancel is not None and record.status != "compensating":
            if self._is_joining(plan):
                self._cancel_child(plan)
            else:
                self._compensate(plan, self._definition.cancelled, "cancelled")
                await self._follow(plan)  # and so that is stored, whatever becomes of the first undo
                return
        match self._next(plan):
            case Perform(transition, signal, place):
                if signal is not None:
                    del record.inbox[place]
                if transition.joins:
                    await self._begin_joining(plan, transition)
                else:
                    await self._perform(plan, transition, *self._payload(plan, transition, signal))
            case Refused(transition, error, place):
                if place >= 0:
                    del record.inbox[place]
                self._rejected(plan, transition, error)
            case Undo(done, transition):
                await self._undo(plan, done, transition)
            case _:
                pass
        await self._follow(plan)

    def _next(self, plan: RunPlan) -> Perform | Refused | Undo | Arrive | Finish | Wait:
        move = next_move(self._definition, plan.record, plan.data)
        if isinstance(move, Lost):
            plan.retry = DEFINITION
            raise DefinitionChanged(f"{self._definition.title}: {move.why}")
        return move

    async def _follow(self, plan: RunPlan) -> None:
        """What comes next: another delivery makes the next step, so that each is committed by itself."""
        record, hand = plan.record, plan.hand
        record.seq += 1
        record.letter, record.error = 0, ""
        plan.change()
        while True:
            match self._next(plan):
                case Perform() | Refused() | Undo():
                    if record.status != "compensating":
                        record.status = "running"
                    hand.stage((self._runner.message("go", plan.id, plan.id, record.seq),))
                    return
                case Arrive():
                    goal = self._definition.state(record.goal)
                    record.status, outcome = "running", record.outcome
                    if goal is not None:
                        self.enter(plan, goal)
                    if goal is None or goal in self._definition.final or outcome == "cancelled":
                        await self._finish(plan, outcome)
                        return
                case Finish():
                    await self._finish(plan, "completed")
                    return
                case Wait(timers):
                    self._set_timers(plan, timers)
                    joining = record.joining
                    stuck = joining is not None and joining.failed and not self._is_joining(plan)
                    record.status = "failed" if stuck else "waiting"
                    return

    def _set_timers(self, plan: RunPlan, timers: tuple[Transition, ...]) -> None:
        record = plan.record
        if record.timed != record.entry:  # once for each time that it comes into the state
            record.timed = record.entry
            now = plan.now()
            plan.hand.stage(
                self._runner.message("timed_out", plan.id, plan.id, record.entry, one.name, due=now + one.delay)
                for one in timers
            )

    async def _finish(self, plan: RunPlan, outcome: Status) -> None:
        record = plan.record
        record.status, record.finished, record.joining = outcome, plan.now(), None
        record.inbox.clear()
        plan.tell("finished", error=outcome if outcome != "completed" else "")
        parent = record.parent
        if parent is not None:
            data = self._runner.machine.form.encode(plan.data()) if outcome == "completed" else b""
            why = "" if outcome == "completed" else f"its run {plan.id} was {outcome}"
            args = parent.id, parent.entry, parent.step, 0, data, why, "", 0, self._runner.machine.version
            plan.hand.stage((self._runner.message("joined", parent.id, *args, address=parent.kind),))

    def _cancel_child(self, plan: RunPlan) -> None:
        """The run that was waited for is waited for no more, or this one is to be cancelled."""
        joining = plan.record.joining
        if joining is not None and joining.child is not None and not joining.results and not joining.refused:
            address, id = joining.child
            why = f"run {plan.id} goes on without it"
            plan.hand.stage((self._runner.message("cancel", id, id, why, address=address),))

    async def _perform(self, plan: RunPlan, transition: Transition, *args: Any) -> None:
        record, attempt = plan.record, plan.hand.record.attempt
        visit = record.visits.get(transition.name, 0)
        plan.step = transition.name
        plan.data()  # or the definition is to be mended, and no way out of a failure is to be taken
        plan.retry = transition.retry
        try:
            check_attempt(plan, plan.hand)
            await self._call(plan, transition.name, transition.function, transition.limit, visit, *args)
        except GuardRefused:
            raise
        except Reject as error:
            if plan.hand._is_cut_off(error):
                raise
            plan.undo_changes()
            self._rejected(plan, transition, error)
        except BaseException as error:
            if (
                isinstance(error, SystemExit)
                or plan.hand._is_cut_off(error)
                or transition.on_failure is None
                or not self._was_last(plan, error)
            ):
                raise
            plan.undo_changes()
            plan.tell("failed", transition.name, attempt, told(error))
            self._divert(plan, transition.on_failure)
        else:
            record.visits[transition.name] = visit + 1
            if transition.undo is not None:
                record.done.append(Done(transition.name, visit))
            plan.tell("completed", transition.name, attempt)
            self.enter(plan, transition.to)

    def _rejected(self, plan: RunPlan, transition: Transition, error: Reject) -> None:
        """The business says no. Raises that where the step says nothing of where it leads."""
        record, plan.step = plan.record, transition.name
        if transition.on_reject is None:
            plan.retry = REJECTED
            raise error
        record.visits[transition.name] = record.visits.get(transition.name, 0) + 1
        plan.tell("rejected", transition.name, plan.hand.record.attempt, told(error))
        self._divert(plan, transition.on_reject)

    async def _call(
        self, plan: RunPlan, step: str, function: Callable[..., Awaitable[Any]], limit: float, visit: object, *args: Any
    ) -> Any:  # fmt: skip
        data, hand = plan.to_call(), plan.hand
        machine = self._runner.make()
        run = f"{quote(self._runner.kind)}-{quote(plan.id)}-{plan.record.birth}"
        key = f"{hand.front.store.name}-{run}-{quote(step)}-{visit}"
        machine.ctx = StepContext(self._runner.ctx, plan.id, step, hand, key)
        try:
            async with self._room:
                return await in_time(limit, overridden(type(machine), function), machine, data, *args)
        except GuardRefused:
            raise
        except WrongArguments as error:  # is a refusal, but of the program and not of the business
            raise TypeError(str(error)) from error
        except Refuse as error:
            raise Reject(said(error)) from error

    def _was_last(self, plan: RunPlan, error: BaseException) -> bool:
        """Whether no further attempt would follow; if one does, it comes when it was decided here."""
        record = plan.hand.record
        failed = Failed(error, record.attempt, record.accepted, record.delay)
        verdict = decide(plan.retry, failed, plan.now(), self._rng)
        if isinstance(verdict, Again):
            ruling = retry_after(verdict.delay)

            def decided(_: BaseException) -> Ruling:
                return ruling

            plan.retry = msgspec.structs.replace(plan.retry, deadline=math.inf, classify=decided)
        return not isinstance(verdict, Again)

    def _divert(self, plan: RunPlan, state: State) -> None:
        """Go to another state than the step's own; if that is a final one, take back first what was done."""
        if state in self._definition.final:
            self._compensate(plan, state, "rejected")
        else:
            self.enter(plan, state)

    def _compensate(self, plan: RunPlan, goal: State | None, outcome: Status) -> None:
        record = plan.record
        self._cancel_child(plan)
        record.status, record.outcome, record.joining = "compensating", outcome, None
        record.goal = str(goal.value) if goal is not None else ""

    async def _undo(self, plan: RunPlan, done: Done, transition: Transition) -> None:
        assert transition.undo is not None
        plan.step, plan.retry = transition.undo.__name__, transition.retry
        check_crash(plan, plan.hand)
        await self._call(
            plan, f"undo-{transition.name}", transition.undo, transition.limit, done.visit
        )  # fmt: skip
        done.undone = True
        plan.tell("compensated", transition.name, plan.hand.record.attempt)

    async def _begin_joining(self, plan: RunPlan, transition: Transition) -> None:
        """Have what runs beside each other begin; see `run_joins`."""
        raise NotImplementedError

    def _is_joining(self, plan: RunPlan) -> bool:
        """Whether branches are still under way."""
        joining = plan.record.joining
        return joining is not None and joining.begun > len(joining.results) + len(joining.failed) + joining.refused

    def _payload(self, plan: RunPlan, transition: Transition, signal: bytes | None) -> tuple[Any, ...]:
        """The arguments of a signal's method. They may have been sent by a newer program than this."""
        if signal is None:
            return ()
        try:
            return signal_form(transition.function).decode(signal, self._runner.locate)
        except Misfit as error:
            raise not_yet(plan, plan.hand, f"a signal {transition.name!r} does not fit: {error}") from error


def check_attempt(plan: Plan, hand: Hand) -> None:
    """Raise `TimeoutError` or `UsedUp` if no attempt may begin any more, by the policy that counts."""
    check_crash(plan, hand)
    if plan.retry.last_start(hand.record.accepted) < hand.front.now():
        plan.retry = LATE
        raise TimeoutError("its time was up before this attempt")


def check_crash(plan: Plan, hand: Hand) -> None:
    """Raise `UsedUp` if its process died in the last attempt that the policy gives it. The mailbox cannot know that:
    which step a message leads to, and so which policy counts, is found out here.
    """
    most = plan.retry.max_attempts
    if hand.record.crashes and hand.record.attempt > most:
        plan.retry = USED_UP
        raise UsedUp(f"its process died in the last of {most} attempts" if most > 1 else "its process died in it")


def overridden(machine: type[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The method that the class has in the place of that one: a derived class may have another."""
    name = getattr(function, "__name__", "")
    if any(vars(base).get(name) is function for base in machine.__mro__):
        found: Callable[..., Any] = getattr(machine, name)
        return found
    return function


def quote(text: str) -> str:
    """The text in letters of which an idempotency key may be made, the `-` between its parts not among them."""
    return text if text.isascii() and text.isalnum() else parse.quote(text, safe="/").replace("-", "%2D")
