"""What goes back from a durable mailbox to the store: how each delivery ended, and what waits because of that.

It stands apart from `Front`, which takes what comes from the store; both are one object.
"""

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from upright.actors.envelope import Envelope
from upright.actors.errors import ActorError, GuardRefused
from upright.actors.events import Event
from upright.actors.exits import Failed
from upright.actors.message import DeadLetter, Message, told
from upright.supervision.parking import Parked
from upright.supervision.retry import Retry

from .admission import Admission, put_off
from .checkpoints import forgotten
from .door import Door
from .events import (
    DeliveryFailed,
    DeliveryLost,
    MailboxOpened,
    MailboxParked,
    MailboxPaused,
    MailboxResumed,
    Quarantining,
)
from .hand import Hand, Handed
from .judge import Judge, no_answer, storable
from .lanes import Lanes
from .plan import UsedUp
from .reading import UNREADABLE_PAUSE
from .records import Delivery, Failure, Step, Verdict

LATE = 0.001
"""Seconds after the end of a park at which it is looked for a probe: the clocks of store and loop differ in their last
digits, and a look that came too early would be the last one.
"""


class Outcomes(Door):
    """The deliveries in hand in the mailbox of `owner`, and how they end."""

    def __init__(self, store: Any, spec: Any, owner: Any, actor: type[Any], mailbox: Any) -> None:
        super().__init__(store, spec, actor, owner.runtime, owner.path)
        self.owner, self.mailbox = owner, mailbox
        self.now: Callable[[], float] = store.now
        self.routed = False
        self._attached = False
        self._window: int = spec.window
        self._hands: dict[int, Hand] = {}  # by token: of one message there may be two, when the first claim was lost
        self._lanes = Lanes(self.order)
        self._holding: set[str | None] = set()
        self._judge = Judge(spec.retry)
        self._parking = self._judge.parking
        self.admission: Admission | None = None
        if actor.uses:
            self.admission = Admission(
                self.runtime.guards.passage(actor.uses),
                stir=lambda: store.stir(self.address),
                let_go=lambda: self._let_go_of_those_behind(None),
                told=self._tell_pause,
            )

    @property
    def is_paused(self) -> bool:
        """Whether its policies let nothing be claimed."""
        return self.admission is not None and self.admission.is_paused

    def _tell_pause(self, guard: str, paused_s: float) -> None:
        if guard:
            self._tell(MailboxPaused(self.path, self.address, guard))
        else:
            self._tell(MailboxResumed(self.path, self.address, paused_s))

    @property
    def window(self) -> int:
        """How many may be claimed at a time: in a pool, enough for each worker to have a next one."""
        return self._window if not self.routed else min(self._window, 2 * self.mailbox.size)

    def _put_aside(self, delivery: Delivery, reason: str, failure: Failure | None) -> None:
        reply = no_answer(delivery, reason, None)
        step = Step(delivery, "quarantine", delivery.attempt - 1, reason=reason, failure=failure, reply=reply)
        self._tell(Quarantining(self.path, self.address, delivery.id, reason))
        self.store.settle(step, functools.partial(self._told, step))

    def _told(self, step: Step, verdict: Verdict) -> None:
        """Whoever asked hears that there will be no answer."""
        if verdict == "ok":
            record = step.delivery
            self._bury(step, Message(record.handler, (record.body,), asked=record.asked), None)
            if step.reply is not None:
                self.store.replied(record.id, step.reply)

    def _bury(self, step: Step, message: Message, error: BaseException | None) -> None:
        """Let the dead-letter actor hear of a message that is in quarantine now."""
        record = step.delivery
        letter = DeadLetter(self.path, message, step.reason, error, record.sender or None, self.now(), record.id)
        self.runtime.office.send(letter)

    def expired(self, hand: Hand) -> None:
        """Its time was up before its turn came."""
        self._out(hand.record)
        self._parking.released(str(hand.record.id))
        self._put_aside(hand.record, "expired" if hand.record.expires < self.now() else "deadline", None)
        self.store.has_room(self.address)

    def give_back(self, hand: Hand) -> None:
        """Nobody will handle it here: the store hands it out again."""
        if hand.record.token in self._hands:
            self._out(hand.record)
            self._parking.released(str(hand.record.id))
            if not hand.started:
                self._release(hand.record)
            else:
                self.interrupted(hand)

    def _give_back(self, delivery: Delivery, heard: Callable[[Verdict], None] | None = None) -> None:
        self.store.settle(Step(delivery, "release", delivery.attempt - 1), heard or _unheard)

    def _release(self, delivery: Delivery) -> None:
        """It goes back though others of its lane may be here already: these have to come after it again."""
        lane = self._lanes.lane_of(delivery)

        def released(_: Verdict) -> None:
            self._holding.discard(lane)

        self._hold(lane)
        self._give_back(delivery, released)

    def settle(self, hand: Hand, step: Step, error: BaseException | None = None) -> None:
        """Have the outcome of a delivery written; `error`: what led to it."""
        hands = self._hands
        if hand.checkpoints is not None and step.outcome in ("ack", "discard"):
            step = msgspec.structs.replace(step, records=(*step.records, forgotten(hand.record.id)))
        if hand.laned:
            self._out(hand.record)
        else:
            hands.pop(hand.record.token, None)
        self.runtime.activity.count += 1
        self.store.settle(step, functools.partial(self._settled, hand, step, error))
        if len(hands) * 2 <= self._window and self._attached and len(hands) * 2 <= self.window:
            self.store.has_room(self.address)

    def _settled(self, hand: Hand, step: Step, error: BaseException | None, verdict: Verdict) -> None:
        hand.settled(verdict)
        if verdict == "ok" and step.outcome == "ack" and self._parking.is_spotless:  # as nearly all do
            if step.reply is not None:
                self.store.replied(hand.record.id, step.reply)
            self.runtime.activity.add(-1)
            return
        if step.holds or step.outcome == "release":
            self._holding.discard(self._lanes.lane_of(hand.record))
        if step.outcome != "ack":
            self._parking.released(str(hand.record.id))
            if self._parking.is_parked:  # another one may be the probe
                self.store.stir(self.address)
        elif self._parking.is_spotless:
            pass
        elif self._parking.succeeded(
            str(hand.record.id), self.runtime.loop.time(), self._lanes.lane_of(hand.record) or ""
        ):
            self._tell(MailboxOpened(self.path, self.address))
            self.store.stir(self.address)
        if verdict == "ok":
            if step.outcome == "quarantine":
                self._bury(step, hand.message(), error)
            if step.reply is not None:
                self.store.replied(hand.record.id, step.reply)
        else:
            self._tell(DeliveryLost(self.path, self.address, hand.record.id, hand.record.attempt, verdict))
            if verdict == "conflict":
                self._give_back(hand.record)
            if hand.host is not None and not hand.host.detached:
                hand.host.leave(Failed(RuntimeError(f"the outcome of message {hand.record.id} was refused: {verdict}")))
        self.runtime.activity.add(-1)

    def failed(self, hand: Hand, error: BaseException, failure: Failure) -> None:
        """The handler raised: decide what becomes of the message."""
        record, now, clock = hand.record, self.now(), self.runtime.loop.time()
        lane = self._lanes.lane_of(record)
        # Else a circuit knows better what all wait for; and steps of runs have each a dependency of its own.
        parks = hand.plan is None and (self.admission is None or self.admission.is_well)
        policy: Retry = hand.plan.retry if hand.plan is not None else self.spec.retry
        step, parked = self._judge.failed(
            record, error, failure, holds=lane is not None, now=now, clock=clock, parks=parks, policy=policy,
            lane=lane or "",
        )  # fmt: skip
        if parked is not None:
            self._park(parked, record, now, max(parked.until - clock, 0.0))
        elif self.admission is not None and not isinstance(error, UsedUp):
            step = self.admission.failed(step, policy, now, lane is not None)
        if hand.plan is not None:
            step = hand.planned(step, hand.plan)
        self._tell(DeliveryFailed(self.path, self.address, record.id, record.attempt, failure.error))
        if step.outcome == "quarantine":
            self._tell(Quarantining(self.path, self.address, record.id, step.reason))
        if step.holds:
            self._hold(lane)
        self.settle(hand, step, error)

    def put_off(self, hand: Hand, error: GuardRefused) -> None:
        """A guard around a call has refused it: it runs again when there may be room."""
        record, share = hand.record, self.runtime.guards.rng.random()
        lane = self._lanes.lane_of(record)
        step = put_off(record, hand.started, error.retry_after, share, lane is not None, self.now(), error.guard)
        self._hold(lane)
        self.settle(hand, step)

    def not_yet(self, hand: Hand) -> None:
        """It needs a newer program than this, which may come soon: put it off as what cannot be read."""
        record = hand.record
        lane = self._lanes.lane_of(record)
        step = Step(
            record, "retry", record.attempt - 1, at=self.now() + UNREADABLE_PAUSE,
            delay=record.delay + UNREADABLE_PAUSE, holds=lane is not None, started=hand.started, reason="definition",
        )  # fmt: skip
        self._hold(lane)
        self.settle(hand, step)

    def _hold(self, lane: str | None) -> None:
        """Let those behind wait for one that is not done."""
        if lane is not None:
            self._holding.add(lane)
            self._let_go_of_those_behind(lane)

    def _park(self, parked: Parked, record: Delivery, now: float, pause: float) -> None:
        """So many have failed that the fault is not theirs: all of them wait."""
        if parked.begins:
            self._tell(MailboxParked(self.path, self.address, pause))
            self._let_go_of_those_behind(None)
        self.store.pardon([int(id) for id in parked.give_back if int(id) != record.id])
        self.store.stir_at(self.address, now + pause + LATE)

    def _let_go_of_those_behind(self, lane: str | None) -> None:
        """They go back to the store, which hands them out in their turn. None: whatever was not begun."""

        def chosen(one: Envelope) -> bool:
            return isinstance(one, Handed) and lane in (None, self._lanes.lane_of(one.work.record))

        places: Any = (self.mailbox, *self.mailbox.workers) if self.routed else (self.mailbox,)
        behind = self._lanes.clear(lane)
        waiting: list[Handed] = []
        for place in places:
            taken = place.take_out(chosen)
            waiting += taken
            if taken and not place.queue:
                place.owner.wake()  # if it was paused, it waits for nothing any more
        for envelope in waiting:
            self._out(envelope.work.record)
            self._parking.released(str(envelope.work.record.id))
            self._give_back(envelope.work.record)
        for envelope in behind:
            self._hands.pop(envelope.work.record.token, None)
            self._give_back(envelope.work.record)

    def interrupted(self, hand: Hand) -> None:
        """Our own shutdown cut the handler off."""
        step = self._judge.interrupted(hand.record, hand.started, self.now())
        if step.outcome == "release":  # those behind it must not pass it
            self._hold(self._lanes.lane_of(hand.record))
        if step.outcome == "quarantine":
            self._tell(Quarantining(self.path, self.address, hand.record.id, step.reason))
        self.settle(hand, step)

    def _tell(self, event: Event) -> None:
        if self.runtime.bus.wants(type(event)):
            self.runtime.bus.emit(event)

    def _out(self, delivery: Delivery) -> None:
        """It is not in hand here any more: the next one of its lane may go on."""
        hand = self._hands.pop(delivery.token, None)
        if hand is not None and hand.laned:
            follower = self._lanes.leave(delivery)
            if follower is not None:
                self._pass_in(follower)

    def _pass_in(self, envelope: Handed) -> None:
        record = envelope.work.record
        try:
            if not self.mailbox.put_nowait(envelope):
                self.mailbox.line_up(envelope, None)  # in a pool, until a worker has room
        except ActorError as error:  # by its key, say, nobody can be found
            now = self.now()
            self._out(record)
            self._put_aside(record, "unroutable", Failure(record.attempt - 1, now, now, storable(told(error))))


def _unheard(_: Verdict) -> None:
    """Nobody wants to know."""
