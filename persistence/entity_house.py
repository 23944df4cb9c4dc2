"""The mailbox of all entities of one kind: it wakes those that messages come for, and puts to sleep who is idle.

Of an entity that is asleep it knows nothing. It holds at most one message for each, because the lanes of its front let
one of a key in at a time; the others wait there, or in the store.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from upright.actors.durable import Delivered
from upright.actors.envelope import Envelope, Own
from upright.actors.mailbox import Mailbox

from .entity_front import EntityFront
from .entity_mailbox import EntityMailbox
from .errors import NoEntity

ROOM = 1_000
"""Messages for the actor of all entities itself, its administration, that may wait."""
LOOKS = 64
"""Of those that have had nothing to do for longest, so many are asked at a time whether they can be put to sleep."""


class Keeper(Protocol):
    """The actor of all entities: it starts and ends them."""

    def wake(self, id: str) -> None: ...
    def put_to_sleep(self, id: str, mailbox: EntityMailbox) -> None: ...


class EntitiesSpec(msgspec.Struct, frozen=True):
    """How to open the mailbox of the entities of a class. `idle`: seconds; `at_most`: awake at once."""

    durable: Any
    idle: float
    at_most: int

    def open(self, owner: Any) -> "EntitiesMailbox":
        """The mailbox of all of them. Raises `NoStore`."""
        mailbox, actor = EntitiesMailbox(owner, self), owner.blueprint.serves
        mailbox.front = EntityFront(self.durable.store_of(owner, actor), self.durable, owner, actor, mailbox)
        return mailbox


class Place(msgspec.Struct, eq=False):
    """One that is awake, or becomes so, or is going to sleep. `envelope`: for it, as soon as it is up, or up again."""

    phase: Literal["waking", "up", "leaving"] = "waking"
    mailbox: EntityMailbox | None = None
    envelope: Envelope | None = None


class EntitiesMailbox(Mailbox):
    """One for each `entities(…)`; its own queue is for the administration."""

    __slots__ = ("_idle", "_is_looking", "_keeper", "_places", "_resting", "_timer", "_waiting", "at_most", "front")
    restores = True
    front: EntityFront
    owner: Any

    def __init__(self, owner: Any, spec: EntitiesSpec) -> None:
        super().__init__(owner, ROOM, "wait", plain=False)
        self._idle, self.at_most = spec.idle, spec.at_most
        self._keeper: Keeper | None = None
        self._places: dict[str, Place] = {}
        self._waiting: OrderedDict[str, Envelope] = OrderedDict()  # for those that have no place yet
        self._resting: OrderedDict[str, float] = OrderedDict()  # since when they have nothing to do, longest first
        self._timer: asyncio.TimerHandle | None = None
        self._is_looking = False

    @property
    def keeper(self) -> EntityFront:  # type: ignore[override]  # a mailbox of this kind has one
        """What stores the messages."""
        return self.front

    @property
    def is_open(self) -> bool:
        """Whether the actor of all entities is up."""
        life = self.owner.life
        return self._keeper is not None and life is not None and life.phase in ("starting", "running")

    @property
    def workers(self) -> list[EntityMailbox]:
        """The mailboxes of those that are awake."""
        return [place.mailbox for place in self._places.values() if place.mailbox is not None]

    @property
    def awake(self) -> list[str]:
        """The ids of those that are awake, or about to be."""
        return list(self._places)

    async def restore(self, instance: Any) -> None:
        """Let come what the store has."""
        await self.front.restore(instance)

    def open(self, keeper: Keeper) -> None:
        """The actor of all entities has started; those of an incarnation before have ended with it."""
        self._keeper = keeper
        places, self._places = self._places, {}
        self._resting.clear()
        for id, place in places.items():
            if place.envelope is not None:
                self._waiting[id] = place.envelope
        self.front.refresh()
        self._wake_some()

    def put_nowait(self, envelope: Envelope) -> bool:
        """Hand a message on to its entity; False for what has to be stored first. Raises `NoEntity`."""
        if isinstance(envelope, Delivered):
            self._hand_on(envelope)
            return True
        if envelope.handler.routed or (len(self.queue) >= ROOM and not isinstance(envelope, Own)):
            return False
        self.post(envelope)
        return True

    def line_up(self, envelope: Envelope, timeout: float | None) -> asyncio.Future[Any]:
        """Wait for room, or have it stored."""
        if envelope.handler.routed:
            return asyncio.ensure_future(self.front.tell(envelope, None))
        return super().line_up(envelope, timeout)

    def _hand_on(self, envelope: Delivered) -> None:
        id: str = envelope.work.record.key
        if not id:
            raise NoEntity("expected a message for one entity, got one that names none")
        place = self._places.get(id)
        if place is None:
            self._waiting[id] = envelope
            self._wake_some()
        elif place.phase != "up" or place.mailbox is None or place.mailbox.owner.burying:
            place.envelope = envelope
        else:
            self._resting.pop(id, None)
            place.mailbox.take(envelope)

    def _wake_some(self) -> None:
        """Wake those that messages wait for, as many as there is room for."""
        while self._waiting and self._keeper is not None and self.is_open:
            if len(self._places) >= self.at_most:
                self._make_room(len(self._waiting))
                return
            id, envelope = self._waiting.popitem(last=False)
            self._places[id] = Place(envelope=envelope)
            self._keeper.wake(id)

    def _make_room(self, wanted: int) -> None:
        """Put those to sleep that have had nothing to do for longest; who has a timer, say, is passed over."""
        wanted -= sum(place.phase == "leaving" for place in self._places.values()) if wanted else 0
        for id in [id for _, id in zip(range(LOOKS), self._resting, strict=False)]:
            if wanted > 0 and self._sleeps(id):
                wanted -= 1

    def _sleeps(self, id: str) -> bool:
        """Put it to sleep, if nothing goes on in it; else it is looked at again when it has been idle once more."""
        place = self._places.get(id)
        del self._resting[id]
        if place is None or place.mailbox is None or self._keeper is None:
            return False
        if not place.mailbox.owner.is_at_rest:
            self._resting[id] = self.owner.runtime.loop.time()
            return False
        place.phase = "leaving"
        self._keeper.put_to_sleep(id, place.mailbox)
        return True

    def moved_in(self, id: str, mailbox: EntityMailbox) -> None:
        """That entity is being started."""
        self._places[id].mailbox = mailbox

    def woken(self, id: str) -> None:
        """It has started: here is what it was woken for."""
        place = self._places[id]
        place.phase, envelope, place.envelope = "up", place.envelope, None
        if envelope is not None and place.mailbox is not None:
            place.mailbox.take(envelope)
        else:
            self.rested(id)

    def not_woken(self, id: str, error: BaseException) -> None:
        """It does not start. That harms nobody but its message."""
        place = self._places.pop(id, None)
        if place is not None and isinstance(place.envelope, Delivered):
            self.front.not_started(place.envelope.work, error)
        self._wake_some()

    def rested(self, id: str) -> None:
        """It has nothing in hand, unless another message has come meanwhile."""
        place = self._places.get(id)
        if place is None or place.phase != "up" or place.mailbox is None or place.mailbox.queue:
            return
        loop = self.owner.runtime.loop
        self._resting[id] = loop.time()
        self._resting.move_to_end(id)
        if self._waiting and not self._is_looking:
            self._is_looking = True
            loop.call_soon(self._look_for_room, context=self.owner.runtime.plain)  # its turn ends after this
        self._watch()

    def _look_for_room(self) -> None:
        self._is_looking = False
        self._wake_some()

    def _watch(self) -> None:
        if self._timer is None and self._resting:
            loop, runtime = self.owner.runtime.loop, self.owner.runtime
            since = next(iter(self._resting.values()))
            self._timer = loop.call_at(since + self._idle, self._put_idle_to_sleep, context=runtime.plain)

    def _put_idle_to_sleep(self) -> None:
        self._timer = None
        now, idle = self.owner.runtime.loop.time(), self._idle
        # The sum by which the timer was set: a difference may be rounded otherwise, and a clock that stands still until
        # all timers are done would never get beyond it.
        for id in [id for id, since in self._resting.items() if since + idle <= now] if self.is_open else ():
            self._sleeps(id)
        if self.is_open:
            self._watch()

    def left_behind(self, id: str, envelopes: Sequence[Envelope]) -> None:
        """It has ended with these in its queue: they are for its next instance."""
        place = self._places.get(id)
        for envelope in envelopes:
            if place is not None:
                place.envelope = envelope
            else:
                self._waiting[id] = envelope

    def gone(self, id: str, mailbox: object) -> None:
        """It has ended for good; there is room for another one."""
        place = self._places.get(id)
        if place is None or place.mailbox is not mailbox:
            return
        del self._places[id]
        self._resting.pop(id, None)
        if place.envelope is not None:
            self._waiting[id] = place.envelope
        self._wake_some()

    def take_out(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out what matches, also of what waits for an entity to wake."""
        taken = super().take_out(chosen)
        for id, envelope in list(self._waiting.items()):
            if chosen(envelope):
                taken.append(self._waiting.pop(id))
        for place in self._places.values():
            if place.envelope is not None and chosen(place.envelope):
                taken.append(place.envelope)
                place.envelope = None
        return taken

    def drain(self) -> list[Envelope]:
        """The actor of all entities has ended for good. What is stored stays there."""
        self._keeper = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self.front.leave()
        return [envelope for envelope in super().drain() if not isinstance(envelope, Delivered)]

    def __len__(self) -> int:
        return len(self.queue) + len(self._waiting)
