"""What stands between the store and one durable mailbox: takes what was claimed, hands out what was decided."""

import functools
from collections.abc import Callable
from typing import Any

from upright.actors.envelope import Envelope
from upright.actors.errors import ActorError
from upright.actors.events import Event
from upright.actors.exits import Failed
from upright.actors.handlers import Handler
from upright.actors.message import DeadLetter, Message, told
from upright.supervision.parking import Parked

from .codec import HandlerCodec, StateCodec
from .door import Door
from .durable_state import DurableState
from .events import DeliveryFailed, DeliveryLost, MailboxOpened, MailboxParked, Quarantining
from .hand import Hand, Handed, run_in_hand
from .judge import Judge, no_answer, storable
from .lanes import Lanes
from .reading import Reader, Unread
from .records import Delivery, Failure, Step, Verdict
from .solitude import Solitude


class Front(Door):
    """The durable side of the mailbox of `owner`, which runs handlers of `actor`."""

    def __init__(self, store: Any, spec: Any, owner: Any, actor: type[Any], mailbox: Any) -> None:
        super().__init__(store, spec, actor, owner.runtime, owner.path)
        self.owner, self.mailbox = owner, mailbox
        self.attempt_timeout: float = spec.retry.attempt_timeout
        codec: StateCodec[Any] | None = actor.__state__
        self.state = None
        if codec is not None:
            self.state = DurableState(store, self.address, codec, actor.__state_kind__, self.runtime)
        self._hands: dict[int, Hand] = {}  # by token: of one message there may be two, when the first claim was lost
        self._attached = self._counted = False
        self._window: int = spec.window
        self.begin: Callable[[int, int, float], int] = store.begin
        self.end: Callable[[int], None] = store.end
        self.now: Callable[[], float] = store.now
        self._handlers: dict[str, Handler] = {}
        self._reader = Reader(actor, self._codec, spec.retry, self.runtime.locate)
        self._lanes = Lanes(self.order)
        self._holding: set[str | None] = set()
        self._judge = Judge(spec.retry)
        self._parking = self._judge.parking
        self.solitude: Solitude = store.solitude
        self.routed = False
        self._overlapping = self.order == "keyed"  # handlers of one actor may overlap then, but not those of one key

    def room(self) -> int:
        """How many more deliveries it would take now."""
        if not self._is_manned:
            return 0
        most = self._parking.may_claim(self.runtime.loop.time()) if self._parking.is_parked else None
        if most is not None:
            return most
        return max(0, self.window - len(self._hands))

    def lowest(self) -> int | None:
        """See `Consumer.lowest`. A pool has few that are not begun."""
        hands = self._hands
        if self.routed or not self._attached or self._parking.is_parked or len(hands) >= 2 * self._window:
            return None
        return min((hand.record.priority for hand in hands.values() if not hand.started), default=None)

    @property
    def window(self) -> int:
        """How many may be claimed at a time: in a pool, enough for each worker to have a next one."""
        return self._window if not self.routed else min(self._window, 2 * self.mailbox.size)

    def gained(self) -> None:
        """Others may have had the address until now: read the state before the next message, and let go of what was
        claimed before and not begun.
        """
        if self.state is not None:
            self.state.is_stale = True
        self._let_go_of_those_behind(None)

    def take(self, deliveries: list[Delivery]) -> None:
        """They are claimed: have them handled in their turn."""
        now, parking, ready = self.now(), self._parking, list[Handed]()
        for delivery in deliveries:
            if self._holding and self._lanes.lane_of(delivery) in self._holding:
                self._give_back(delivery)  # it was claimed before the one in front of it had to wait for its retry
                continue
            envelope = self._accept(delivery, now)
            if envelope is None:
                continue
            if parking.is_parked:
                parking.claimed(str(delivery.id), self.runtime.loop.time())
            self._hands[delivery.token] = envelope.work
            if not self.routed and not (self._overlapping and envelope.handler.limit):
                ready.append(envelope)
                continue
            envelope.work.laned = True
            if self._lanes.enter(envelope):
                self._pass_in(envelope)
        if ready:
            self.mailbox.take_in(ready)
        if len(self._hands) < len(deliveries):  # not all are to be handled: there may be others in their place
            self.store.has_room(self.address)

    def _pass_in(self, envelope: Handed) -> None:
        record = envelope.work.record
        try:
            if not self.mailbox.put_nowait(envelope):
                self.mailbox.line_up(envelope, None)  # in a pool, until a worker has room
        except ActorError as error:  # by its key, say, nobody can be found
            now = self.now()
            self._out(record)
            self._put_aside(record, "unroutable", Failure(record.attempt - 1, now, now, storable(told(error))))

    def _out(self, delivery: Delivery) -> None:
        """It is not in hand here any more: the next one of its lane may go on."""
        hand = self._hands.pop(delivery.token, None)
        if hand is not None and hand.laned:
            follower = self._lanes.leave(delivery)
            if follower is not None:
                self._pass_in(follower)

    def _accept(self, delivery: Delivery, now: float) -> Handed | None:
        """The envelope of a delivery, if it is to be handled and can be read."""
        read = self._reader.read(delivery, now)
        if isinstance(read, Unread):
            failure = Failure(delivery.attempt - 1, now, now, read.why) if read.why else None
            if read.again_at is None:
                self._put_aside(delivery, read.reason, failure)
            else:
                self._defer(delivery, read, read.again_at)
            return None
        hand = Hand(self, delivery, *read, until=min(delivery.expires, self.spec.retry.last_start(delivery.accepted)))
        handler = self._handlers.get(hand.codec.method) or self._handler(hand.codec)
        return Handed(handler, (hand,), None, None, work=hand)

    def _defer(self, delivery: Delivery, unread: Unread, at: float) -> None:
        """Try to read it at another time; what comes behind it waits, where there is an order."""
        lane = self._lanes.lane_of(delivery)

        def deferred(_: Verdict) -> None:
            self._holding.discard(lane)

        if lane is not None:
            self._holding.add(lane)
        step = Step(
            delivery, "retry", delivery.attempt - 1, at=at, delay=unread.waited, holds=lane is not None,
            reason=unread.reason,
        )  # fmt: skip
        self.store.settle(step, deferred)

    def check(self, handler: str, body: bytes) -> None:
        """Raise `Undecodable` for what this actor could not read."""
        self._reader.call(handler, body)

    def _handler(self, codec: HandlerCodec) -> Handler:
        limit = getattr(codec.function, "__concurrent__", 0)
        found = self._handlers[codec.method] = Handler(codec.method, run_in_hand, limit, self.routed)
        return found

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

    def depth_is(self, depth: int) -> None:
        """How many unfinished messages there are, in memory or not."""
        super().depth_is(depth)
        self._count()

    @property
    def _is_manned(self) -> bool:
        """Whether there is anybody who could handle a message."""
        return self._attached and not (self.routed and not self.mailbox.workers)

    def _count(self) -> None:
        """A system is not idle while it has something to handle and somebody who does."""
        busy = bool(self._depth) and self._is_manned
        if busy != self._counted:
            self._counted = busy
            self.runtime.activity.add(1 if busy else -1)

    async def restore(self, instance: Any) -> None:
        """Give a new instance its state, and let messages come."""
        if self.state is not None:
            await self.state.load(instance)
        if not self._attached:
            self._attached = True
            self.store.attach(self)

    def refresh(self) -> None:
        """There is somebody again who handles messages, or nobody any more."""
        self._count()
        if self._attached:
            self.store.stir(self.address)

    def leave(self) -> None:
        """The actor has ended for good: what was claimed for it goes back."""
        if self._attached:
            self._attached = False
            self.store.detach(self)
        hands, self._hands = self._hands, {}
        for hand in hands.values():
            if not hand.started:
                self._give_back(hand.record)
        self._count()
        for room in self._rooms:
            if not room.done():
                room.set_result(None)

    def give_back(self, hand: Hand) -> None:
        """Nobody will handle it here: the store hands it out again."""
        if hand.record.token in self._hands:
            self._out(hand.record)
            self._parking.released(str(hand.record.id))
            if not hand.started:
                self._give_back(hand.record)
            else:
                self.interrupted(hand)

    def _give_back(self, delivery: Delivery) -> None:
        self.store.settle(Step(delivery, "release", delivery.attempt - 1), _unheard)

    def settle(self, hand: Hand, step: Step, error: BaseException | None = None) -> None:
        """Have the outcome of a delivery written; `error`: what led to it."""
        hands = self._hands
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
        if step.holds:
            self._holding.discard(self._lanes.lane_of(hand.record))
        if step.outcome != "ack":
            self._parking.released(str(hand.record.id))
        elif self._parking.is_spotless:
            pass
        elif self._parking.succeeded(str(hand.record.id), self.runtime.loop.time()) is not None:
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
        step, parked = self._judge.failed(
            record, error, failure, holds=lane is not None, now=now, clock=clock
        )  # fmt: skip
        if parked is not None:
            self._park(parked, record, now, max(parked.until - clock, 0.0))
        self._tell(DeliveryFailed(self.path, self.address, record.id, record.attempt, failure.error))
        if step.outcome == "quarantine":
            self._tell(Quarantining(self.path, self.address, record.id, step.reason))
        if step.holds and lane is not None:
            self._holding.add(lane)
            self._let_go_of_those_behind(lane)
        self.settle(hand, step, error)

    def _park(self, parked: Parked, record: Delivery, now: float, pause: float) -> None:
        """So many have failed that the fault is not theirs: all of them wait."""
        if parked.begins:
            self._tell(MailboxParked(self.path, self.address, pause))
            self._let_go_of_those_behind(None)
        self.store.pardon([int(id) for id in parked.give_back if int(id) != record.id])
        self.store.stir_at(self.address, now + pause)

    def _let_go_of_those_behind(self, lane: str | None) -> None:
        """They go back to the store, which hands them out in their turn. None: whatever was not begun."""

        def chosen(one: Envelope) -> bool:
            return isinstance(one, Handed) and lane in (None, self._lanes.lane_of(one.work.record))

        places: Any = (self.mailbox, *self.mailbox.workers) if self.routed else (self.mailbox,)
        behind = self._lanes.clear(lane)
        waiting: list[Handed] = [one for place in places for one in place.take_out(chosen)]
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
        if step.outcome == "quarantine":
            self._tell(Quarantining(self.path, self.address, hand.record.id, step.reason))
        self.settle(hand, step)

    def _tell(self, event: Event) -> None:
        if self.runtime.bus.wants(type(event)):
            self.runtime.bus.emit(event)


def _unheard(_: Verdict) -> None:
    """Nobody wants to know."""
