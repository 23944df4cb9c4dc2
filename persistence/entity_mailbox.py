"""The mailbox of one entity that is awake, and what it needs of that of all of them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from upright.actors.durable import PLAINLY, Delivered, Keeper, WorkSeat
from upright.actors.envelope import Envelope, Own
from upright.actors.handlers import Handler
from upright.actors.mailbox import Mailbox

from .door import EntityDoor
from .entity_front import EntityFront


class House(Protocol):
    """The mailbox of all entities, as one of them sees it."""

    @property
    def front(self) -> EntityFront: ...
    def moved_in(self, id: str, mailbox: "EntityMailbox") -> None: ...
    def left_behind(self, id: str, envelopes: Sequence[Envelope]) -> None: ...


class EntityMailboxSpec(msgspec.Struct, frozen=True):
    """How to open the mailbox of the entity of that id."""

    house: House
    id: str

    def open(self, owner: Any) -> "EntityMailbox":
        """The mailbox of one entity."""
        return EntityMailbox(owner, self.house, self.id)


class EntityMailbox(Mailbox):
    """Gets one message at a time from the house, and what the entity sends to itself; senders go to the store."""

    __slots__ = ("_house", "_state", "entity", "keeper")
    seat = WorkSeat
    restores = True
    owner: Any

    def __init__(self, owner: Any, house: House, id: str) -> None:
        super().__init__(owner, 1, "wait", plain=False)
        self._house, self.entity = house, id
        self.keeper: Keeper | None = EntityDoor(house.front, id)
        self._state = house.front.state_of(id)
        house.moved_in(id, self)

    def take(self, envelope: Envelope) -> None:
        """Take a message that the house hands on."""
        assert isinstance(envelope, Delivered)
        envelope.work.state = self._state
        super().post(envelope)

    def post(self, envelope: Envelope) -> None:
        """What the entity sends to itself may change its state too, which is saved then."""
        if isinstance(envelope, Own):
            envelope.handler = self.saving(envelope.handler)
        super().post(envelope)

    def saving(self, handler: Handler) -> Handler:
        """That handler, which saves the state when it returns."""
        return handler if self._state is None else self._state.saving(handler)

    def put_nowait(self, envelope: Envelope) -> bool:
        """False for what has to be stored first."""
        if isinstance(envelope, Own):
            self.post(envelope)
        return isinstance(envelope, Own)

    def line_up(self, envelope: Envelope, timeout: float | None) -> asyncio.Future[Any]:
        """Store an envelope that comes in another way than by a ref, from a topic say."""
        assert self.keeper is not None
        return asyncio.ensure_future(self.keeper.tell(envelope, PLAINLY))

    async def restore(self, instance: Any) -> None:
        """Give a new instance its state."""
        if self._state is not None:
            await self._state.restore(instance)

    def drain(self) -> list[Envelope]:
        """It has ended, or sleeps. What it was still to handle is the house's to deal with."""
        left = [envelope for envelope in self.queue if isinstance(envelope, Delivered)]
        self.queue.clear()
        self._house.left_behind(self.entity, left)
        return []
