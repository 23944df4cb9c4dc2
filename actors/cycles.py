"""Asks that would wait for themselves, found before they are sent."""

from .envelope import IN_HAND, Link, Question
from .errors import AskCycle
from .recipients import Recipient

LONGEST_SEARCH = 100
"""Actors that the search ahead looks at, at most."""


def refuse_cycle(asker: Link, recipient: Recipient) -> None:
    """Raise `AskCycle` if the recipient's message in hand waits, through asks, for this turn.

    First up: the chain of askers behind this turn. Then ahead: for whom the recipient's own message in hand is waiting,
    and for whom these are, which finds two actors that began to ask each other independently.
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
    ways: list[tuple[tuple[str, ...], Link | None]] = [((asker.host.path, recipient.path), recipient.link)]
    for path, ahead in ways:  # it grows on the way
        if ahead is None or ahead.turn is None or ahead.turn.phase != IN_HAND:
            continue
        for asked in [asked for reply, asked in ahead.waits_for.items() if not reply.done()]:
            way = (*path, asked.path)
            if asked is asker.host.cell:
                raise AskCycle(way)
            if len(ways) < LONGEST_SEARCH:
                ways.append((way, asked.link))
