"""What is told while a message is in hand, and waits for a commit: that of a step, where one is being taken.

It stands apart from `Hand` because both the delivery and its steps stage, and a step does so for itself: what it told
is stored with its result, for it is not run again to tell it a second time.
"""

from contextvars import ContextVar
from typing import Any

from upright.actors.envelope import Envelope
from upright.actors.errors import ActorError

from .records import Outgoing


class Stage:
    """What one step tells. `token`: of the claim under which it is taken. `name`: the step's. `messages`: what is
    stored with its result; `later`: what actors in memory are sent after that.
    """

    __slots__ = ("is_open", "later", "messages", "name", "token")

    def __init__(self, token: int, name: str) -> None:
        self.token, self.name, self.is_open = token, name, True
        self.messages: list[Outgoing] = []
        self.later: list[tuple[Any, Envelope]] = []

    def close(self) -> None:
        """The step has ended: what a task of it still tells is staged by the delivery."""
        self.is_open = False

    def send(self) -> None:
        """The result is stored: send what was held back."""
        for recipient, envelope in self.later:
            send(recipient, envelope)


STAGE: ContextVar[Stage | None] = ContextVar("upright_step", default=None)
"""The step that the running code is a part of."""


def stage_of(token: int) -> Stage | None:
    """The step that is being taken here under that claim, if one is."""
    stage = STAGE.get()
    return stage if stage is not None and stage.is_open and stage.token == token else None


def send(recipient: Any, envelope: Envelope) -> None:
    """Send to an actor in memory what was held back until a commit; nobody waits for that, but it is not lost."""
    mailbox = recipient.mailbox
    try:
        if recipient.gone:
            recipient.dropped(envelope, "no_actor")
        elif not mailbox.put_nowait(envelope):
            if mailbox.full == "wait":
                mailbox.line_up(envelope, None)
            else:
                recipient.dropped(envelope, "dropped_new")
    except ActorError as error:  # it cannot be routed, say
        recipient.dropped(envelope, "rejected", error)
