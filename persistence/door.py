"""The way into a durable mailbox: what is sent is stored first, or staged by the delivery that sends it."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from upright.actors.durable import PLAINLY, Receipt, Sending, WorkSeat
from upright.actors.envelope import Envelope, Question
from upright.actors.errors import AskTimedOut, MailboxFull
from upright.actors.refs import TELL_WITHIN
from upright.actors.runtime import Runtime
from upright.actors.seat import seat_now

from .codec import HandlerCodec
from .errors import NoEntity, NotStaged
from .flights import Heard
from .hand import Hand
from .records import Order, Outgoing


class Door:
    """The way to the address that `spec` names, for messages to handlers of `actor`, which lives at `path`."""

    def __init__(self, store: Any, spec: Any, actor: type[Any], runtime: Runtime, path: str) -> None:
        self.store, self.spec, self.actor, self.runtime, self.path = store, spec, actor, runtime, path
        self.address: str = spec.address
        self.owner: Any = None
        """The actor that it leads to, where that runs here."""
        self.order: Order = spec.order
        self._codec: Any = getattr(actor, "__codec__", None)
        self.is_of_many = self.order == "keyed" and getattr(actor, "__state__", None) is not None
        """Whether a message has to say for which entity it is."""
        self._depth = 0  # what the store said last
        self._coming: set[asyncio.Future[None]] = set()  # let in since, and not known to be stored
        self._rooms: deque[asyncio.Future[None]] = deque()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is handed out: nothing ever is, here."""
        return False

    async def restore(self, instance: Any) -> None:
        """Nothing is kept here."""

    def refresh(self) -> None:
        """Nobody is here."""

    def leave(self) -> None:
        """Nobody was here."""

    def inside(self, id: str) -> "EntityDoor | None":
        """The way to one of the entities behind it."""
        return EntityDoor(self, id) if self.order == "keyed" else None

    async def tell(self, envelope: Envelope, how: Sending | None, within: float | None = None) -> Receipt | None:
        """Store a message and return when it is on disk; inside a delivery, stage it and return at once."""
        message = self.outgoing(envelope, how or PLAINLY, asked=envelope.reply is not None)
        hand = hand_now(self.store)
        if hand is not None:
            if envelope.reply is not None:
                raise NotStaged("expected a tell, got an ask that is handed on: answer it, or tell")
            hand.stage((message,))
            return None
        if envelope.reply is not None:
            self._invite(envelope)
        heard = None if envelope.reply is None else partial(self.store.expect, envelope, self)
        if self.spec.max_depth is None:  # without a call between: most have no bound
            receipts: list[Receipt] = await self.store.put([message], heard)
        else:
            receipts = await self._put([message], envelope, within, heard)
        if envelope.reply is not None:
            self._invite(envelope)
            await self.store.answer(receipts[0], envelope, self)
        return receipts[0]

    def store_plainly(self, envelope: Envelope) -> Awaitable[list[Receipt]] | None:
        """Store a message that is told from outside; None where it may have to wait for room."""
        if self.spec.max_depth is not None or self.is_of_many:
            return None
        codec: HandlerCodec = self._codec.methods[envelope.handler.name]
        body = codec.encode(envelope.args, envelope.kwargs)
        stored: Awaitable[list[Receipt]] = self.store.put([Outgoing(self.address, codec.wire_name, body)])
        return stored

    async def tell_many(self, envelopes: list[Envelope], how: Sending, within: float | None = None) -> list[Receipt]:
        """Store messages and return when they are on disk; inside a delivery, stage them and return at once."""
        if how.once:
            raise ValueError("expected tell_many without once: one idempotency key is for one message")
        messages = [self.outgoing(envelope, how, asked=False) for envelope in envelopes]
        hand = hand_now(self.store)
        if hand is not None:
            hand.stage(messages)
            return []
        return await self._put(messages, envelopes[0], within) if messages else []

    async def ask(self, question: Question, how: Sending) -> None:
        """Store a message whose reply comes when it was handled; inside a delivery too it is stored at once."""
        message = self.outgoing(question, how, asked=True)
        hand = hand_now(self.store)
        if hand is not None:
            if hand.has_told(self.address):
                raise NotStaged(
                    f"{self.address} was told something in this delivery, which is stored with its end: ask it first"
                )
            if not message.once:  # a retry meets the reply that is stored
                message = msgspec.structs.replace(message, once=hand.id_of(message))
        self._invite(question)
        try:
            heard = partial(self.store.expect, question, self)
            receipts = await self._put([message], question, question.deadline - self.runtime.loop.time(), heard)
        except MailboxFull as error:
            raise AskTimedOut(f"the mailbox of {self.path} had no room in time", self.path, handled=False) from error
        self._invite(question)
        question.stored = receipts[0].id
        await self.store.answer(receipts[0], question, self)

    def outgoing(self, envelope: Envelope, how: Sending, asked: bool) -> Outgoing:
        """What is to be stored for an envelope. Raises `WrongArguments`, `UnknownHandler`, `NoEntity`."""
        if self.is_of_many and not (how.entity or how.key):
            kind = self.actor.__name__
            raise NoEntity(f'expected an entity of {self.path}, as in ref.entity("a-17"), got a message for any {kind}')
        codec: HandlerCodec = self._codec.methods[envelope.handler.name]
        if how is PLAINLY:  # as most are
            sender = envelope.sender.path if envelope.sender is not None else ""
            body = codec.encode(envelope.args, envelope.kwargs)
            return Outgoing(self.address, codec.wire_name, body, asked=asked, sender=sender)
        if how.entity and self.order != "keyed":
            raise NoEntity(
                f"expected entities(…) at {self.path}, to find {how.entity!r} there; {self.address!r} is one actor's"
            )
        key, once = how.entity or how.key, how.once
        if once and self.is_of_many:  # each of them is an actor: what one was told is no word to another
            once = f"{quote(key, safe='')}/{once}"
        now = self.store.now()
        due = how.at or (now + how.delay if how.delay else 0.0)
        expires = now + how.expires if how.expires != math.inf else math.inf
        sender = envelope.sender.path if envelope.sender is not None else ""
        body = codec.encode(envelope.args, envelope.kwargs)
        return Outgoing(
            self.address, codec.wire_name, body, due, how.priority, key, once, expires, asked, sender,
        )  # fmt: skip

    async def _put(
        self, messages: list[Outgoing], first: Envelope, within: float | None, heard: Heard | None = None
    ) -> list[Receipt]:
        """Store them, when the mailbox may hold more. Raises `MailboxFull` after `within` seconds."""
        if self.spec.max_depth is None:
            stored: list[Receipt] = await self.store.put(messages, heard)
            return stored
        room = await self._room(first, self._patience(within))
        try:
            receipts: list[Receipt] = await self.store.put(messages, heard)
        finally:  # by now the store has said how many there are
            self._leave_room(room)
        return receipts

    def _patience(self, within: float | None) -> float | None:
        """How long to wait for room: not for ever in a handler, or two could wait for each other, and not at all in one
        of the only actor that could make room.
        """
        seat = seat_now()
        if seat is None or not seat.is_taken:
            return within
        if seat.host.cell is self.owner:
            return 0.0
        return TELL_WITHIN if within is None else within

    async def _room(self, envelope: Envelope, within: float | None) -> asyncio.Future[None]:
        """Wait, behind all who do, until the mailbox may hold one more. Raises `MailboxFull` after `within` seconds."""
        room: asyncio.Future[None] = self.runtime.loop.create_future()
        self._rooms.append(room)
        self._let_in()
        try:
            async with asyncio.timeout(None if within == math.inf else within):
                await room
        except BaseException as error:
            self._leave_room(room)
            if isinstance(error, TimeoutError):
                raise MailboxFull(self.path, envelope.message()) from None
            raise
        return room

    def _leave_room(self, room: asyncio.Future[None]) -> None:
        """It is taken by what is stored, or by nothing: then the next one may go in."""
        if room in self._rooms:
            self._rooms.remove(room)
        self._coming.discard(room)
        self._let_in()

    def _let_in(self) -> None:
        limit = self.spec.max_depth
        while self._rooms and (limit is None or self._depth + len(self._coming) < limit):
            room = self._rooms.popleft()
            if not room.done():
                self._coming.add(room)
                room.set_result(None)

    def _invite(self, question: Envelope) -> None:
        """Whom somebody waits for inside a delivery may run beside one that is to be alone.

        To be said before the question is stored, or there may be no room for it; and after that, for whoever wanted to
        be alone meanwhile knows nothing of it.
        """
        if isinstance(question, Question) and question.caller is not None:
            self.store.invite(self.address)

    def codec_of(self, question: Envelope) -> HandlerCodec:
        """How the reply to that question is encoded."""
        codec: HandlerCodec = self._codec.methods[question.handler.name]
        return codec

    @property
    def depth(self) -> int:
        """How many unfinished messages there are, as far as is known here."""
        return self._depth

    def depth_is(self, depth: int) -> None:
        """How many unfinished messages there are."""
        self._depth = depth
        self._let_in()


class EntityDoor(Door):
    """The way to one of the entities behind a door, by its id."""

    def __init__(self, door: Door, id: str) -> None:
        super().__init__(door.store, door.spec, door.actor, door.runtime, f"{door.path}/{quote(id, safe='')}")
        self._door, self._id = door, id

    def outgoing(self, envelope: Envelope, how: Sending, asked: bool) -> Outgoing:
        """See `Door.outgoing`; it is for that entity."""
        return self._door.outgoing(envelope, msgspec.structs.replace(how, entity=self._id), asked)

    def store_plainly(self, envelope: Envelope) -> None:
        """None: it has to be said whom it is for."""

    async def _put(
        self, messages: list[Outgoing], first: Envelope, within: float | None, heard: Heard | None = None
    ) -> list[Receipt]:
        return await self._door._put(messages, first, within, heard)  # the room is that of all of them

    def inside(self, id: str) -> None:
        """It is one."""


def hand_now(store: Any) -> Hand | None:
    """The delivery of that store that the running code belongs to: nothing else can commit with what is told there."""
    seat = seat_now()
    work = seat.work if isinstance(seat, WorkSeat) else None
    return work if isinstance(work, Hand) and work.front.store is store else None
