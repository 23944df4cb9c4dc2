"""The seam to durable mailboxes: what a ref, a life and a context need of one. The wing `persistence` fulfils it.

A durable mailbox is a door to a store. What is sent goes into the store first; what the store hands out again, under a
claim, is a *delivery*, and its envelope carries the `Work` that is to be done with it.
"""

import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self
from urllib.parse import quote

import msgspec

from .clock import number
from .envelope import IN_HAND, Envelope, Question
from .seat import Seat


class Sending(msgspec.Struct, frozen=True):
    """How a message for a durable actor is to be stored; see `Ref.once` and its companions.

    `once`: its idempotency key. `key`: what it keeps its order with. `delay`: seconds until it is due. `at`: when it
    is due, seconds since the epoch. `priority`: higher first. `expires`: seconds after which it is not handled any
    more. `entity`: the one that it is for, of many behind one address.
    """

    once: str = ""
    key: str = ""
    delay: float = 0.0
    at: float = 0.0
    priority: int = 0
    expires: float = math.inf
    entity: str = ""

    @property
    def words(self) -> str:
        """What it asks for beside the usual: `once='k', delay=5.0`."""
        asked = ((name, getattr(self, name), getattr(PLAINLY, name)) for name in self.__struct_fields__)
        return ", ".join(f"{name}={value!r}" for name, value, usual in asked if value != usual)


PLAINLY = Sending()


class Receipt(msgspec.Struct, frozen=True):
    """The `id` of a stored message; of the first one, if this was a `duplicate` of it."""

    id: int
    duplicate: bool = False


class Configurable:
    """The ways to send to a durable actor, each a copy of a ref, cheap enough to make at every use.

    An actor whose mailbox is in memory can keep none of these promises: sending raises `NotDurable` then.
    """

    __slots__ = ()

    def _sending(self, **changes: Any) -> Self:
        raise NotImplementedError

    def _below(self, part: str, **changes: Any) -> Self:
        raise NotImplementedError

    def entity(self, id: str) -> Self:
        """The ref of one of the actors behind this address, by its id: `accounts.entity("a-17")`, of `entities(…)`. It
        need not have been heard of before: it begins with its first message.
        """
        return self._below(quote(text("entity", id), safe=""), entity=id)

    def once(self, key: str) -> Self:
        """This ref, whose messages are accepted once for each key, while the first is not finished and for a time
        after. The second is answered as the first was.
        """
        return self._sending(once=text("once", key))

    def keyed(self, key: str) -> Self:
        """This ref, whose messages keep their order with all others of that key, in a mailbox of order `keyed`."""
        return self._sending(key=text("keyed", key))

    def later(self, delay: float) -> Self:
        """This ref, whose messages are due in `delay` seconds."""
        return self._sending(delay=seconds("later", delay), at=0.0)

    def at(self, when: datetime) -> Self:
        """This ref, whose messages are due then. Raises `ValueError` for a time without a zone."""
        given: object = when
        if not isinstance(given, datetime) or given.tzinfo is None:
            raise ValueError(f"expected at to be a time with a zone, such as datetime.now(UTC), got {when!r}")
        return self._sending(at=when.timestamp(), delay=0.0)

    def priority(self, priority: int) -> Self:
        """This ref, whose messages go before those of a lower priority; 0 is the usual one."""
        given: object = priority
        if not isinstance(given, int) or isinstance(given, bool) or abs(given) > 1_000_000:
            raise ValueError(f"expected priority to be a whole number of at most a million, got {priority!r}")
        return self._sending(priority=priority)

    def expiring(self, after: float) -> Self:
        """This ref, whose messages are not handled any more after so many seconds; they go to quarantine then."""
        value = number(after)
        if not value > 0:
            raise ValueError(f"expected expiring to be more than 0 seconds, got {after!r}")
        return self._sending(expires=value)


def text(verb: str, key: str) -> str:
    """The key, if it is a string that is not empty."""
    given: object = key
    if not isinstance(given, str) or not given:
        raise ValueError(f"expected {verb} to get a string that is not empty, got {key!r}")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"expected {verb} to get a string that has an encoding, got {key!r}") from error
    return key


def seconds(verb: str, delay: float) -> float:
    """The delay, if it is one."""
    value = number(delay)
    if not 0 <= value < math.inf:
        raise ValueError(f"expected {verb} to get 0 or more seconds, got {delay!r}")
    return value


class Keeper(Protocol):
    """A durable mailbox, as refs see it."""

    @property
    def is_paused(self) -> bool:
        """Whether it hands nothing out, because a policy lets nobody through."""
        ...

    async def tell(self, envelope: Envelope, how: Sending, within: float | None = None) -> Receipt | None:
        """Store a message; inside a delivery, with all else that this does, and then there is no receipt yet.

        `within`: seconds that it may wait for room. Raises `MailboxFull` after that.
        """
        ...

    def store_plainly(self, envelope: Envelope) -> Awaitable[list[Receipt]] | None:
        """Store a message that is told from outside; None where there is more to it, so that it has to be told."""
        ...

    async def tell_many(self, envelopes: list[Envelope], how: Sending, within: float | None = None) -> list[Receipt]:
        """Store messages in one go; inside a delivery, with all else that this does."""
        ...

    async def ask(self, question: Question, how: Sending) -> None:
        """Store a message whose reply somebody waits for."""
        ...

    async def restore(self, instance: Any) -> None:
        """Give a new instance what is kept for it, and let messages come."""
        ...

    def refresh(self) -> None:
        """There is somebody again to handle what is stored, or nobody any more."""
        ...

    def leave(self) -> None:
        """Its actor has ended for good."""
        ...

    def inside(self, id: str) -> "Keeper | None":
        """The way to one of many behind it; None where there is only one."""
        ...


class Work(Protocol):
    """A delivery in hand."""

    @property
    def delivery(self) -> Any:
        """What its handler may know of it."""
        ...

    def after_commit(self, recipient: Any, envelope: Envelope) -> None:
        """Send this to an actor in memory as soon as the delivery is committed, or never."""
        ...

    def give_back(self) -> None:
        """It will not be handled here: the store hands it out again."""
        ...

    async def heartbeat(self, progress: object) -> None:
        """Tell how far the handler got."""
        ...

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
        """Run that, unless it was done before for this message; its result."""
        ...


class Delivered(Envelope, eq=False):
    """A message that a store handed out."""

    work: Any = None


class Renew(Exception):
    """Raised by what runs a delivery that failed: the instance may be broken, and a fresh one is to take its place.

    What becomes of the message was decided already. `error`: what the handler raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)  # not what it says of itself: it may raise if asked
        self.error = error


class WorkSeat(Seat):
    """The seat of an actor with a durable mailbox: what is told from here may belong to a delivery."""

    __slots__ = ()
    stages: ClassVar[bool] = True

    @property
    def work(self) -> Work | None:
        """The delivery in hand, if it is one."""
        turn = self.turn
        work: Work | None = turn.work if isinstance(turn, Delivered) and turn.phase == IN_HAND else None
        return work
