"""`upright machine`: the runs of state machines."""

import json
import time
from typing import Any, get_args

import click

from upright.persistence.run_record import Status

from .commands import Commands
from .options import aimed, without_nones
from .page import Page, state
from .ps import counted
from .target import Target
from .words import clean, when

SHOWN = 100
"""Runs that `ls` shows, where no limit is given."""


@click.group(cls=Commands)
def machine() -> None:
    """State machines: list their runs, show one."""


@machine.command("ls")
@click.argument("name", required=False, metavar="[MACHINE]")
@click.option("--status", type=click.Choice(get_args(Status)), metavar="STATUS", help="Runs of this status.")
@click.option("--state", "in_state", metavar="STATE", help="Runs in this state of the machine.")
@click.option("--limit", type=click.IntRange(1), help=f"So many at most; {SHOWN} unless it says otherwise.")
@aimed
def ls(
    target: Target, page: Page, name: str | None, status: str | None, in_state: str | None, limit: int | None
) -> None:
    """List the machines; with MACHINE, its runs."""
    chosen = without_nones(status=status, state=in_state, limit=limit)
    if name is None:
        if chosen:
            raise click.UsageError("expected a MACHINE whose runs are to be listed")
        answer = target.call("machines")
        headings, rows = ["machine", "runs"], [[one["machine"], counted(one["status"])] for one in answer["machines"]]
    else:
        answer, now = target.call("runs", {"machine": name, "limit": SHOWN, **chosen}), time.time()
        headings = ["id", "status", "state", "started", "changed"]
        rows = [
            [one["id"], one["status"], one["state"], when(one["started"], now), when(one["changed"], now)]
            for one in answer["runs"]
        ]
    if page.as_json:
        page.document(answer)
    elif rows:
        page.table(headings, rows)
        if name and len(rows) == (limit or SHOWN):
            page.aside("there may be more: see --limit")
    else:
        page.line("no runs" if name else "no machines")


@machine.command("show")
@click.argument("name", metavar="MACHINE")
@click.argument("id")
@aimed
def show(target: Target, page: Page, name: str, id: str) -> None:
    """Show the run ID of MACHINE: where it is, its data, its history."""
    answer = target.call("run", {"machine": name, "id": id})
    if page.as_json:
        page.document(answer)
    else:
        told(answer["run"], page)


def told(run: dict[str, Any], page: Page) -> None:
    """Print a run."""
    now = time.time()
    page.line(run["machine"], run["id"], state(run["status"]), "in", run["state"])
    for title, at in (("started", run["started"]), ("finished", run.get("finished"))):
        if text := when(at, now):
            page.line(f"{title}: {text}")
    if run.get("version") is not None:
        page.line(f"version: {run['version']}")
    if run.get("error"):
        page.line(f"error: {clean(run['error'])}", colour="red")
    if letters := run.get("letters"):
        page.line("in quarantine:", ", ".join(map(str, letters)), "- see upright dlq show", letters[0])
    if run.get("data") is not None:
        page.line("data:")
        page.lines(json.dumps(run["data"], indent=2, ensure_ascii=False, default=str), indent="  ")
    page.line()
    rows = [
        [when(one["at"], now), one["name"], one.get("step") or one.get("state", ""), one.get("attempt") or "",
         one.get("error", "")]
        for one in run.get("history", [])
    ]  # fmt: skip
    page.table(["at", "what", "where", "attempt", "error"], rows)
