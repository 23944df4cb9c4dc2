"""The mailbox of one worker of a pool."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from upright.actors.cycles import refuse_cycle
from upright.actors.durable import PLAINLY, Delivered, Keeper
from upright.actors.envelope import QUEUED, Envelope, Own, Question
from upright.actors.errors import ActorError, ActorRestarting, AskCycle
from upright.actors.handlers import Handler
from upright.actors.line import Line, Place
from upright.actors.mailbox import Mailbox
from upright.actors.seat import Seat

DOWN, FULL, NEVER = 1e9, 1e12, 1e15
"""Added to the load of a worker that is not up, one that has no room, and one that must not get this message."""


class Home(Protocol):
    """What a worker's mailbox needs of that of its pool."""

    keeper: Keeper | None

    @property
    def anybodys(self) -> Line: ...
    def line_of(self, name: str) -> Line: ...
    def takes_part(self, worker: "WorkerMailbox") -> bool: ...
    def rested(self, worker: "WorkerMailbox") -> None: ...
    def leave(self, worker: "WorkerMailbox", left: list[Envelope]) -> None: ...
    def sort_out(self, worker: "WorkerMailbox", envelopes: list[Envelope]) -> list[Envelope]: ...


class WorkerMailboxSpec(msgspec.Struct, frozen=True):
    """How to open the mailbox of a worker of one pool."""

    pool: Home
    limit: int
    full: str
    seat: type[Seat] = Seat

    def open(self, owner: Any) -> "WorkerMailbox":
        """The mailbox of one worker."""
        return WorkerMailbox(owner, self)


