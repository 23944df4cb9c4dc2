"""`upright ps`: what a service is made of, in lists: its process, mailboxes, breakers, machines."""

import time
from collections.abc import Sequence
from typing import Any

import click

from .options import aimed
from .page import Page
from .target import Target
from .words import when


@click.command()
@aimed
def ps(target: Target, page: Page) -> None:
    """List the process, its actors, mailboxes, breakers and machines."""
    answer = target.call("ps")
    if page.as_json:
        page.document(answer)
        return
    now, first = time.time(), True
    for title, headings, rows in sections(answer, now):
        if not first:
            page.line()
        first = False
        page.line(title, colour="bold")
        if rows:
            page.table(headings, rows)
        else:
            page.line("none")


Section = tuple[str, list[str], Sequence[Sequence[object]]]


def sections(answer: dict[str, Any], now: float) -> list[Section]:
    """The lists, each with its title and its headings."""
    found: list[Section] = []
    if process := answer.get("process"):
        now_is = "draining" if process["draining"] else "running"
        row = [process["pid"], when(process["started"], now), process["python"], now_is]
        found.append(("PROCESS", ["pid", "started", "python", "state"], [row]))
    if "sessions" in answer:
        rows = [[one.get("name", ""), one.get("pid", ""), when(one.get("opened"), now)] for one in answer["sessions"]]
        found.append(("SESSIONS", ["name", "pid", "opened"], rows))
    if "workers" in answer:
        names = ["worker", "pid", "ready", "why"]
        found.append(("WORKERS", names, rows_of(answer["workers"], names)))
    if "actors" in answer:
        names = ["path", "kind", "state", "depth", "limit", "restarts", *of_workers(answer["actors"])]
        found.append(("ACTORS", names, rows_of(answer["actors"], names)))
    names = ["address", "waiting", "running", "quarantined"]
    found.append(("MAILBOXES", names, rows_of(answer.get("mailboxes", []), names)))
    if "breakers" in answer:
        names = ["name", "kind", "state", *of_workers(answer["breakers"])]
        found.append(("BREAKERS", names, rows_of(answer["breakers"], names)))
    machines = [[one["machine"], counted(one["status"])] for one in answer.get("machines", [])]
    found.append(("MACHINES", ["machine", "runs"], machines))
    return found


def of_workers(entries: list[dict[str, Any]]) -> list[str]:
    """One more heading where there are several processes: in which of them it is."""
    return ["worker"] if any("worker" in entry for entry in entries) else []


def rows_of(entries: list[dict[str, Any]], names: list[str]) -> list[list[object]]:
    """A row for each entry, a cell for each name."""
    return [[entry.get(name, "") for name in names] for entry in entries]


def counted(status: dict[str, int]) -> str:
    """How many runs there are, by status."""
    return ", ".join(f"{count} {name}" for name, count in status.items()) or "none"
