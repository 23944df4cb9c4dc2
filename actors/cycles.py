"""Asks that would wait for themselves, found before they are sent."""

import asyncio
from collections.abc import Iterable
from typing import Any

from .envelope import IN_HAND, Envelope, Link, Question
from .errors import AskCycle
from .handlers import Handler
from .recipients import Recipient

LONGEST_SEARCH = 100
"""Actors that the search ahead looks at, at most."""


def refuse_cycle(asker: Link, recipient: Recipient, handler: Handler) -> None:
    """Raise `AskCycle` if the recipient's message in hand waits, through asks, for this turn.

    First up: the chain of askers behind this turn. Then ahead: for whom the recipient's own message in hand is waiting,
    and for whom these are, which finds two actors that began to ask each other independently. No turn stands in the way
    of a message that overlaps with it.
    """
    chain: list[str] = [recipient.path]
    link: Link | None = asker
    while link is not None and (turn := link.turn) is not None and turn.phase == IN_HAND:
        chain.append(link.host.path)
        if link.host.cell is recipient and not _overlap(turn, handler, recipient, recipient.mailbox.queue):
            raise AskCycle(tuple(reversed(chain)))
        if turn.reply is not None and turn.reply.done():
            break  # answered early or given up: its asker waits no more
        link = turn.caller if isinstance(turn, Question) else None
    ways: list[tuple[tuple[str, ...], Link | None]] = [((asker.host.path, recipient.path), recipient.link)]
    for path, ahead in ways:  # it grows on the way
        if ahead is None or ahead.turn is None or ahead.turn.phase != IN_HAND:
            continue
        for reply, asked in [one for one in ahead.waits_for.items() if not one[0].done()]:
            way = (*path, asked.path)
            if asked is asker.host.cell and not _begins(asker.turn, asked, reply):
                raise AskCycle(way)
            if len(ways) < LONGEST_SEARCH:
                ways.append((way, asked.link))


def _begins(turn: Envelope | None, asked: Any, reply: asyncio.Future[Any]) -> bool:
    """Whether that question goes on beside this turn, in hand already or as soon as it is reached."""
    if turn is None or not turn.handler.limit or not _overlaps_at_all(asked):
        return False
    before: list[Envelope] = []
    for waits in asked.mailbox.queue:
        if waits.reply is reply:
            return _overlap(turn, waits.handler, asked, before)
        before.append(waits)
    return True


def _overlaps_at_all(asked: Recipient) -> bool:
    """Whether it takes messages now: not while it starts or stops, whose turns are no handlers; and none may have to
    wait for a policy, whose last permit this very turn may have.
    """
    return asked.state == "running" and asked.passage is None


def _overlap(turn: Envelope, handler: Handler, asked: Recipient, before: Iterable[Envelope]) -> bool:
    """Whether a message for that handler begins while this turn waits: both are `@concurrent`, one more of it may run
    when those `before` it do, and none of them wants the actor for itself.
    """
    if not (turn.handler.limit and handler.limit and _overlaps_at_all(asked)):
        return False
    names = [waits.handler.name if waits.handler.limit else "" for waits in before]
    return "" not in names and asked.running(handler.name) + names.count(handler.name) < handler.limit
