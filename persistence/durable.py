"""`Durable`: what a class of actors says of its mailbox so that nothing sent to it gets lost."""

from typing import Any, get_args

import msgspec

from upright.actors.mailbox import Mailbox, MailboxSpec
from upright.actors.options import encodable
from upright.actors.runtime import Runtime
from upright.supervision.checks import one_of, whole
from upright.supervision.retry import Retry

from .codec import ActorCodec, StateCodec
from .door import Door
from .durable_mailbox import DurableMailbox
from .errors import NoStore
from .front import Front
from .records import ORDERS, Order


class Durable(msgspec.Struct, frozen=True):
    """A mailbox that is kept in the store of the system, under this `address`.

    `address`: stays the same when the actor's path changes; what was sent to it waits there. `retry`: what follows
    when the handler fails. `order`: `strict` (a message that waits for its retry holds up all behind it), `free`
    (others pass it), `keyed` (strict for each key, free between keys); durable state needs `strict`, or `keyed` for
    the actors of `entities(…)`. `window`:
    how many messages are claimed ahead of their turn. `max_depth`: how many unfinished messages it may hold until
    senders wait; None for no bound.

    >>> Durable("mailer", order="sorted")
    Traceback (most recent call last):
    ...
    ValueError: expected order to be one of strict, free, keyed, got 'sorted'
    """

    address: str
    retry: Retry = Retry()
    order: Order = "strict"
    window: int = 256
    max_depth: int | None = None

    def __post_init__(self) -> None:
        address: object = self.address
        if not isinstance(address, str) or not address:
            raise ValueError(f"expected address to be a string that is not empty, got {address!r}")
        encodable("address", self.address)
        one_of("order", self.order, ORDERS)
        whole("window", self.window, 1, most=1_000_000_000)
        if self.max_depth is not None:
            whole("max_depth", self.max_depth, 1)
        retry: object = self.retry
        if not isinstance(retry, Retry):
            raise TypeError(f"expected retry to be a Retry, got {retry!r}")

    def prepare(self, actor: type[Any]) -> None:
        """Work out how the messages of this class are encoded; at its creation. Raises `TypeError`."""
        actor.__codec__ = ActorCodec(actor)
        actor.__state_kind__ = kind = state_of(actor)
        actor.__state__ = StateCodec(kind) if kind is not None else None
        if kind is not None and self.order == "free":
            raise TypeError(
                f'expected the mailbox of {actor.__name__} to have order="strict", or "keyed" for entities(…), got'
                f" order={self.order!r}: its durable state, {kind.__name__}, is for one message at a time"
            )

    def open(self, owner: Any) -> Mailbox:
        """A mailbox of that kind; for the runtime. Raises `NoStore`, `TypeError` for state of many keys."""
        actor = owner.blueprint.actor
        if getattr(actor, "__state__", None) is not None and self.order == "keyed":
            raise TypeError(
                f'expected {actor.__name__} to be run by entities("…", {actor.__name__}), with a state for each key;'
                ' to run one of it, with one state, give its mailbox order="strict"'
            )
        mailbox = DurableMailbox(owner, self.window)
        mailbox.front = self.front(owner, owner.blueprint.actor, mailbox)
        return mailbox

    def pooled(self, actor: type[Any], spec: MailboxSpec) -> "Pooled":
        """The mailbox of a pool whose workers are of this class. Raises `TypeError` for one with durable state."""
        if getattr(actor, "__state__", None) is not None:
            raise TypeError(f"expected workers without durable state, which only one at a time has: {actor.__name__}")
        if getattr(spec, "routing", None) == "broadcast":
            raise TypeError(
                f"expected a pool of durable {actor.__name__}s to give each message to one of them, got broadcast: "
                "tell each of several actors, or publish to a topic"
            )
        return Pooled(self, spec)

    def door(self, runtime: Runtime, actor: type[Any], path: str) -> Door:
        """The way to an actor that another process runs. Raises `NoStore`."""
        if runtime.store is None:
            raise NoStore(f"{path} has a durable mailbox: give this system its store too")
        return Door(runtime.store, self, actor, runtime, path)

    def front(self, owner: Any, actor: type[Any], mailbox: Mailbox) -> Front:
        """What stands between the store and the mailbox of `owner`. Raises `NoStore`."""
        return Front(self.store_of(owner, actor), self, owner, actor, mailbox)

    def store_of(self, owner: Any, actor: type[Any]) -> Any:
        """The store for the mailbox of `owner`, with what is kept for `actor` ready. Raises `NoStore`."""
        store = owner.runtime.store
        if store is None:
            raise NoStore(
                f"{owner.path} has a durable mailbox: give its system a store: ActorSystem(tree, store=Sqlite(path))"
            )
        codec: Any = actor
        codec.__codec__.resolve()  # by now every module has been loaded
        if codec.__state__ is not None:
            codec.__state__.resolve()
        return store


class Pooled(msgspec.Struct, frozen=True):
    """The mailbox of a pool of durable workers: the pool's own, with a front to the store."""

    durable: Durable
    pool: Any

    def open(self, owner: Any) -> Mailbox:
        """The mailbox of one pool. Raises `NoStore`."""
        mailbox: Any = self.pool.open(owner)
        mailbox.keeper = front = self.durable.front(owner, owner.blueprint.serves, mailbox)
        mailbox.restores = front.routed = True
        kept: Mailbox = mailbox
        return kept


def state_of(actor: type[Any]) -> type[Any] | None:
    """The type of durable state that a class declares: `class Account(Actor[Balance])`; None for none."""
    for base in actor.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            args = get_args(generic)
            if len(args) == 1 and isinstance(args[0], type) and args[0] is not type(None):
                found: type[Any] = args[0]
                return found
    return None
