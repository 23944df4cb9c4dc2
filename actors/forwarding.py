"""Handing the message in hand on to another actor, with its reply and its deadline."""

from typing import Any

from .cycles import refuse_cycle
from .envelope import MOVED, QUEUED, Envelope, Question
from .errors import AskCycle
from .recipients import handlers_of
from .refs import Ref
from .seat import Seat


async def pass_on(
    ref: Ref[Any], seat: Seat, turn: Envelope, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> None:
    """Hand the message in hand on: the new envelope takes over its reply and its deadline.

    Until it is in, the turn keeps the message: whatever goes wrong then is a fault of the handler that forwards.
    """
    recipient = ref.recipient
    found = (handlers_of(ref.actor) if recipient is None else recipient.handlers)[handler]
    envelope = Envelope(found, args, kwargs, seat.host)
    if isinstance(turn, Question):
        envelope = Question(
            found, args, kwargs, seat.host, turn.reply, QUEUED, turn.deadline, turn.caller, turn.fail_fast
        )
        if turn.caller is not None and recipient is not None:
            try:
                refuse_cycle(turn.caller, recipient, found)
            except AskCycle as circle:  # the asker's affair, not a fault of the one who hands on
                turn.fail(circle)
                turn.phase = MOVED
                return
            turn.caller.waits_at(turn.reply, recipient)
        turn.forwarded = (envelope,)
    try:
        await ref.deliver(envelope)
    except BaseException:
        if recipient is not None and (envelope.phase != QUEUED or recipient.mailbox.holds(envelope)):
            turn.phase = MOVED  # it got in after all; cancelled only then
        raise
    turn.phase = MOVED
