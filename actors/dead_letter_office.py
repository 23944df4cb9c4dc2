"""Where undeliverable messages pass on their way to the dead-letter actor: counted, told, and never in a circle."""

import time
from typing import Protocol

from .bus import EventBus
from .durable import Delivered
from .envelope import Envelope
from .errors import ActorFailed, ActorGone, MailboxFull
from .events import DeadLettered, DeadLetterLost, MessageDropped
from .handlers import Handler
from .mailbox import Mailbox
from .message import DeadLetter, told

PATH = "/dead-letters"


class LetterBox(Protocol):
    """The dead-letter actor, as far as the office needs it."""

    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def gone(self) -> bool: ...


class DeadLetterOffice:
    """Turns what could not be delivered into letters, ends its asks, and hands the letters on.

    It never waits: a letter for which the dead-letter actor has no room is counted as lost (`lost`) and told as an
    event, and so is a letter that concerns that actor itself, or a crash in it would send the same letter round and
    round.
    """

    __slots__ = ("_box", "_bus", "_handler", "count", "lost")

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._box: LetterBox | None = None
        self._handler: Handler | None = None
        self.count = 0
        self.lost = 0

    def open(self, box: LetterBox, handler: Handler) -> None:
        """From now on letters go to this actor's handler."""
        self._box, self._handler = box, handler

    def take(self, path: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        """Take a message that will not be handled, and end its ask with the error that fits the reason."""
        if isinstance(envelope, Delivered):
            envelope.work.give_back()  # it is stored, and no dead letter yet
            return
        if reason in ("dropped_new", "dropped_old") and self._bus.wants(MessageDropped):
            self._bus.emit(MessageDropped(path, envelope.handler.name, reason))
        self.refuse(path, envelope, reason, error)
        self.send(letter(path, envelope, reason, error))

    def refuse(self, path: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        """End the ask of a message that will not be handled, if somebody waits for it."""
        if envelope.reply is not None:
            envelope.fail(_answer(path, envelope, reason, error))

    def send(self, letter: DeadLetter) -> None:
        """Hand a letter to the dead-letter actor, if it can take it."""
        self.count += 1
        if self._bus.wants(DeadLettered):
            self._bus.emit(DeadLettered(letter.recipient, letter))
        box = self._box
        if (
            box is None
            or self._handler is None
            or box.gone
            or PATH in (letter.recipient, letter.sender)
            or not self._post(box, letter)
        ):
            self.lost += 1
            if self._bus.wants(DeadLetterLost):
                self._bus.emit(DeadLetterLost(letter.recipient, letter, self.lost))

    def _post(self, box: LetterBox, letter: DeadLetter) -> bool:
        assert self._handler is not None
        mailbox = box.mailbox
        if len(mailbox) >= mailbox.limit:
            return False  # asked here: a policy that drops would make a dead letter of a dead letter
        return mailbox.put_nowait(Envelope(self._handler, (letter,), None, None))


def letter(path: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> DeadLetter:
    """The letter that tells of an envelope's end."""
    sender = envelope.sender.path if envelope.sender is not None else None
    return DeadLetter(path, envelope.message(), reason, error, sender, time.time())


def _answer(path: str, envelope: Envelope, reason: str, error: BaseException | None) -> Exception:
    match reason:
        case "crashed" if error is not None:
            failed = ActorFailed(f"{path} crashed in {envelope.handler.name}: {told(error)}", path, handled=True)
            failed.__cause__ = error
            return failed
        case "dropped_new" | "dropped_old":
            return MailboxFull(path, envelope.message(), " and drops messages")
        case "killed":
            return ActorGone(f"{path} was killed in {envelope.handler.name}", path, handled=True)
        case "no_worker":
            return ActorGone(f"{path} has no worker for {envelope.handler.name}", path, handled=False)
        case "no_actor":
            return ActorGone(f"nobody lives at {path}", path, handled=False)
        case _:
            return ActorGone(f"{path} ended before it handled {envelope.handler.name}", path, handled=False)
