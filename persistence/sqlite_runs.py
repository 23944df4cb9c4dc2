"""Runs: messages whose ids follow each other, and whose tokens do so too, are written by one statement.

What is stored together is mostly claimed and handled together. One statement for a hundred such rows takes half of the
time of a hundred statements, since what it is given is bound once.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

SPREAD = 0.01
"""Seconds by which the attempts of one run may have begun apart; the story of each tells the time of the first."""

CLAIM_RUN = (
    "UPDATE message SET state = 1, owner = ?, token = id + ?, claimed = ? WHERE id BETWEEN ? AND ? AND state = 0"
)
ACK_RUN = (
    "UPDATE message SET state = 2, owner = NULL, finished = ?, attempt = ?, claimed = coalesce(?, claimed),"
    " crashes = 0, body = NULL, progress = NULL WHERE id BETWEEN ? AND ? AND token = id + ? AND state = 1"
)


class Claimed(NamedTuple):
    """One claim. `attempt`: how many are used up with it. `started`: when that began."""

    id: int
    token: int
    attempt: int = 0
    started: float = 0.0


class Run(NamedTuple):
    """Claims of the ids from `first` to `last`, whose tokens are those plus `offset`; the rest is of the first one."""

    first: int
    last: int
    offset: int
    attempt: int
    started: float


def runs(claims: Iterable[Claimed]) -> list[Run]:
    """The claims as few runs, in the order of their ids.

    >>> runs([Claimed(8, 108), Claimed(7, 107), Claimed(9, 209)])
    [Run(first=7, last=8, offset=100, attempt=0, started=0.0), Run(first=9, last=9, offset=200, attempt=0, started=0.0)]
    """
    found: list[Run] = []
    first = last = offset = used = -1
    began = 0.0
    for id, token, attempt, started in sorted(claims, key=itemgetter(0)):
        if id == last + 1 and token - id == offset and attempt == used and abs(started - began) <= SPREAD:
            last = id
            continue
        if first >= 0:
            found.append(Run(first, last, offset, used, began))
        first, last, offset, used, began = id, id, token - id, attempt, started
    if first >= 0:
        found.append(Run(first, last, offset, used, began))
    return found
