"""A delivery in hand: what happens from the handler's first line to the commit, and how it may end.

What the handler tells durable actors is staged here and stored with the ack, in one commit with the new state; what it
tells actors in memory is sent after that commit. If it does not come to that, none of it ever was.
"""

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Protocol

import msgspec

from upright.actors.durable import Delivered, Renew
from upright.actors.envelope import Envelope
from upright.actors.errors import Detached, GuardRefused, Refuse
from upright.actors.exits import Crashed, Failed
from upright.actors.fatal import FATAL, is_fatal
from upright.actors.message import Message, told
from upright.actors.passage import Permit
from upright.actors.seat import seat_now

from . import crash_points
from .attempt import InHand, in_time, trace_of
from .checkpoints import Checkpoints
from .codec import HandlerCodec, packed
from .crash_points import Point
from .durable_state import DurableState
from .judge import storable
from .plan import NotYet, Plan
from .records import Delivery, Failure, Outgoing, Step, Verdict
from .replies import refused, replied
from .solitude import Solitude
from .staging import send, stage_of


class Front(Protocol):
    """What a delivery needs of the mailbox that it came through."""

    store: Any
    address: str
    attempt_timeout: float
    solitude: Solitude

    begin: Callable[[int, int, float], int]
    now: Callable[[], float]
    end: Callable[[int], None]

    def settle(self, hand: "Hand", step: Step, error: BaseException | None = None) -> None: ...
    def failed(self, hand: "Hand", error: BaseException, failure: Failure) -> None: ...
    def put_off(self, hand: "Hand", error: GuardRefused) -> None: ...
    def not_yet(self, hand: "Hand") -> None: ...
    def give_back(self, hand: "Hand") -> None: ...
    def interrupted(self, hand: "Hand") -> None: ...
    def expired(self, hand: "Hand") -> None: ...


