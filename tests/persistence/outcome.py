"""What is left of a campaign, as two witnesses tell it that do not know of each other.

One is the record beside the store, the other is the file, opened with nothing but `sqlite3`. It stands apart because
the laws of kills at random and of kills at numbered points are read from the same two.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from tests.persistence.crashes import Books, Campaign, Line, look, read_lines

DONE, QUARANTINED = 2, 3


class Row(msgspec.Struct, frozen=True):
    """A message as the file has it."""

    id: int
    address: str
    state: int
    attempt: int
    crashes: int
    reason: str | None


class Outcome:
    """What both witnesses say in the end."""

    def __init__(self, campaign: Campaign) -> None:
        self.left = sorted(path.name for path in campaign.file.parent.glob(f"{campaign.file.name}*"))
        """The files of the store, before anybody looked into it."""
        self.campaign, self.lines = campaign, read_lines(campaign.record.path)
        columns = "message.id, address, state, attempt, crashes, reason"
        rows = look(campaign.file, f"SELECT {columns} FROM message JOIN mailbox ON mailbox.id = mailbox")
        self.rows = {row[0]: Row(*row) for row in rows}
        self.failed = Counter(id for (id,) in look(campaign.file, "SELECT message FROM failure"))
        crashes = "SELECT message FROM event WHERE name = 'crashed'"
        self.crashed = Counter(id for (id,) in look(campaign.file, crashes))
        self.version, self.books = 0, Books()
        """What the clerk remembers, and how often that was written."""
        for self.version, body in look(campaign.file, "SELECT version, body FROM state"):
            _, self.books = msgspec.msgpack.decode(body, type=tuple[int, Books])
        self.began = [line for line in self.lines if line.what == "began"]
        self.number = {line.id: line.number for line in self.began}
        self.handled: dict[int, list[Line]] = {}
        """By id: the lines of its handler."""
        for line in self.lines:
            if line.id:
                self.handled.setdefault(line.id, []).append(line)

    def ran_again(self) -> list[Line]:
        """What handlers did with a message after its end had been seen in the file."""
        over = self.campaign.over
        return [line for at, line in enumerate(self.lines) if line.id in over and at >= over[line.id]]

    def said(self, what: str) -> set[int]:
        return {line.number for line in self.lines if line.what == what}

    def numbers(self, address: str, *states: int) -> Counter[int]:
        """How many messages of an address bear each number."""
        return Counter(
            self.number[row.id] for row in self.rows.values() if row.address == address and row.state in states
        )

    def deliveries(self) -> Iterator[tuple[Line, Line | None]]:
        """Each begin and how its handler ended; None where its process died before."""
        for lines in self.handled.values():
            for line, after in pairwise([*lines, None]):
                assert line is not None
                if line.what == "began":
                    yield line, after if after is not None and after.what != "began" else None


class Begun(msgspec.Struct, frozen=True):
    line: Line
    end: Line | None


def begun_again(outcome: Outcome) -> Iterator[tuple[Begun, Line]]:
    """Each begin that another one of the same message followed."""
    found: dict[int, list[Begun]] = {}
    for begin, end in outcome.deliveries():
        found.setdefault(begin.id, []).append(Begun(begin, end))
    for begins in found.values():
        for first, second in pairwise(begins):
            yield first, second.line
