"""Asks that would wait for themselves, found before they are sent."""

from .envelope import IN_HAND, Link, Question
from .errors import AskCycle
from .recipients import Recipient

LONGEST_CHAIN = 100
"""Actors that the search ahead follows at most."""


def refuse_cycle(asker: Link, recipient: Recipient) -> None:
    """Raise `AskCycle` if the recipient's message in hand waits, through asks, for this turn.

    First up: the chain of askers behind this turn. Then ahead: whom the recipient's own message in hand is waiting
    for, which finds two actors that began to ask each other independently.
    """
    chain: list[str] = [recipient.path]
    link: Link | None = asker
    while link is not None and (turn := link.turn) is not None and turn.phase == IN_HAND:
        chain.append(link.host.path)
        if link.host.cell is recipient:
            raise AskCycle(tuple(reversed(chain)))
        if turn.reply is not None and turn.reply.done():
            break  # answered early or given up: its asker waits no more
        link = turn.caller if isinstance(turn, Question) else None
    path, ahead = [asker.host.path, recipient.path], recipient.link
    while ahead is not None and ahead.turn is not None and ahead.turn.phase == IN_HAND and len(path) < LONGEST_CHAIN:
        if ahead.waits_for is None or ahead.waits_for[1].done():
            return
        asked = ahead.waits_for[0]
        path.append(asked.path)
        if asked is asker.host.cell:
            raise AskCycle(tuple(path))
        ahead = asked.link