class WorkerMailbox(Mailbox):
    """Holds what waits for one worker. When it has room it takes the first of those who wait for it, or for any."""

    __slots__ = ("_asleep", "_most", "at_once", "keeper", "line", "owner", "pool", "seat")
    owner: Any

    def __init__(self, owner: Any, spec: WorkerMailboxSpec) -> None:
        self.pool, self.line = spec.pool, spec.pool.line_of(owner.name)
        self.seat = spec.seat
        self.keeper: Keeper | None = spec.pool.keeper  # a durable one stores what is sent to one worker for all of them
        # Else what is sent now, to a worker that has room, would pass what waits in the pool's lines.
        self.at_once = self.keeper is None
        self._most = most_at_once(owner.blueprint.actor)
        super().__init__(owner, spec.limit, spec.full, plain=False)

    @property
    def waiting(self) -> Line | None:
        """Who waits for room here."""
        return self.line if self.line else self.pool.anybodys

    @waiting.setter
    def waiting(self, value: Line | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # used alike
        """The lines are the pool's."""

    @property
    def name(self) -> str:
        """Its number in the pool."""
        name: str = self.owner.name
        return name

    @property
    def asleep(self) -> bool:
        """Whether it has nothing to do."""
        return self._asleep

    @asleep.setter
    def asleep(self, value: bool) -> None:
        self._asleep = value
        if not self.is_up and not self.in_hand_beside:
            self.pool.rested(self)

    @property
    def is_up(self) -> bool:
        """Whether it can take a message in hand."""
        life = self.owner.life
        return life is not None and life.phase == "running"

    @property
    def in_hand_beside(self) -> int:
        """How many messages it has in hand that may overlap; one that stops waits for them."""
        life = self.owner.life
        return 0 if life is None else life.overlapping

    @property
    def in_hand(self) -> int:
        """How many messages it has in hand."""
        life = self.owner.life
        return self.in_hand_beside + (life is not None and life.turn is not None)

    def rest(self) -> bool:
        """Have it tell its pool as soon as nothing is in hand any more; True if that is so already."""
        if not self.is_up:
            return not self.in_hand_beside  # it tells when it is down
        if self._asleep and not self.in_hand:
            return True
        self.post(
            Own(Handler("rest", _rested), (self,), None, None)
        )  # an ordinary one: it waits for those that overlap
        return False

    def load(self) -> float:
        """Messages that wait or are in hand; far more for one that is not up, or is full."""
        return len(self.queue) + self.in_hand + self.turn()

    @property
    def has_room(self) -> bool:
        """Whether it may take one more. A durable one takes what it can begin: what waits behind a long job could be
        done by another worker.
        """
        waiting = len(self.queue)
        if self.keeper is None:
            return waiting < self.limit
        overlapping = self.in_hand_beside
        if overlapping:  # what comes may overlap too
            return waiting + overlapping < self._most
        return not waiting and not self.in_hand

    def turn(self) -> float:
        """Nothing for one whose turn may come; more for one that is not up, or is full."""
        return (0.0 if self.is_up else DOWN) + (0.0 if self.has_room else FULL)

    def refuses(self, envelope: Envelope) -> AskCycle | None:
        """Whether the ask would wait for itself here: one of its askers is this worker's message in hand."""
        if isinstance(envelope, Question) and envelope.caller is not None:
            try:
                refuse_cycle(envelope.caller, self.owner, envelope.handler)
            except AskCycle as circle:
                return circle
        return None

    def turns_away(self, envelope: Envelope) -> bool:
        """Whether it is an ask that ends here at once: it would wait for itself, or chose not to wait for a restart."""
        error: ActorError | None = self.refuses(envelope)
        path, impatient = self.owner.path, isinstance(envelope, Question) and envelope.fail_fast
        if error is None and impatient and self.owner.state == "restarting":
            error = ActorRestarting(f"{path} is restarting", path, handled=False)
        if error is None:
            return False
        envelope.fail(error)
        return True

    def take(self, envelope: Envelope) -> None:
        """Take a message, and let whoever follows the chain of asks find who was asked."""
        if isinstance(envelope, Question) and envelope.caller is not None:
            envelope.caller.waits_at(envelope.reply, self.owner)
        self.post(envelope)

    def put_nowait(self, envelope: Envelope) -> bool:
        """Take the envelope if there is room, or if a policy makes room. Whoever waits in line found none."""
        if self.keeper is not None and not isinstance(envelope, Delivered | Own):
            return False
        if self.has_room or isinstance(envelope, Own):
            self.post(envelope)
            return True
        if self.full == "drop_old" and self.line:  # what was held for it once came before
            self._drop_oldest()
            self.line.hold(envelope)
            self.release()
            return True
        return self.full == "drop_old" and super().put_nowait(envelope)

    def line_up(self, envelope: Envelope, timeout: float | None) -> asyncio.Future[Any]:
        """Wait for room here, not at another worker."""
        if self.keeper is not None and not isinstance(envelope, Delivered):
            return asyncio.ensure_future(self.keeper.tell(envelope, PLAINLY))
        return self.line.join(self.owner.path, envelope, timeout)

    def release(self) -> None:
        """Take in those who wait for this worker, or for any, in the order of their coming."""
        while self.has_room and (place := self._next()) is not None:
            assert place.line is not None
            place.line.remove(place)
            self.take(place.enter())

    def _next(self) -> Place | None:
        if not self.pool.takes_part(self):
            return self.line.first(lambda envelope: not envelope.handler.routed)
        own = self.line.first()
        if not self.pool.anybodys:
            return own
        anybodys = self.pool.anybodys.first(lambda envelope: self.refuses(envelope) is None)
        if own is None or anybodys is None:
            return own or anybodys
        return own if own.order < anybodys.order else anybodys

    def take_out(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out what matches, also of those who wait for this worker alone."""
        taken = self._take_from_queue(chosen) + self.line.take_out(chosen)
        self.release()
        return taken

    def put_back(self, envelopes: Iterable[Envelope]) -> None:
        """Put envelopes in front, in their order; those that are another worker's by now are his."""
        items = list(envelopes)
        for envelope in items:
            envelope.phase = QUEUED
        self.put_in_front(self.pool.sort_out(self, items))

    def put_in_front(self, envelopes: list[Envelope]) -> None:
        """Put envelopes of this worker in front, in their order, full or not."""
        super().put_back(envelopes)

    def take_routed(self) -> list[Envelope]:
        """Take back what the pool gave it and it has not begun."""
        return self._take_from_queue(lambda envelope: envelope.handler.routed)

    def drain(self) -> list[Envelope]:
        """It has ended for good, or leaves the pool: what it leaves is the pool's to deal with."""
        left = [envelope for envelope in self.queue if not isinstance(envelope, Own)]
        self.queue.clear()
        self.pool.leave(self, left)
        return []


def most_at_once(actor: type[Any]) -> int:
    """How many messages an actor of that class may have in hand at a time."""
    handlers = (getattr(actor, name, None) for name in dir(actor) if not name.startswith("_"))
    return max((getattr(one, "__concurrent__", 1) for one in handlers), default=1)


async def _rested(_: Any, mailbox: WorkerMailbox) -> None:
    mailbox.pool.rested(mailbox)
