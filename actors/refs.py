"""Refs: typed addresses of actors, and the three verbs of sending.

A ref names the *logical* actor by its path. It keeps the actor it found last and looks again when that one has ended,
so a ref never goes stale: it finds the new incarnation after a restart, and a new actor that was given the same path.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import msgspec

from .cycles import refuse_cycle
from .deadlines import timed_out
from .durable import PLAINLY, Configurable, Receipt, Sending, WorkSeat
from .envelope import IN_HAND, QUEUED, Envelope, Question, deadline_of
from .errors import (
    ActorGone,
    ActorRestarting,
    AskTimedOut,
    MailboxFull,
    NotDurable,
    SystemNotRunning,
)
from .exits import Exit, NoActor
from .handlers import Handler
from .options import seconds
from .recipients import Directory, Recipient, check_class, handlers_of
from .seat import Seat, seat_now, sender_now

A_co = TypeVar("A_co", covariant=True)
B = TypeVar("B")
P = ParamSpec("P")
R = TypeVar("R")

ASK_WITHIN = 5.0
"""Seconds that an ask waits for its reply unless `within` says otherwise."""
TELL_WITHIN = 5.0
"""Seconds that a tell from inside a handler waits for room;

without a bound two full actors could wait for each other for ever.
"""


class Ref(Configurable, Generic[A_co]):
    """The address of an actor of class `A`; make one with `system.ref(path, A)` or `ctx.ref(path, A)`.

    `tell` sends and waits for room only, `ask` sends and waits for the reply, `try_tell` never waits. `within` and
    `fail_fast` give a configured copy, cheap enough to make at every use: `await
    ledger.within(0.5).ask(Ledger.append, entry)`.
    """

    __slots__ = ("_actor", "_directory", "_fail_fast", "_found", "_how", "_within", "path")

    def __init__(self, directory: Directory, path: str, actor: type[A_co], found: Recipient | None = None) -> None:
        self._directory, self.path, self._actor = directory, path, actor
        self._found = found
        self._within: float | None = None
        self._fail_fast = False
        self._how: Sending | None = None

    async def tell(
        self, handler: Callable[Concatenate[A_co, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Receipt | None:
        """Put a message into the actor's mailbox; return when it is in. From a durable one there is a receipt, with
        the message's id; but none inside a delivery, where the message is stored at the delivery's end.

        When the mailbox is full, its policy decides; with `wait` this waits, inside a handler for 5 s at most unless
        `within` says otherwise. A message to an actor that is gone becomes a dead letter. Raises `MailboxFull`, which
        gives the message back; `UnknownHandler`, `WrongClass`, `SystemNotRunning`.
        """
        recipient = self._found
        if recipient is None or recipient.gone:
            recipient = self._find()
        seat = seat_now()
        sender = None
        if seat is not None:
            turn = seat.turn  # what `seat.sender()` says too, without the call
            sender = seat.host if turn is not None and turn.phase == IN_HAND else seat.sender()
            if seat.stages and recipient is not None:
                return await self._tell_from_delivery(
                    seat, recipient, recipient.handlers[handler], args, kwargs or None
                )
        if recipient is None:
            envelope = Envelope(handlers_of(self._actor)[handler], args, kwargs or None, sender)
            self._directory.undeliverable(self.path, envelope, "no_actor")
            return None
        try:
            found = recipient.handlers.known[handler]
        except (KeyError, TypeError):
            found = recipient.handlers[handler]
        envelope, mailbox = Envelope(found, args, kwargs or None, sender), recipient.mailbox
        # What `put_nowait` does, without the call: this is the path of every message.
        queue = mailbox.queue
        if len(queue) < mailbox.admits:
            queue.append(envelope)
            if mailbox.asleep:
                recipient.wake()
        elif mailbox.keeper is not None:
            keeper = mailbox.keeper
            stored = keeper.store_plainly(envelope) if seat is None and self._how is None else None
            if stored is not None:  # without a coroutine between: this is the path of most messages from outside
                return (await stored)[0]
            return await keeper.tell(envelope, self._how or PLAINLY, self._within)
        elif not mailbox.put_nowait(envelope):
            await self._tell_when_full(recipient, envelope)
        return None

    async def tell_many(self, handler: Callable[[A_co, B], Awaitable[Any]], items: Iterable[B], /) -> list[Receipt]:
        """Tell the same for each of many items, in their order; a durable actor has all of them stored in one go, and
        there is a receipt for each, as from `tell`.

        Raises as `tell` does; a durable actor then has none of them, one in memory those that were before.
        """
        recipient = self.recipient
        keeper = recipient.mailbox.keeper if recipient is not None else None
        if recipient is None or keeper is None:
            for item in items:
                await self.tell(handler, item)
            return []
        seat, found = seat_now(), recipient.handlers[handler]
        sender = None if seat is None else seat.sender()
        envelopes = [Envelope(found, (item,), None, sender) for item in items]
        return await keeper.tell_many(envelopes, self._how or PLAINLY, self._within)

    async def deliver(self, envelope: Envelope) -> None:
        """Put a ready envelope into the mailbox, as `tell` does; for the runtime."""
        recipient = self.recipient
        if recipient is None:
            self._directory.undeliverable(self.path, envelope, "no_actor")
        elif not recipient.mailbox.put_nowait(envelope):
            await self._tell_when_full(recipient, envelope)

    def try_tell(
        self, handler: Callable[Concatenate[A_co, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> bool:
        """Put a message into the mailbox if that is possible at once; False when it is full or the actor is gone.

        Raises `UnknownHandler` and `WrongClass`, as `tell` does.
        """
        if not self._directory.running:
            return False
        recipient = self._found
        if recipient is None or recipient.gone:
            recipient = self._find()
        sender = sender_now()
        table = handlers_of(self._actor) if recipient is None else recipient.handlers
        envelope = Envelope(table[handler], args, kwargs or None, sender)
        if recipient is None:
            return False
        if recipient.mailbox.keeper is not None:
            raise NotDurable(f"try_tell cannot wait until {self.path} has stored a message: tell it instead")
        if recipient.mailbox.put_nowait(envelope):
            return True
        if recipient.mailbox.full == "drop_new":
            self._directory.undeliverable(self.path, envelope, "dropped_new")
        return False

    async def ask(
        self, handler: Callable[Concatenate[A_co, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Send a message and return its handler's reply, within 5 s unless `within` says otherwise.

        Inside a handler that was itself asked, the time left to it is the most that a nested ask gets. Raises
        `Refuse` when the handler does, `AskTimedOut`, `ActorFailed` (it crashed with the message in hand),
        `ActorGone`, `AskCycle`, `MailboxFull` (by policy), and `ActorRestarting` after `fail_fast()`. A restart
        before the message's turn is waited through otherwise.
        """
        recipient = self._found
        if recipient is None or recipient.gone:
            recipient = self._find()
        seat = seat_now()
        sender = None if seat is None else seat.sender()
        table = handlers_of(self._actor) if recipient is None else recipient.handlers
        directory = self._directory
        deadlines = directory.deadlines
        reply: asyncio.Future[Any] = asyncio.Future(loop=directory.loop)  # `create_future`, without the call
        now = deadlines.now()
        deadline = now + (ASK_WITHIN if self._within is None else self._within)
        caller, found = None if seat is None else seat.asking(), table[handler]
        if caller is not None:
            deadline = min(deadline, deadline_of(caller.turn))
            if recipient is not None:
                refuse_cycle(caller, recipient, found)
        envelope = Question(found, args, kwargs or None, sender, reply, QUEUED, deadline, caller)
        if recipient is None:
            directory.undeliverable(self.path, envelope, "no_actor")
            raise ActorGone(f"nobody lives at {self.path}", self.path, handled=False)
        if deadline <= now:
            raise timed_out(envelope, self.path)
        if self._fail_fast:
            self._refuse_restarting(recipient, envelope)
        bucket = deadlines.add(envelope, self.path)
        if caller is not None:
            caller.waits_for[reply] = recipient
        try:
            mailbox = recipient.mailbox
            if len(mailbox.queue) < mailbox.admits:  # what `put_nowait` does, without the call
                mailbox.queue.append(envelope)
                if mailbox.asleep:
                    recipient.wake()
            elif not mailbox.put_nowait(envelope):
                await self._ask_when_full(recipient, envelope)
            result: R = await reply
        except BaseException:
            if not reply.done():
                reply.cancel()  # withdrawn: cancelled while it waited for room, or refused
            raise
        finally:
            if bucket.pop(envelope, None) is None:
                deadlines.discard(envelope)
            if caller is not None:
                caller.waits_for.pop(reply, None)
        return result

    async def ended(self) -> Exit:
        """Wait until the actor has ended for good, and return why; at once when it has already, or nobody lives there.

        It is for code outside actors; inside one, `ctx.watch` tells the same without holding up the mailbox.
        """
        if (recipient := self.recipient or self._found) is None:
            return NoActor()
        # Not the future itself: a waiter that is cancelled would cancel it for all.
        await asyncio.wait({recipient.ended})
        return recipient.ended.result()

    def within(self, limit: float) -> "Ref[A_co]":
        """This ref, whose asks wait for a reply, and whose tells wait for room, for `limit` seconds at most (`inf`
        is allowed).
        """
        ref = self._copy()
        ref._within = seconds("within", limit)
        return ref

    def fail_fast(self) -> "Ref[A_co]":
        """This ref, whose asks end with `ActorRestarting` when the actor is restarting now or does so before their
        turn.
        """
        ref = self._copy()
        ref._fail_fast = True
        return ref

    @property
    def actor(self) -> type[A_co]:
        """The class that the ref was made for."""
        return self._actor

    @property
    def sending(self) -> Sending | None:
        """How its messages are to be stored, where it says so; for the runtime."""
        return self._how

    @property
    def recipient(self) -> Recipient | None:
        """The actor that lives at the path now, or None; for the runtime and for inspection."""
        return self._find() if self._found is None or self._found.gone else self._found

    def _find(self) -> Recipient | None:
        directory = self._directory
        if not directory.running:
            raise SystemNotRunning(f"the system of {self.path} is not running: enter it, or start() it, before sending")
        found: Recipient | None = directory.find(self.path)
        if found is None:
            absent: Recipient | None = directory.absent(self.path, self._actor)
            return absent
        check_class(found, self._actor)
        if self._how is None:
            self._found = found
        elif found.mailbox.keeper is None:  # asked at every use, for such a ref remembers nobody
            raise NotDurable(f"{self.path} has its mailbox in memory, and can keep no promise of {self._how.words}")
        return found

    async def _tell_from_delivery(
        self, seat: Seat, recipient: Recipient, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> Receipt | None:
        envelope = Envelope(handler, args, kwargs, seat.sender())
        work = seat.work if isinstance(seat, WorkSeat) else None
        if work is not None and recipient.mailbox.keeper is None:
            work.after_commit(recipient, envelope)
        elif not recipient.mailbox.put_nowait(envelope):
            return await self._tell_when_full(recipient, envelope)
        return None

    async def _tell_when_full(self, recipient: Recipient, envelope: Envelope) -> Receipt | None:
        mailbox, seat = recipient.mailbox, seat_now()
        if mailbox.keeper is not None:
            return await mailbox.keeper.tell(envelope, self._how or PLAINLY, self._within)
        if mailbox.full == "drop_new":
            self._directory.undeliverable(self.path, envelope, "dropped_new")
            return None
        if mailbox.full == "reject":
            raise MailboxFull(self.path, envelope.message())
        within = self._within
        if seat is not None and seat.is_taken:
            if seat.host.cell is recipient:
                raise MailboxFull(self.path, envelope.message(), ", and only its own handler could make room")
            within = TELL_WITHIN if within is None else within
        await mailbox.put(envelope, None if within == math.inf else within)
        return None

    async def _ask_when_full(self, recipient: Recipient, envelope: Question) -> None:
        mailbox = recipient.mailbox
        if mailbox.keeper is not None:
            await mailbox.keeper.ask(envelope, self._how or PLAINLY)
            return
        if mailbox.full == "drop_new":
            self._directory.undeliverable(self.path, envelope, "dropped_new")
        if mailbox.full != "wait":
            raise MailboxFull(self.path, envelope.message())
        within = envelope.deadline - self._directory.loop.time()
        try:
            await mailbox.put(envelope, None if within == math.inf else max(within, 0.0))
        except MailboxFull as error:
            raise AskTimedOut(f"the mailbox of {self.path} had no room in time", self.path, handled=False) from error

    def _refuse_restarting(self, recipient: Recipient, envelope: Question) -> None:
        envelope.fail_fast = True
        if recipient.state == "restarting":
            raise ActorRestarting(f"{self.path} is restarting", self.path, handled=False)

    def _copy(self) -> "Ref[A_co]":
        ref = Ref(self._directory, self.path, self._actor, self._found)
        ref._within, ref._fail_fast, ref._how = self._within, self._fail_fast, self._how
        return ref

    def _sending(self, **changes: Any) -> "Ref[A_co]":
        ref = self._copy()
        ref._found, ref._how = None, msgspec.structs.replace(self._how or PLAINLY, **changes)
        return ref

    def _below(self, part: str, **changes: Any) -> "Ref[A_co]":
        ref = self._sending(**changes)
        ref.path = f"{self.path}/{part}"
        return ref

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.path == other.path and self._directory is other._directory

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        found = self._found
        if found is None or found.gone:
            found = self._directory.find(self.path) if self._directory.running else None
        if found is None:
            return f"<Ref {self.path} nobody>"
        return f"<Ref {self.path} {found.state} {len(found.mailbox)}/{found.mailbox.limit}>"
