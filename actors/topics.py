"""Topics and groups: one message for all who are interested, without knowing them."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from .envelope import DONE, QUEUED, Envelope
from .errors import ActorError, MailboxFull, SystemNotRunning
from .handlers import describe
from .options import seconds
from .recipients import check_class, handlers_of
from .refs import TELL_WITHIN, Ref
from .rolls import Entry, Roll, Rolls
from .seat import TURN, sender_now

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class Post(Protocol):
    """What topics and groups need of their system."""

    @property
    def running(self) -> bool: ...
    @property
    def rolls(self) -> Rolls: ...
    def undeliverable(self, path: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> None: ...


class Topic(Generic[T]):
    """Messages of one type under one name: `system.topic("payments", Paid)`, or `self.ctx.topic(…)` in an actor.

    A subscriber names the handler that is to be called: `self.ctx.subscribe(topic, Ledger.paid)`. It goes on to get
    them after a restart, and is forgotten when it has ended for good. At each subscriber the messages of one publisher
    keep their order.
    """

    __slots__ = ("_post", "_within", "kind", "name")

    def __init__(self, post: Post, name: str, kind: type[T]) -> None:
        self._post, self.name, self.kind = post, name, kind
        self._within = TELL_WITHIN

    def within(self, limit: float) -> "Topic[T]":
        """This topic, whose `publish` waits for room at full subscribers for `limit` seconds at most (5 otherwise)."""
        topic = Topic(self._post, self.name, self.kind)
        topic._within = seconds("within", limit)
        return topic

    async def publish(self, message: T) -> int:
        """Put the message into every subscriber's mailbox; how many took it.

        Those that are full are waited for, all at the same time. Whoever still has no room then, or does not make
        senders wait, gets a dead letter instead, and holds nobody else up. Raises `TypeError` for a message of another
        type, `SystemNotRunning`.
        """
        return await offer(self._post, self._envelopes(message), self._within)

    def try_publish(self, message: T) -> int:
        """Put the message into the mailboxes that have room at once; how many took it. It never waits."""
        return sum(put_nowait(self._post, entry, envelope) for entry, envelope in self._envelopes(message))

    def subscribe(self, ref: Ref[A], handler: Callable[[A, T], Awaitable[Any]]) -> None:
        """Have `handler` of that actor called with every message from now on; a second time changes nothing.

        Raises `ActorGone`, `UnknownHandler`, and `WrongClass` if the topic of that name carries another type.
        """
        entry = _running(self._post).enter("topic", self.name, self.kind, ref)
        found: Any = entry.member
        try:
            entry.handlers[found.handlers[handler]] = None
        finally:
            if not entry.handlers:
                self.unsubscribe(ref)

    def unsubscribe(self, ref: Ref[Any]) -> None:
        """Undo every `subscribe` of that actor; what is in its mailbox already stays there."""
        _leave(self._post, "topic", self.name, self.kind, ref)

    @property
    def subscribers(self) -> tuple[Ref[Any], ...]:
        """Who gets the messages now, in the order of subscription."""
        roll = _running(self._post).find("topic", self.name, self.kind)
        return _refs(roll)

    def _envelopes(self, message: T) -> list[tuple[Entry, Envelope]]:
        if not _fits(message, self.kind):
            wanted = getattr(self.kind, "__name__", self.kind)
            raise TypeError(f"expected {wanted} for the topic {self.name!r}, got {describe(message)}")
        roll, sender = _running(self._post).find("topic", self.name, self.kind), sender_now()
        return [
            (entry, Envelope(handler, (message,), None, sender))
            for entry in (tuple(roll.entries.values()) if roll is not None else ())
            for handler in entry.handlers
        ]

    def __repr__(self) -> str:
        return f"<Topic {self.name} of {getattr(self.kind, '__name__', self.kind)}>"


class Group(Generic[A]):
    """Actors of one class under one name: `system.group("renderers", Renderer)`, or `self.ctx.group(…)`.

    An actor joins with `self.ctx.join(group)`; it stays over restarts, and is gone when it has ended for good.
    """

    __slots__ = ("_post", "actor", "name")

    def __init__(self, post: Post, name: str, actor: type[A]) -> None:
        self._post, self.name, self.actor = post, name, actor

    @property
    def members(self) -> tuple[Ref[A], ...]:
        """The refs of all members, in the order in which they joined."""
        return _refs(_running(self._post).find("group", self.name, self.actor))

    def join(self, ref: Ref[A]) -> None:
        """Add an actor; a second time changes nothing. Raises `ActorGone`, `WrongClass`."""
        if (member := ref.recipient) is not None:
            check_class(member, self.actor)
        _running(self._post).enter("group", self.name, self.actor, ref)

    def leave(self, ref: Ref[Any]) -> None:
        """Take an actor out; one that is no member is no error."""
        _leave(self._post, "group", self.name, self.actor, ref)

    async def tell(
        self, handler: Callable[Concatenate[A, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> int:
        """Send a message to every member, as `Topic.publish` does; how many took it."""
        roll, sender = _running(self._post).find("group", self.name, self.actor), sender_now()
        handlers_of(self.actor)[handler]  # a wrong one is an error also while there is no member
        copies: list[tuple[Entry, Envelope]] = []
        for entry in tuple(roll.entries.values()) if roll is not None else ():
            member: Any = entry.member
            copies.append((entry, Envelope(member.handlers[handler], args, kwargs or None, sender)))
        return await offer(self._post, copies, TELL_WITHIN)

    def __repr__(self) -> str:
        return f"<Group {self.name} of {self.actor.__name__}>"


async def offer(post: Post, copies: list[tuple[Entry, Envelope]], within: float) -> int:
    """Put each copy into its mailbox; wait for those that are full, all at the same time; how many took theirs."""
    late: list[tuple[Entry, Envelope, asyncio.Future[None]]] = []
    taken, seat, limit = 0, TURN.get(), None if within == math.inf else within
    own = seat.host.cell if seat is not None and seat.is_taken else None  # only its own handler could make room there
    for entry, copy in copies:
        if put_nowait(post, entry, copy):
            taken += 1
        elif copy.phase != QUEUED:
            pass  # refused, and a dead letter already
        elif entry.member.mailbox.full == "wait" and entry.member is not own:
            late.append((entry, copy, entry.member.mailbox.line_up(copy, limit)))
        elif entry.member.mailbox.full != "drop_new":
            post.undeliverable(entry.member.path, copy, "no_room")
    for (entry, copy, _), error in zip(late, await _all(late), strict=True):
        if error is None:
            taken += 1
        elif isinstance(error, MailboxFull):
            post.undeliverable(entry.member.path, copy, "no_room")
        else:
            raise error
    return taken


async def _all(late: list[tuple[Entry, Envelope, asyncio.Future[None]]]) -> list[BaseException | None]:
    if not late:
        return []
    ends = await asyncio.gather(*(room for _, _, room in late), return_exceptions=True)
    return [end if isinstance(end, BaseException) else None for end in ends]


def put_nowait(post: Post, entry: Entry, copy: Envelope) -> bool:
    """Put a copy into the mailbox if that is possible at once; what a policy or a pool refuses is a dead letter."""
    mailbox = entry.member.mailbox
    try:
        if mailbox.put_nowait(copy):
            return True
    except ActorError as error:  # a pool that cannot route it: nobody else is to suffer for that
        copy.phase = DONE
        post.undeliverable(entry.member.path, copy, "no_worker", error)
        return False
    if mailbox.full == "drop_new":
        post.undeliverable(entry.member.path, copy, "dropped_new")
    return False


def _fits(message: object, kind: Any) -> bool:
    """Whether it is of that type, as far as the type lets itself be asked: a TypedDict, say, does not."""
    try:
        return isinstance(message, kind)
    except TypeError:
        return True


def _running(post: Post) -> Rolls:
    if not post.running:
        raise SystemNotRunning("the system is not running: enter it, or start() it, first")
    return post.rolls


def _leave(post: Post, what: str, name: str, kind: object, ref: Ref[Any]) -> None:
    roll = _running(post).find(what, name, kind)
    member: Any = ref.recipient
    if roll is not None and member is not None:
        roll.remove(member)


def _refs(roll: Roll | None) -> tuple[Ref[Any], ...]:
    return tuple(entry.member.self_ref for entry in roll.entries.values()) if roll is not None else ()
