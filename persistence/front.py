"""What stands between the store and one durable mailbox: takes what was claimed, hands out what was decided."""

from collections.abc import Callable
from typing import Any

from upright.actors.handlers import Handler

from .codec import HandlerCodec, StateCodec
from .door import EntityDoor
from .durable_state import DurableState
from .hand import Hand, Handed, run_in_hand
from .outcomes import Outcomes
from .reading import Reader, Unread
from .records import Delivery, Failure, Step, Verdict
from .solitude import Solitude


class Front(Outcomes):
    """The durable side of the mailbox of `owner`, which runs handlers of `actor`."""

    def __init__(self, store: Any, spec: Any, owner: Any, actor: type[Any], mailbox: Any) -> None:
        super().__init__(store, spec, owner, actor, mailbox)
        self.attempt_timeout: float = spec.retry.attempt_timeout
        codec: StateCodec[Any] | None = actor.__state__
        self.state = None
        if codec is not None:
            self.state = DurableState(store, self.address, codec, actor.__state_kind__, self.runtime)
        self._counted = self._is_known = False
        self.begin: Callable[[int, int, float], int] = store.begin
        self.end: Callable[[int], None] = store.end
        self._handlers: dict[str, Handler] = {}
        self._reader = Reader(actor, self._codec, spec.retry, self.runtime.locate)
        self.solitude: Solitude = store.solitude
        self._overlapping = self.order == "keyed"  # handlers of one actor may overlap then, but not those of one key

    def room(self) -> int:
        """How many more deliveries it would take now."""
        if not self._is_manned:
            return 0
        most = self._parking.may_claim(self.runtime.loop.time()) if self._parking.is_parked else None
        free = max(0, self.window - len(self._hands)) if most is None else most
        return free if self.admission is None else self.admission.most(free, self._hands.values())

    @property
    def suspects(self) -> tuple[str, ...]:
        """See `Consumer.suspects`."""
        return tuple(self._parking.suspects) if self._parking.is_parked else ()

    def lowest(self) -> int | None:
        """See `Consumer.lowest`. A pool has few that are not begun."""
        hands = self._hands
        if self.routed or not self._attached or self._parking.is_parked or len(hands) >= 2 * self._window:
            return None
        if self.admission is not None and not self.admission.most(1, hands.values()):
            return None
        return min((hand.record.priority for hand in hands.values() if not hand.started), default=None)

    def let_go(self) -> None:
        """See `Consumer.let_go`."""
        self._let_go_of_those_behind(None)

    def gained(self) -> None:
        """Others may have had the address until now: read the state before the next message, and let go of what was
        claimed before and not begun.
        """
        if self.state is not None:
            self.state.is_stale = True
        self.let_go()

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

    def _accept(self, delivery: Delivery, now: float) -> Handed | None:
        """The envelope of a delivery, if it is to be handled and can be read."""
        read = self._reader.read(delivery, now)
        if isinstance(read, Unread):
            self._unread(delivery, read, now)
            return None
        until = min(delivery.expires, self.spec.retry.last_start(delivery.accepted))
        hand = Hand(self, delivery, *read, until=until, state=self.state)
        handler = self._handlers.get(hand.codec.method) or self._handler(hand.codec)
        return Handed(handler, (hand,), None, None, work=hand)

    def _unread(self, delivery: Delivery, unread: Unread, now: float) -> None:
        failure = Failure(delivery.attempt - 1, now, now, unread.why) if unread.why else None
        if unread.again_at is None:
            self._put_aside(delivery, unread.reason, failure)
        else:
            self._defer(delivery, unread, unread.again_at)

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

    def inside(self, id: str) -> EntityDoor | None:
        """See `Door.inside`: whoever handles these messages is one, or a worker that is like all others."""
        return None

    def check(self, handler: str, body: bytes) -> None:
        """Raise `Undecodable` for what this actor could not read."""
        self._reader.call(handler, body)

    def _handler(self, codec: HandlerCodec) -> Handler:
        limit = getattr(codec.function, "__concurrent__", 0)
        found = self._handlers[codec.method] = Handler(codec.method, run_in_hand, limit, self.routed)
        return found

    def depth_is(self, depth: int) -> None:
        """How many unfinished messages there are, in memory or not."""
        super().depth_is(depth)
        self._is_known = True
        self._count()

    @property
    def _is_manned(self) -> bool:
        """Whether there is anybody who could handle a message."""
        return self._attached and not (self.routed and not self.mailbox.workers)

    def _count(self) -> None:
        """A system is not idle while it has something to handle, or may have, and somebody who does."""
        busy = (bool(self._depth) or not self._is_known) and self._is_manned
        if busy != self._counted:
            self._counted = busy
            self.runtime.activity.add(1 if busy else -1)

    async def restore(self, instance: Any) -> None:
        """Give a new instance its state, and let messages come."""
        if self.state is not None:
            await self.state.load(instance)
        if not self._attached:
            self._attached = True
            if self.admission is not None:
                self.admission.open()
            self.store.attach(self)
            self._count()

    def refresh(self) -> None:
        """There is somebody again who handles messages, or nobody any more."""
        self._count()
        if self._attached:
            self.store.stir(self.address)

    def leave(self) -> None:
        """The actor has ended for good: what was claimed for it goes back."""
        if self._attached:
            self._attached = False
            if self.admission is not None:
                self.admission.close()
            self.store.detach(self)
        hands, self._hands = self._hands, {}
        for hand in hands.values():
            if not hand.started:
                self._give_back(hand.record)
        self._count()
        for room in self._rooms:
            if not room.done():
                room.set_result(None)
