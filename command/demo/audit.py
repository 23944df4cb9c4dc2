"""The audit: from what is in the books, whether every order was treated right. Pure, and without the library."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from .books import ENDS, Books

EXPECTED = {
    "completed": {"charge": 1, "reserve": 1, "ship": 1, "notify": 1},
    "called off": {"ship": 0, "notify": 0},
}
KILLER = "unplug me"
SHOWN = 5
"""Offenders that a check names."""


class Check(NamedTuple):
    """One thing that was looked at. `offenders`: ids of orders, or words, that should not be there."""

    name: str
    offenders: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        return not self.offenders


class Left(NamedTuple):
    """An order in quarantine: why, and what it left behind in the books of the services."""

    order: str
    reason: str
    attempts: int
    error: str
    behind: tuple[str, ...]


class Counted(NamedTuple):
    """What the parent counted while it read; the audit compares."""

    read: int
    refused: int
    duplicates: int
    posted: int = 0


class Audit(NamedTuple):
    """What came of it."""

    counted: Counted
    accepted: int
    completed: int
    called_off: int
    quarantined: tuple[Left, ...]
    unfinished: int
    checks: tuple[Check, ...]
    effects: dict[str, int]
    calls: dict[str, int]

    @property
    def is_right(self) -> bool:
        return all(check.is_ok for check in self.checks)

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        return {
            "right": self.is_right,
            "read": self.counted.read,
            "posted": self.counted.posted,
            "refused": self.counted.refused,
            "duplicates": self.counted.duplicates,
            "accepted": self.accepted,
            "completed": self.completed,
            "called_off": self.called_off,
            "quarantined": [one._asdict() for one in self.quarantined],
            "unfinished": self.unfinished,
            "effects": self.effects,
            "calls": self.calls,
            "checks": [{"name": one.name, "ok": one.is_ok, "offenders": list(one.offenders)} for one in self.checks],
        }


def audit(books: Books, counted: Counted, was_cut_off: bool = False) -> Audit:
    """Look at everything. `was_cut_off`: it was interrupted, so that some orders may be under way; they are stored, and
    so it is not held against it.
    """
    of: dict[str, Counter[str]] = defaultdict(Counter)
    for effect in books.effects:
        of[effect.order][effect.verb] += 1
    kept = {letter.order for letter in books.letters}
    ends = {id: end_of(id, books, kept) for id in books.accepted}
    groups: dict[str, list[str]] = defaultdict(list)
    for id, end in ends.items():
        groups[end].append(id)
    checks = [
        Check("all files can be read", tuple(books.damage)),
        lines_add_up(books, counted),
        Check("no order was accepted twice", tuple(books.twice)),
        Check("nothing is lost: every accepted order has an end, or is under way", tuple(groups["lost"])),
        *(
            Check(f"every completed order: {verb} exactly once", wrong(groups["completed"], of, verb, count))
            for verb, count in EXPECTED["completed"].items()
        ),
        Check(
            "nothing of a completed order was taken back",
            tuple(id for id in groups["completed"] if of[id]["refund"] or of[id]["release"]),
        ),
        *taken_back(groups["called off"], of),
        *quarantine(books, groups["quarantined"], of),
        Check("every charge and refund is of what the order says", amounts(books)),
        Check("no service did anything for an order that nobody accepted", strangers(books)),
        unfinished(books, groups["under way"], was_cut_off),
    ]
    left = tuple(
        Left(one.order, one.reason, one.attempts, one.error, tuple(sorted((+of[one.order]).elements())))
        for one in sorted(books.letters, key=lambda one: one.order)
    )
    done = Counter(effect.verb for effect in books.effects)
    return Audit(
        counted, len(books.accepted), len(groups["completed"]), len(groups["called off"]), left,
        len(groups["under way"]), tuple(checks), dict(done), books.calls,
    )  # fmt: skip


def end_of(id: str, books: Books, kept: set[str]) -> str:
    """How an accepted order ended; `lost` for one of which nothing is known. `kept`: those in quarantine."""
    end = ENDS.get(books.runs.get(id, ""))
    if end is not None:
        return end
    if id in kept:
        return "quarantined"
    return "under way" if id in books.open else "lost"


def lines_add_up(books: Books, counted: Counted) -> Check:
    """What was read is what was accepted, refused, or known."""
    came, went = counted.read + counted.posted, len(books.accepted) + counted.refused + counted.duplicates
    told = () if came == went else (f"{came} came, {went} are accounted for",)
    return Check("every line was accepted, refused, or a duplicate", told)


def wrong(ids: Iterable[str], of: dict[str, Counter[str]], verb: str, count: int) -> tuple[str, ...]:
    """Orders for which that was done another number of times."""
    return tuple(f"{id} ({of[id][verb]} times)" for id in ids if of[id][verb] != count)


def taken_back(ids: list[str], of: dict[str, Counter[str]]) -> list[Check]:
    """Of an order that was called off, nothing may be left."""
    return [
        Check(
            "every order called off: charged once and refunded once, or not charged",
            tuple(id for id in ids if (of[id]["charge"], of[id]["refund"]) not in ((0, 0), (1, 1))),
        ),
        Check(
            "every order called off: reserved once and released once, or not reserved",
            tuple(id for id in ids if (of[id]["reserve"], of[id]["release"]) not in ((0, 0), (1, 1))),
        ),
        *(Check(f"no order called off: {verb}", wrong(ids, of, verb, 0)) for verb in EXPECTED["called off"]),
    ]


def quarantine(books: Books, ids: list[str], of: dict[str, Counter[str]]) -> list[Check]:
    """Only what deserves it may be there, and nothing was done twice for it."""
    letters = {letter.order: letter for letter in books.letters}
    innocent = [
        f"{id} ({letters[id].reason}: {letters[id].error})"
        for id in ids
        if not deserves(books.accepted[id], letters[id])
    ]
    quarantined = set(ids)
    known = [one for one in books.letters if one.order not in quarantined]
    return [
        Check("no good order is in quarantine", (*innocent, *(f"message {one.id} of {one.order!r}" for one in known))),
        Check(
            "nothing was done twice for an order in quarantine or under way",
            tuple(id for id in (*ids, *books.open) if any(count > 1 for count in of[id].values())),
        ),
    ]


def deserves(order: dict[str, object], letter: Any) -> bool:
    """Whether quarantine is where that order should be, for that reason."""
    if letter.reason == "crash_loop":
        return order.get("note") == KILLER
    return letter.reason == "attempts" and order.get("kilograms") == 0 and letter.error.startswith("ZeroDivisionError")


def amounts(books: Books) -> tuple[str, ...]:
    """Orders of which another amount was charged or given back."""
    return tuple(
        f"{one.order} ({one.verb} {one.cents})"
        for one in books.effects
        if one.order in books.accepted
        and one.verb in ("charge", "refund")
        and one.cents != books.accepted[one.order].get("cents")
    )


def strangers(books: Books) -> tuple[str, ...]:
    """Ids in the books, and runs, that nobody has accepted."""
    told = [f"{one.order} ({one.verb})" for one in books.effects if one.order not in books.accepted]
    return (*told, *(f"{id} (a run)" for id in books.runs if id not in books.accepted))


def unfinished(books: Books, under_way: list[str], was_cut_off: bool) -> Check:
    """No message is left; of an interrupted run, only those of orders that are under way."""
    if not was_cut_off:
        return Check(
            "nothing is left over: no message is unfinished", (*under_way, *(set(books.open) - set(under_way)))
        )
    name = f"what is unfinished is stored, and would go on ({len(under_way)} orders)"
    return Check(name, tuple(id for id in books.open if id not in books.accepted))


def told(check: Check) -> str:
    """The offenders in few words."""
    more = len(check.offenders) - SHOWN
    return ", ".join(check.offenders[:SHOWN]) + (f", and {more} more" if more > 0 else "")
