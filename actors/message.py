"""What a sender wanted said, detached from how it travels: the values that errors, letters and inspection show.

Their `repr` names sizes and types only, because reprs end up in logs and payloads must not.
"""

from collections.abc import Mapping
from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True):
    """A handler's name and its arguments.

    `handler`: the method's name. `args`, `kwargs`: as the sender gave them. `asked`: whether somebody waits for the
    reply.
    """

    handler: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    asked: bool = False

    def __repr__(self) -> str:
        types = [type(value).__name__ for value in self.args]
        types += [f"{name}={type(value).__name__}" for name, value in self.kwargs.items()]
        return f"<Message {self.handler}({', '.join(types)}){' asked' if self.asked else ''}>"


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that could not be delivered or handled, with the reason.

    `recipient`: the path it was for. `message`: what was said. `reason`: a code from `REASONS`, for a durable message
    from `upright.persistence.REASONS`. `error`: what crashed the actor, or failed or refused the message, where
    something did. `sender`: the path of the actor that sent it, or None. `at`: when it died, seconds since the epoch.
    `stored`: the id of a durable message, which is in quarantine under it: look there, redrive or discard it; None for
    one that is only here.
    """

    recipient: str
    message: Message
    reason: str
    error: BaseException | None = None
    sender: str | None = None
    at: float = 0.0
    stored: int | None = None

    def __repr__(self) -> str:
        because = f": {type(self.error).__name__}" if self.error is not None else ""
        return f"<DeadLetter {self.recipient} {self.message.handler} {self.reason}{because}>"


def told(error: BaseException) -> str:
    """An error as `Type: text`, also when its own `__str__` fails.

    >>> told(ValueError("no")), told(KeyError())
    ('ValueError: no', 'KeyError')
    """
    name, text = type(error).__name__, said(error)
    return f"{name}: {text}" if text else name


def said(error: BaseException) -> str:
    """The text of an error, also when its own `__str__` fails."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its text cannot be read: {type(broken).__name__})"


REASONS = {
    "crashed": "it was in hand when its actor crashed",
    "killed": "it was in hand when its actor was killed",
    "rejected": "the handler refused it, and nobody had asked",
    "stopped": "it still waited when its actor ended for good",
    "no_actor": "nobody lives at that path",
    "no_worker": "its pool had no worker that could take it",
    "no_room": "it was published, and the subscriber's mailbox had no room in time",
    "dropped_new": "the mailbox was full and drops what comes",
    "dropped_old": "the mailbox was full and drops what waits longest",
}
"""Every reason code of an in-memory dead letter, and what it means."""
