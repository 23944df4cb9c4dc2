"""The account of a run: what became of each line, and whether it adds up."""

import msgspec
from orders import Sums

LISTED = 10_000
"""Entries that are kept with their text; further ones are counted only."""
HANDLED, REFUSED, LOST = 1, 2, 3


class Entry(msgspec.Struct, frozen=True):
    """A line that was not handled, and why."""

    line: int
    reason: str


class Account:
    """One mark per line, so that a line that is missing, or counted twice, shows."""

    def __init__(self) -> None:
        self.handled = self.twice = 0
        self.refused: list[Entry] = []
        self.lost: list[Entry] = []
        self.counts = {REFUSED: 0, LOST: 0}
        self._marks = bytearray()

    def handle(self, line: int) -> None:
        """The line was understood."""
        self._mark(line, HANDLED)
        self.handled += 1

    def refuse(self, line: int, reason: str) -> None:
        """The line was refused."""
        self._note(line, REFUSED, self.refused, reason)

    def lose(self, line: int, reason: str) -> None:
        """The line was in hand when a parser crashed."""
        self._note(line, LOST, self.lost, reason)

    def missing(self, read: int) -> int:
        """How many of the first `read` lines have no mark."""
        return max(read - len(self._marks), 0) + self._marks[:read].count(0)

    def _note(self, line: int, mark: int, entries: list[Entry], reason: str) -> None:
        self._mark(line, mark)
        self.counts[mark] += 1
        if len(entries) < LISTED:
            entries.append(Entry(line, reason))

    def _mark(self, line: int, mark: int) -> None:
        self._marks.extend(bytes(max(line - len(self._marks), 0)))
        self.twice += self._marks[line - 1] != 0
        self._marks[line - 1] = mark


class Result(msgspec.Struct, frozen=True):
    """All that there is to say of a run; the keys of `--json`.

    `lost`: lines that a parser had in hand when it crashed. `refused_lines`, `lost_lines`: the first 10,000 of each.
    `answering`: parsers that answered at the end. `dead_letters`: counts by reason. `problems`: what does not add up.
    """

    file: str
    read: int
    handled: int
    refused: int
    lost: int
    refused_lines: list[Entry]
    lost_lines: list[Entry]
    crashes: int
    restarts: int
    parsers: int
    answering: int
    dead_letters: dict[str, int]
    sums: Sums
    interrupted: bool
    unreadable: str
    problems: list[str]
