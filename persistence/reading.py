"""Reading what was stored: whether a delivery is to be handled, and with which arguments.

It stands apart because nothing happens here. What cannot be read is no error: in a rolling deploy, workers of an older
version meet messages of a newer one, and those of the newer version will come.
"""

from typing import Any, NamedTuple

from upright.actors.errors import ActorError
from upright.actors.message import told
from upright.supervision.retry import Quarantined, Retry, after_crash

from .codec import ActorCodec, HandlerCodec, Undecodable
from .forms import Locate
from .records import Delivery

UNREADABLE_FOR = 600.0
"""Seconds for which a message that cannot be read is deferred: until every worker is of the new version."""
UNREADABLE_PAUSE = 30.0
"""Seconds between two tries to read it."""

Call = tuple[HandlerCodec, tuple[Any, ...], dict[str, Any] | None]
"""The handler, the arguments and the keywords of a message."""


class Unread(NamedTuple):
    """A delivery that is not to be handled now.

    `reason`: its code. `why`: that in words, "" if there is no more to say. `again_at`: when to try again, on the
    store's clock; None for never. `waited`: for how many seconds it will have been deferred then, all in all.
    """

    reason: str
    why: str = ""
    again_at: float | None = None
    waited: float = 0.0


class Reader:
    """Reads the deliveries for handlers of `actor`; `locate` finds the refs in them."""

    def __init__(self, actor: type[Any], codec: ActorCodec, policy: Retry, locate: Locate) -> None:
        self._actor, self._policy, self._locate = actor, policy, locate
        self._handlers = codec.handlers

    def read(self, delivery: Delivery, now: float) -> Call | Unread:
        """What to call for a delivery, or why nothing is to be called."""
        if delivery.expires < now:
            return Unread("expired")
        if self._policy.last_start(delivery.accepted) < now:
            return Unread("deadline")
        if delivery.crashes:
            verdict = after_crash(
                self._policy, attempt=delivery.attempt - 1, crashes=delivery.crashes, stored_at=delivery.accepted,
                now=now,
            )  # fmt: skip
            if isinstance(verdict, Quarantined):
                return Unread(verdict.reason)
        try:
            return self.call(delivery.handler, delivery.body)
        except Undecodable as error:
            reason = "undecodable" if delivery.handler in self._handlers else "unknown_handler"
            return self.unreadable(delivery, reason, str(error), now)

    def call(self, handler: str, body: bytes) -> Call:
        """What a message calls. Raises `Undecodable`, also where there is no such handler."""
        codec = self._handlers.get(handler)
        if codec is None:
            raise Undecodable(f"{self._actor.__name__} has no handler {handler}")
        try:
            args, kwargs = codec.decode(body, self._locate)
        except ActorError as error:  # a ref in it leads to somebody of another class, say
            raise Undecodable(f"{codec.method}: {told(error)}") from error
        return codec, args, kwargs

    def unreadable(self, delivery: Delivery, reason: str, why: str, now: float) -> Unread:
        """What becomes of one that cannot be read now."""
        # Its delay tells for how long it was deferred, and not its age: a backlog may be older than the deploy.
        if delivery.delay > UNREADABLE_FOR:
            return Unread(reason, why)
        return Unread(reason, why, now + UNREADABLE_PAUSE, delivery.delay + UNREADABLE_PAUSE)
