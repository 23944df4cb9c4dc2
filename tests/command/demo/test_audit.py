"""The audit finds what is wrong: each fault is planted in books that were right, and its check is named."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from upright.command.demo.audit import Counted, audit, told
from upright.command.demo.books import Books, Effect, Letter

CENTS = 990
WAY = ("charge", "reserve", "ship", "notify")


def right() -> Books:
    """Of each end one order: done, declined, sold out, nobody drives there, poison, killer."""
    ids = ("done", "declined", "sold-out", "far", "poison", "killer")
    accepted: dict[str, dict[str, object]] = {id: {"id": id, "cents": CENTS, "kilograms": 1.0} for id in ids}
    accepted["poison"]["kilograms"] = 0
    accepted["killer"]["note"] = "unplug me"
    runs = dict.fromkeys(ids, "rejected") | {"done": "completed", "poison": "failed", "killer": "failed"}
    made = {
        "done": WAY,
        "sold-out": ("charge", "refund"),
        "far": ("charge", "reserve", "release", "refund"),
        "poison": ("charge", "reserve"),
        "killer": ("charge", "reserve"),
    }
    effects = [Effect(verb, id, CENTS) for id, verbs in made.items() for verb in verbs]
    letters = [
        Letter(7, "poison", "attempts", 8, "ZeroDivisionError: float division by zero"),
        Letter(8, "killer", "crash_loop", 3, ""),
    ]
    return Books(accepted, [], runs, letters, {}, effects, {"done": 14, "replay": 2}, [])


COUNTED = Counted(read=9, refused=2, duplicates=1)


def test_books_that_are_right_pass_every_check() -> None:
    found = audit(right(), COUNTED)
    assert found.is_right, [check for check in found.checks if not check.is_ok]
    assert (found.accepted, found.completed, found.called_off, found.unfinished) == (6, 1, 3, 0)
    assert [(one.order, one.reason, one.behind) for one in found.quarantined] == [
        ("killer", "crash_loop", ("charge", "reserve")),
        ("poison", "attempts", ("charge", "reserve")),
    ]
    assert found.plain()["right"] is True


def add(verb: str, id: str, cents: int = CENTS) -> Callable[[Books], Any]:
    return lambda books: books.effects.append(Effect(verb, id, cents))


def drop(verb: str, id: str) -> Callable[[Books], Any]:
    return lambda books: books.effects.remove(Effect(verb, id, CENTS))


def innocent(books: Books) -> None:
    books.runs["done"] = "failed"
    books.letters.append(Letter(9, "done", "crash_loop", 3, ""))


def poisoned_otherwise(books: Books) -> None:
    books.letters[0] = books.letters[0]._replace(error="ConnectionError: away")


FAULTS: list[tuple[str, Callable[[Books], Any], str, str]] = [
    ("a double charge", add("charge", "done"), "every completed order: charge exactly once", "done (2 times)"),
    ("a missing charge", drop("charge", "done"), "every completed order: charge exactly once", "done (0 times)"),
    ("no reservation", drop("reserve", "done"), "every completed order: reserve exactly once", "done (0 times)"),
    ("two parcels", add("ship", "done"), "every completed order: ship exactly once", "done (2 times)"),
    ("no mail", drop("notify", "done"), "every completed order: notify exactly once", "done (0 times)"),
    ("a refund of a completed order", add("refund", "done"), "nothing of a completed order was taken back", "done"),
    ("a lost order", lambda books: books.runs.pop("done"), "nothing is lost", "done"),
    ("no refund", drop("refund", "sold-out"), "charged once and refunded once", "sold-out"),
    ("two refunds", add("refund", "sold-out"), "charged once and refunded once", "sold-out"),
    ("no release", drop("release", "far"), "reserved once and released once", "far"),
    ("a parcel of an order called off", add("ship", "far"), "no order called off: ship", "far (1 times)"),
    ("a mail about it", add("notify", "far"), "no order called off: notify", "far (1 times)"),
    ("a stranger in the books", add("charge", "mallory"), "nobody accepted", "mallory (charge)"),
    ("a run of a stranger", lambda books: books.runs.update(mallory="completed"), "nobody accepted", "mallory (a run)"),
    ("another amount", add("refund", "sold-out", 5), "what the order says", "sold-out (refund 5)"),
    ("a message that is left", lambda books: books.open.update(done=1), "nothing is left over", "done"),
    ("a good order in quarantine", innocent, "no good order is in quarantine", "done (crash_loop: )"),
    ("poison of another kind", poisoned_otherwise, "no good order is in quarantine", "poison (attempts: Conn"),
    ("two charges for poison", add("charge", "poison"), "nothing was done twice for an order in", "poison"),
    ("an order that is written down twice", lambda books: books.twice.append("done"), "accepted twice", "done"),
    ("a damaged file", lambda books: books.damage.append("mail.db: malformed"), "can be read", "mail.db: malformed"),
    ("a line too few", lambda books: books.accepted.pop("declined"), "every line was accepted", "9 came, 8 are"),
]


@pytest.mark.parametrize(
    ("plant", "check", "offender"), [fault[1:] for fault in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_a_planted_fault_is_found_and_named(plant: Callable[[Books], Any], check: str, offender: str) -> None:
    books = copy.deepcopy(right())
    plant(books)
    found = audit(books, COUNTED)
    assert not found.is_right
    failed = [one for one in found.checks if not one.is_ok]
    assert any(check in one.name and offender in told(one) for one in failed), failed


def test_what_an_interrupted_run_left_is_not_held_against_it_if_it_is_stored() -> None:
    books = right()
    del books.runs["done"]
    books.open["done"] = 1
    assert audit(books, COUNTED, was_cut_off=True).is_right
    assert audit(books, COUNTED, was_cut_off=True).unfinished == 1
    assert not audit(books, COUNTED).is_right
    del books.open["done"]
    assert not audit(books, COUNTED, was_cut_off=True).is_right


def test_of_many_offenders_a_few_are_named() -> None:
    books = right()
    for number in range(9):
        books.effects.append(Effect("charge", f"stranger-{number}", 1))
    check = next(one for one in audit(books, COUNTED).checks if not one.is_ok)
    assert told(check).endswith("stranger-4 (charge), and 4 more")
