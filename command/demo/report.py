"""The audit as a table for people: first what came of it all, then each thing that was looked at."""

from collections import Counter

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .audit import Audit, told
from .scene import TurnedAway

LISTED = 40
"""Refused lines that are listed one by one."""
REPLAYS = "replay"


def reported(audit: Audit, refusals: TurnedAway, duplicates: TurnedAway, was_cut_off: bool) -> RenderableType:
    """All that is printed at the end."""
    return Group(
        refused(refusals),
        doubled(duplicates),
        quarantined(audit),
        figures(audit),
        checks(audit),
        verdict(audit, was_cut_off),
    )


def listed(title: str, lines: TurnedAway) -> RenderableType:
    """Lines by their numbers, the first of them."""
    if not lines.count:
        return Text("")
    shown = [
        f"  line {one.line:>6}  {one.why}" if one.line else f"  by HTTP      {one.why}" for one in lines.first[:LISTED]
    ]
    if lines.count > LISTED:
        shown.append(f"  … and {lines.count - LISTED} more")
    return Text("\n".join([f"{title}: {lines.count}", *shown, ""]), no_wrap=True, overflow="ellipsis")


def refused(refusals: TurnedAway) -> RenderableType:
    """The lines that were not accepted."""
    return listed("lines refused", refusals)


def doubled(duplicates: TurnedAway) -> RenderableType:
    """The lines that came twice."""
    return listed("duplicates", duplicates)


def quarantined(audit: Audit) -> RenderableType:
    """What waits for somebody, why, and what it left behind."""
    if not audit.quarantined:
        return Text("")
    table = Table(
        "order", "reason", "attempts", "last error", "what it left behind", title="in quarantine", title_justify="left"
    )
    for one in audit.quarantined[:LISTED]:
        table.add_row(
            one.order,
            one.reason,
            str(one.attempts),
            one.error or "its process died",
            ", ".join(one.behind) or "nothing",
        )
    return table


def figures(audit: Audit) -> RenderableType:
    """How many of each."""
    table = Table("the orders", "", title="what came of it", title_justify="left")
    table.columns[1].justify = "right"
    reasons = Counter(one.reason for one in audit.quarantined)
    rows = [
        ("lines read", audit.counted.read),
        ("orders by HTTP", audit.counted.posted),
        ("lines refused", audit.counted.refused),
        ("duplicates", audit.counted.duplicates),
        ("accepted", audit.accepted),
        ("completed", audit.completed),
        ("called off, and taken back", audit.called_off),
        *((f"quarantined: {reason}", count) for reason, count in sorted(reasons.items())),
        ("under way", audit.unfinished),
        *((f"{verb}s in the books", count) for verb, count in audit.effects.items()),
        ("calls that the services got", sum(audit.calls.values())),
        ("of them replays, answered and not done again", audit.calls.get(REPLAYS, 0)),
    ]
    for name, count in rows:
        if count or name in ("accepted", "completed"):
            table.add_row(name, str(count))
    return table


def checks(audit: Audit) -> RenderableType:
    """Each thing that was looked at."""
    table = Table(
        "the audit",
        "",
        "offenders",
        title="read from the books of the services and from the store",
        title_justify="left",
    )
    for check in audit.checks:
        table.add_row(check.name, Text("ok", "green") if check.is_ok else Text("FAILED", "bold red"), told(check))
    return table


def verdict(audit: Audit, was_cut_off: bool) -> RenderableType:
    """What it comes to."""
    if not audit.is_right:
        failed = sum(not check.is_ok for check in audit.checks)
        return Text(f"The audit FAILED: {failed} of {len(audit.checks)} checks.", "bold red")
    if was_cut_off:
        return Text("It was interrupted. What is there is right, and the rest is stored.", "bold yellow")
    return Text("The audit is right: every order was treated as it should be, once.", "bold green")


def show(console: Console, what: RenderableType) -> None:
    """Print it."""
    console.print(what)
