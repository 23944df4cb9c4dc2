"""The report, for people and for machines."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
from account import Entry, Result

SHOWN = 20
"""Lines of each list that people see."""


def as_json(result: Result) -> str:
    """One JSON object; `adds_up` says it in a word."""
    fields = msgspec.to_builtins(result, builtin_types=(Decimal,))
    return msgspec.json.format(msgspec.json.encode(fields | {"adds_up": not result.problems}), indent=2).decode()


def as_text(result: Result) -> str:
    """The same for people."""
    return "\n".join(told(result))


def told(result: Result) -> Iterator[str]:
    if result.interrupted:
        yield "Interrupted: this is what was done until then.\n"
    if result.unreadable:
        yield f"Reading ended early: {result.unreadable}.\n"
    yield f"Lines of {result.file}"
    yield f"  {'read':<16}{result.read:>9,}"
    yield f"  {'handled':<16}{result.handled:>9,}"
    yield f"  {'refused':<16}{result.refused:>9,}"
    yield f"  {'lost to crashes':<16}{result.lost:>9,}"
    yield from listed("Refused", result.refused_lines, result.refused)
    yield from listed("Lost: the parser that had this line in hand crashed", result.lost_lines, result.lost)
    yield "\nHealing"
    yield f"  {'crashes':<16}{result.crashes:>9,}"
    yield f"  {'restarts':<16}{result.restarts:>9,}"
    yield f"  {'dead letters':<16}{sum(result.dead_letters.values()):>9,}"
    yield f"  {'parsers':<16}{result.answering:>9,}  of {result.parsers} answer"
    if result.sums.orders:
        yield "\nOrders"
        for product, pieces in sorted(result.sums.pieces.items()):
            yield f"  {product:<16}{pieces:>9,}  {result.sums.euros[product]:>12,.2f} EUR"
        yield f"  {'together':<16}{sum(result.sums.pieces.values()):>9,}  {sum(result.sums.euros.values()):>12,.2f} EUR"
        hour, count = max(result.sums.hours.items(), key=lambda entry: entry[1])
        yield f"  Most orders came from {hour:02}:00 to {hour:02}:59: {count:,}."
    yield ""
    if result.problems:
        yield "This does not add up:"
        yield from (f"  {problem}" for problem in result.problems)
    else:
        yield "It adds up: every line is accounted for exactly once, and every crash was healed."


def listed(title: str, entries: list[Entry], count: int) -> Iterator[str]:
    if not count:
        return
    yield f"\n{title}"
    for entry in entries[:SHOWN]:
        yield f"  line {entry.line:>6,}  {entry.reason}"
    if count > SHOWN:
        yield f"  and {count - SHOWN:,} more"
