"""What stands between the store and the entities of one kind: a keyed mailbox, whose keys are the ids of actors."""

from collections import Counter
from typing import Any, Protocol

from upright.actors.errors import ActorGone
from upright.actors.message import told

from .attempt import trace_of
from .codec import Undecodable
from .door import EntityDoor
from .entity_state import EntityState
from .errors import StoreError
from .front import Front
from .hand import Hand
from .judge import storable
from .records import Delivery, Failure, Step, Verdict


class House(Protocol):
    """What it needs of the mailbox of all of them."""

    @property
    def is_open(self) -> bool: ...
    def rested(self, id: str) -> None: ...


class EntityFront(Front):
    """The durable side of the mailbox of `owner`, which hands on to one actor of the class for each key."""

    mailbox: Any

    def __init__(self, store: Any, spec: Any, owner: Any, actor: type[Any], mailbox: Any) -> None:
        super().__init__(store, spec, owner, actor, mailbox)
        self.state, self.routed, self.is_of_many = None, True, True  # each has a state of its own
        self._writing: Counter[str] = Counter()

    @property
    def window(self) -> int:
        """How many may be claimed at a time."""
        return self._window

    @property
    def _is_manned(self) -> bool:
        house: House = self.mailbox
        return self._attached and house.is_open

    def state_of(self, id: str) -> EntityState | None:
        """The state of one of them, where the class has some."""
        kind: Any = self.actor
        if kind.__state__ is None:
            return None
        return EntityState(self, self.store, id, kind.__state__, kind.__state_kind__, self.runtime)

    def inside(self, id: str) -> EntityDoor | None:
        """See `Door.inside`."""
        return EntityDoor(self, id)

    def is_writing(self, id: str) -> bool:
        """Whether something that was done to it is on its way to the store, so that nobody else can have it."""
        return id in self._writing

    def begun(self, id: str) -> None:
        """Something is to be written."""
        self._writing[id] += 1

    def ended(self, id: str) -> None:
        """It is known whether it was."""
        self._writing[id] -= 1
        if not self._writing[id]:
            del self._writing[id]

    def settle(self, hand: Hand, step: Step, error: BaseException | None = None) -> None:
        """See `Outcomes.settle`."""
        self.begun(hand.record.key)
        super().settle(hand, step, error)

    def _settled(self, hand: Hand, step: Step, error: BaseException | None, verdict: Verdict) -> None:
        self.ended(hand.record.key)
        super()._settled(hand, step, error, verdict)

    def _out(self, delivery: Delivery) -> None:
        super()._out(delivery)
        house: House = self.mailbox
        house.rested(delivery.key)

    def _let_go_of_those_behind(self, lane: str | None) -> None:
        if lane is None:
            super()._let_go_of_those_behind(None)
            return
        for envelope in self._lanes.clear(lane):  # of a lane one at a time is let in, so all others are here
            self._hands.pop(envelope.work.record.token, None)
            self._give_back(envelope.work.record)

    def not_started(self, hand: Hand, error: BaseException) -> None:
        """The entity that this is for does not start: what becomes of it is as if its handler had failed. It uses no
        attempt where the store is at fault, or its state cannot be read yet.
        """
        record, now = hand.record, self.now()
        if isinstance(error, StoreError | ActorGone):
            hand.give_back()
        elif isinstance(error, Undecodable):
            self._let_go_of_those_behind(record.key)
            self._out(record)
            self._unread(record, self._reader.unreadable(record, "undecodable", str(error), now), now)
        else:
            text = storable(told(error)), storable(trace_of(error))
            self.failed(hand, error, Failure(record.attempt, now, now, *text, trace=record.trace))
