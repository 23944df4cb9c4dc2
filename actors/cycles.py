"""Asks that would wait for themselves, found before they are sent."""

from typing import Any

from .envelope import IN_HAND, Envelope
from .errors import AskCycle
from .recipients import Recipient

LONGEST_CHAIN = 100
"""Actors that the search ahead follows at most."""


def refuse_cycle(turn: Envelope, recipient: Recipient) -> None:
    """Raise `AskCycle` if the recipient's message in hand waits, through asks, for this turn.

    First up: the chain of askers behind this turn. Then ahead: whom the recipient's own message in hand is waiting
    for, which finds two actors that began to ask each other independently.
    """
    chain: list[str] = [recipient.path]
    link: Envelope | None = turn
    while link is not None and link.phase == IN_HAND and link.host is not None:
        chain.append(link.host.path)
        if link.host.cell is recipient:
            raise AskCycle(tuple(reversed(chain)))
        if link.reply is not None and link.reply.done():
            break  # answered early or given up: its asker waits no more
        link = link.caller
    asker = turn.host.cell if turn.host is not None else None
    path, ahead = [turn.host.path if turn.host is not None else "", recipient.path], recipient.in_hand
    while ahead is not None and ahead.phase == IN_HAND and len(path) < LONGEST_CHAIN:
        waits_for: Any = ahead.waits_for
        if waits_for is None or waits_for[1].done():
            return
        path.append(waits_for[0].path)
        if waits_for[0] is asker:
            raise AskCycle(tuple(path))
        ahead = waits_for[0].in_hand
