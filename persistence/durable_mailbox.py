"""The mailbox of one durable actor: what the store hands out waits here, in memory, for its turn."""

import asyncio
from collections import deque
from typing import Any

from upright.actors.durable import Delivered, WorkSeat
from upright.actors.envelope import Envelope, Own
from upright.actors.handlers import Handler
from upright.actors.mailbox import Mailbox

from .front import Front
from .records import Delivery


class DurableMailbox(Mailbox):
    """Lets in what comes from the store, and what the runtime itself posts; senders go to the store."""

    __slots__ = ("entity", "front")
    seat = WorkSeat
    restores = True
    front: Front

    def __init__(self, owner: Any, window: int) -> None:
        super().__init__(owner, window, "wait", plain=False)
        self.entity = ""

    @property
    def keeper(self) -> Front:  # type: ignore[override]  # a mailbox of this kind has one
        """What stores the messages."""
        return self.front

    def post(self, envelope: Envelope) -> None:
        """What the actor sends to itself may change its state too, which is saved then."""
        if isinstance(envelope, Own):
            envelope.handler = self.saving(envelope.handler)
        super().post(envelope)

    def saving(self, handler: Handler) -> Handler:
        """That handler, which saves the state when it returns."""
        state = self.front.state
        return handler if state is None else state.saving(handler)

    def put_nowait(self, envelope: Envelope) -> bool:
        """False for what has to be stored first."""
        if not isinstance(envelope, Delivered | Own):
            return False
        if isinstance(envelope, Delivered) and self.queue:
            self.queue.insert(self._place_of(envelope), envelope)  # one that came late may go before others
            if self.asleep:
                self.owner.wake()
        else:
            self.post(envelope)
        return True

    def take_in(self, envelopes: list[Delivered]) -> None:
        """What was claimed, in its order: behind all that waits, if that is its place."""
        queue, first = self.unfold(), envelopes[0].work.record
        last = queue[-1] if queue else None
        in_order = last is None or (
            isinstance(last, Delivered) and not first.delay and last.work.record.place < first.place
        )
        # What bears the key of a retry may come behind others that it goes before.
        mixed = self.front.order == "keyed" and any(one.work.record.delay for one in envelopes)
        if in_order and not mixed:
            queue.extend(envelopes)
            if self.asleep:
                self.owner.wake()
        else:
            for envelope in envelopes:
                self.put_nowait(envelope)

    def _place_of(self, envelope: Delivered) -> int:
        queue, place = self.queue, len(self.queue)
        mine = envelope.work.record.place
        while place:
            before = queue[place - 1]
            if not isinstance(before, Delivered) or before.work.record.place < mine:
                break
            if before.work.record.delay and self._is_behind(before.work.record, envelope.work.record):
                break
            place -= 1
        return place

    def _is_behind(self, retry: Delivery, other: Delivery) -> bool:
        """A retry goes before all others, whatever came since; in keyed order before those of its key."""
        order = self.front.order
        return order == "strict" or (order == "keyed" and retry.key != "" and retry.key == other.key)

    def line_up(self, envelope: Envelope, timeout: float | None) -> asyncio.Future[Any]:
        """Store an envelope that comes in another way than by a ref, from a topic say."""
        return asyncio.ensure_future(self.front.tell(envelope, None))

    async def restore(self, instance: Any) -> None:
        """Give a new instance its state, and let the messages come."""
        await self.front.restore(instance)

    def drain(self) -> list[Envelope]:
        """The actor has ended for good. Its messages stay stored, so there is nothing for anybody else to take."""
        self.front.leave()
        left = list(self.queue)
        self.queue = deque()
        return [envelope for envelope in left if not isinstance(envelope, Delivered)]