# No `gc`: a collector that looks at thousands that are about to end costs a fifth of the time of each, and none is part
# of a circle once its turn is over.
class Hand(msgspec.Struct, eq=False, gc=False):
    """One delivery and what it brought so far.

    `staged`: what goes into the store with its end; `later`: what actors in memory are sent after that. Most send
    nothing: a list is made when it is needed. `host`: the incarnation in which it is in hand. `until`: when no attempt
    may begin any more. `inside`: whether it is counted by `solitude`, and `alone` there. `laned`: whether others wait
    in a lane until it has ended. `permit`: what the policies of its actor gave it. `plan`: see there; an attempt of one
    that has a plan may fail without harm to the instance. `checkpoints`: the steps that it has taken, if it takes any.
    `state`: that of the actor, where it has some.
    """

    front: Front
    record: Delivery
    codec: HandlerCodec
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    staged: list[Outgoing] | tuple[()] = ()
    later: list[tuple[Any, Envelope]] | tuple[()] = ()
    asks: Counter[str] | None = None
    instance: Any = None
    host: Any = None
    slot: int = -1
    started: float = 0.0
    until: float = math.inf
    inside: bool = False
    alone: bool = False
    laned: bool = False
    permit: Permit | None = None
    plan: Plan | None = None
    checkpoints: Checkpoints | None = None
    state: DurableState | None = None

    @property
    def delivery(self) -> InHand:
        """What its handler may know of it."""
        record = self.record
        progress = msgspec.msgpack.decode(record.progress) if record.progress is not None else None
        key = self.front.store.key_of(record.id)
        return InHand(record.id, record.attempt, key, record.stored, progress, record.crashes)

    async def run_permitted(self, instance: Any) -> None:
        """As `run`, and let go of the permit, whatever came of it."""
        assert self.permit is not None
        try:
            await self.run(instance)
        finally:
            self.permit.end(asyncio.CancelledError())

    async def run(self, instance: Any) -> None:
        """Run the handler and have its outcome written. Raises `Renew` if it failed."""
        front, limit = self.front, self.front.attempt_timeout
        now = front.now()
        solitude = front.solitude
        if self.record.crashes or solitude.is_wanted:
            await self._enter()
            now = front.now()
            if solitude.shuts_out(front.address):
                self.give_back()
                return
        else:
            solitude.running += 1  # as `enter` does, without the call
        self.inside = True
        if self.until < now:
            self.leave()
            front.expired(self)
            return
        if self.state is not None and self.state.is_stale:
            await self._refresh(self.state, instance)
        seat = seat_now()
        self.host = seat.host if seat is not None else None
        self.instance, self.started = instance, now
        if crash_points.on:
            crash_points.at(Point.STARTING)
        self.slot = front.begin(self.record.id, self.record.attempt, self.started)
        if crash_points.on:
            crash_points.at(Point.STARTED)
        kind: type[Any] = instance.__class__
        function = getattr(kind, self.codec.method)
        if limit != math.inf:
            function = partial(in_time, limit, function)
        if self.permit is not None:  # around the time-out, or its policies would take that for a cancelled call
            function = partial(self.permit.run, function)
        try:
            result = await function(instance, *self.args, **(self.kwargs or {}))
            if crash_points.on:
                crash_points.at(Point.HANDLED)
            step = self._done(result)
        except BaseException as error:
            self._went_wrong(error)
        else:
            front.settle(self, step)
            if crash_points.on:
                crash_points.at(Point.DECIDED)
        finally:
            if self.alone or solitude.is_wanted or not self.inside:
                self.leave()
            else:
                solitude.running -= 1
                self.inside = False

    async def _enter(self) -> None:
        """Wait until it may run. If a process died of it, then also until those before it are done for the store too:
        what had succeeded, and was on its way there, would be suspected anew each time that this one kills the process.
        """
        solitude = self.front.solitude
        self.alone = await solitude.enter(self.front.address, bool(self.record.crashes))
        self.inside = True
        if self.record.crashes:  # alone, or asked by one that runs
            try:
                await self.front.store.flushed()
            except BaseException:
                self.give_back()
                raise

    async def _refresh(self, state: DurableState, instance: Any) -> None:
        """Read the state that another session may have written. What cannot be read costs no attempt: it goes back."""
        try:
            await state.load(instance)
        except BaseException:
            self.leave()
            self.front.give_back(self)
            raise

    def leave(self) -> None:
        """It runs no more, or nobody waits for its end any more; once."""
        if self.inside:
            self.inside = False
            self.front.solitude.leave(self.alone)

    def _done(self, result: Any) -> Step:
        record = self.record
        # Of one with an idempotency key too: whoever sends it a second time may ask.
        reply = replied(self.codec.encode_result(result)) if record.asked or record.once else None
        step = Step(record, "ack", record.attempt, started=self.started, reply=reply, outgoing=tuple(self.staged))
        if self.state is not None:
            step = self.state.saved_with(step, self.instance)
        return step if self.plan is None else self.planned(step, self.plan)

    def planned(self, step: Step, plan: Plan) -> Step:
        """That outcome, with all that goes with it."""
        return msgspec.structs.replace(
            step,
            records=plan.records(step.outcome, step.failure),
            outgoing=step.outgoing + plan.outgoing(step.outcome),
        )

    def _went_wrong(self, error: BaseException) -> None:
        """Decide what becomes of it; returns if the actor may go on with this instance."""
        front, record = self.front, self.record
        self.staged = self.later = ()
        if self._is_cut_off(error):
            front.interrupted(self)
            if isinstance(error, (*FATAL, GeneratorExit, asyncio.CancelledError)):
                raise error
            raise Renew(error) from error
        if isinstance(error, NotYet):
            front.not_yet(self)
            return
        failure = Failure(
            record.attempt, self.started, front.now(), storable(told(error)), storable(trace_of(error)),
            trace=record.trace,
        )  # fmt: skip
        if isinstance(error, GuardRefused) or (isinstance(error, Refuse) and self.plan is None):
            if self.state is not None:
                self.state.give(self.instance)
            if isinstance(error, GuardRefused):
                front.put_off(self, error)
                return
            step = Step(record, "ack", record.attempt, started=self.started, reply=refused(error))
            if not record.asked:
                step = msgspec.structs.replace(step, outcome="quarantine", reason="rejected", failure=failure)
            front.settle(self, step, error)
            return
        front.failed(self, error, failure)
        if isinstance(error, SystemExit):
            front.store.stop_intake()  # or the next attempt would end the end of the program
            raise error
        if self.plan is None:
            raise Renew(error) from error

    def _is_cut_off(self, error: BaseException) -> bool:
        """Whether the program ends or the incarnation is being cancelled, and did not merely cancel something itself.
        What its handler then makes of that, another error say, is no failure of the message.
        """
        host = self.host
        if is_fatal(error, host.carrier if host is not None else None):
            # Who ends the program does it at each attempt, which has to count; Ctrl-C is no handler's doing.
            return not isinstance(error, SystemExit)
        if host is not None and (host.killed or host.detached):
            return True
        if not isinstance(error, asyncio.CancelledError):
            return False
        return host is None or (isinstance(host.leaving, Crashed) and not isinstance(host.leaving, Failed))

    def give_back(self) -> None:
        """It will not be handled here, or nobody waits for its end any more."""
        self.leave()
        self.front.give_back(self)

    def stage(self, messages: Iterable[Outgoing]) -> None:
        """Store these with the ack, or never; inside a step with its end."""
        stage = stage_of(self.record.token)
        if stage is not None:
            stage.messages.extend(messages)
            return
        if isinstance(self.staged, tuple):
            self.staged = []
        self.staged.extend(messages)

    def has_told(self, address: str) -> bool:
        """Whether it has told that address something which waits for its end, or for that of the step."""
        stage = stage_of(self.record.token)
        waiting = (*self.staged, *stage.messages) if stage is not None else self.staged
        return any(one.address == address for one in waiting)

    def id_of(self, message: Outgoing) -> str:
        """The idempotency key of an ask in this delivery: the same at each attempt for the same question, in the same
        step if it is in one, for a step that was done asks nothing at the next attempt.
        """
        stage = stage_of(self.record.token)
        said = [stage.name if stage is not None else "", message.address, message.key, message.handler]
        content = hashlib.blake2b(msgspec.msgpack.encode((said, message.body)), digest_size=8).hexdigest()
        if self.asks is None:
            self.asks = Counter()
        self.asks[content] += 1
        return f"ask:{self.record.id}:{content}:{self.asks[content]}"

    def after_commit(self, recipient: Any, envelope: Envelope) -> None:
        """Send this to an actor in memory when the ack is committed, or never; inside a step with its end."""
        stage = stage_of(self.record.token)
        if stage is not None:
            stage.later.append((recipient, envelope))
            return
        if isinstance(self.later, tuple):
            self.later = []
        self.later.append((recipient, envelope))

    async def heartbeat(self, progress: object) -> None:
        """Tell how far the handler got. Raises `Detached` if the message is somebody else's by now."""
        record, said = self.record, b"" if progress is None else packed("progress", progress)
        if not await self.front.store.extend(record.id, record.token, said):
            raise Detached(f"the claim of message {self.record.id} for {self.record.address} has ended")

    async def step(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run that, unless it was done before for this message; its result. See `Context.step`."""
        if self.checkpoints is None:
            self.checkpoints = Checkpoints()
        return await self.checkpoints.take(self.front.store, self.record, name, function, args, kwargs)

    def settled(self, verdict: Verdict) -> None:
        """It is known whether its outcome was written; until then a crash would use the attempt up."""
        if crash_points.on:
            crash_points.at(Point.KNOWN)
        plan, self.plan = self.plan, None  # no collector looks at a hand: a circle with one would stay for ever
        if plan is not None:
            plan.settled(verdict)
        slot, self.slot = self.slot, -1
        if slot >= 0:
            self.front.end(slot)
        if crash_points.on:
            crash_points.at(Point.ENDED)
        if self.later:
            later, self.later = self.later, ()
            if verdict == "ok":
                for recipient, envelope in later:
                    send(recipient, envelope)

    def message(self) -> Message:
        """What was said."""
        return Message(self.codec.method, self.args, self.kwargs or {}, self.record.asked)


class Handed(Delivered, eq=False):
    """The envelope of a delivery."""

    def message(self) -> Message:
        """What was said, as a value that may be kept."""
        said: Message = self.work.message()
        return said


def run_in_hand(instance: Any, hand: Hand) -> Coroutine[Any, Any, None]:
    """The function of every delivery's handler."""
    return hand.run(instance) if hand.permit is None else hand.run_permitted(instance)
