"""`upright dlq`: what could not be handled: look at it, send it on again, drop it."""

import contextlib
import json
import sys
import time
from collections.abc import Generator
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .commands import Commands
from .options import aimed, chosen, without_nones
from .page import Page
from .target import Target, Told
from .words import many, when

SHOWN = 50
"""Letters that `ls` shows, where no limit is given."""


@click.group(cls=Commands)
def dlq() -> None:
    """The quarantine: list, show, redrive and discard what could not be handled."""


@dlq.command("ls")
@chosen
@click.option("--limit", type=click.IntRange(1), default=SHOWN, show_default=True, help="So many letters at most.")
@click.option("--groups", is_flag=True, help="By what went wrong, the largest group first.")
@aimed
def ls(
    target: Target, page: Page, address: str | None, reason: str | None, error: str | None, limit: int, groups: bool
) -> None:
    """List the letters in quarantine, the oldest first."""
    answer = target.call("letters", without_nones(address=address, reason=reason, error=error, limit=limit))
    now = time.time()
    if groups:
        answer = {"groups": answer["groups"]}
        headings = ["count", "address", "handler", "reason", "last", "error"]
        rows = [
            [one["count"], one["address"], one["handler"], one["reason"], when(one["last"], now), one["error"]]
            for one in answer["groups"]
        ]
    else:
        headings = ["id", "address", "handler", "reason", "attempts", "quarantined", "error"]
        rows = [
            [one["id"], one["address"], one["handler"], one["reason"], one["attempts"], when(one["quarantined"], now),
             one["error"]]
            for one in answer["letters"]
        ]  # fmt: skip
    if page.as_json:
        page.document(answer)
        return
    if rows:
        page.table(headings, rows)
    else:
        chosen = any(given is not None for given in (address, reason, error))
        page.line("nothing in quarantine is like that" if chosen else "nothing is in quarantine")
    if not groups and answer.get("more"):
        page.aside(f"and {many(answer['more'], 'letter')} more: see --limit, --groups")


@dlq.command("show")
@click.argument("id", type=int)
@aimed
def show(target: Target, page: Page, id: int) -> None:
    """Show the letter ID with its arguments, and how each attempt went wrong."""
    answer = target.call("letter", {"id": id})
    if page.as_json:
        page.document(answer)
    else:
        told(answer["letter"], page)
        page.line()
        for event in answer.get("story", []):
            by = f", in {event['owner']}" if event.get("owner") else ""
            note = f": {event['note']}" if event.get("note") else ""
            page.line(f"{when(event['at'], time.time())}  {event['name']}{by}{note}")


def told(letter: dict[str, Any], page: Page) -> None:
    """Print a letter."""
    now = time.time()
    page.line(f"letter {letter['id']} for {letter['address']}, handler {letter['handler']}", colour="bold")
    page.line(f"reason: {letter['reason']}")
    for name in ("stored", "quarantined"):
        page.line(f"{name}: {when(letter[name], now)}")
    for name in ("once", "key", "sender", "trace"):
        if letter.get(name):
            page.line(f"{name}: {letter[name]}")
    if "arguments" in letter:
        page.line("arguments:")
        page.lines(json.dumps(letter["arguments"], indent=2, ensure_ascii=False, default=str), indent="  ")
    else:
        page.line(f"body: {letter.get('body')}")
    before = ""
    for attempt in letter["attempts"]:
        page.line()
        owner = attempt.get("owner") or "unknown"
        page.line(f"attempt {attempt['attempt']}, {when(attempt['ended'], now)}, in {owner}")
        page.line(attempt["error"], colour="red")
        trace = attempt.get("traceback") or ""
        if trace and trace == before:
            page.line("  the same traceback as before")
        elif trace:
            page.lines(trace.rstrip(), indent="  ")
        before = trace


@dlq.command("redrive")
@click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("--all", "all_of_them", is_flag=True, help="All that is in quarantine.")
@chosen
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="So many a second at most.")
@aimed
def redrive(
    target: Target, page: Page, ids: tuple[int, ...], all_of_them: bool, address: str | None, reason: str | None,
    error: str | None, rate: float | None,
) -> None:  # fmt: skip
    """Put letters back at the tail of their mailboxes: those named, all, or those that are as the options say."""
    given = which(ids, all_of_them, without_nones(address=address, reason=reason, error=error))
    if rate is not None and not rate <= 1e9:
        raise click.UsageError(f"expected --rate to be a number, 1e9 at most, got {rate}")
    if rate is not None and ids:
        raise click.UsageError("expected --rate together with --all or a choice, not with IDs")
    total = len(ids) or count_of(target, given)
    ended(page, target, "redrive", given | without_nones(rate=rate), "redriven", total, len(ids))


@dlq.command("discard")
@click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("--all", "all_of_them", is_flag=True, help="All that is in quarantine.")
@chosen
@click.option("--yes", is_flag=True, help="Do not ask.")
@aimed
def discard(
    target: Target, page: Page, ids: tuple[int, ...], all_of_them: bool, address: str | None, reason: str | None,
    error: str | None, yes: bool,
) -> None:  # fmt: skip
    """Drop letters for good: those named, all, or those that are as the options say. Their stories stay."""
    given = which(ids, all_of_them, without_nones(address=address, reason=reason, error=error))
    if not yes and len(ids) != 1 and not on_a_terminal():
        raise click.UsageError("expected --yes, since there is no terminal to ask on: what is discarded is gone")
    total = len(ids) or count_of(target, given)
    if not yes and total > 1 and not click.confirm(f"Discard {many(total, 'letter')} for good?", err=True):
        page.aside("nothing was discarded")
        raise click.exceptions.Exit(1)
    ended(page, target, "discard", given, "discarded", total, len(ids))


def on_a_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def which(ids: tuple[int, ...], all_of_them: bool, filters: dict[str, Any]) -> dict[str, Any]:
    """What was chosen. Raises `click.UsageError` where that is nothing, or two things at once."""
    for name, given in filters.items():
        if not given:  # a variable of the shell that is not set, say: it would choose all
            raise click.UsageError(f"expected a value of --{name}, got {given!r}; for all of them it is --all")
    if (bool(ids), all_of_them, bool(filters)).count(True) != 1:
        raise click.UsageError("expected either IDs, or --all, or some of --address, --reason and --error")
    return {"ids": list(dict.fromkeys(ids))} if ids else filters


def count_of(target: Target, filters: dict[str, Any]) -> int:
    """How many letters that are."""
    groups: list[dict[str, Any]] = target.call("letters", filters | {"limit": 1})["groups"]
    return sum(one["count"] for one in groups)


def ended(page: Page, target: Target, do: str, given: dict[str, Any], word: str, total: int, named: int) -> None:
    """Have that done, show how far it is, and tell what came of it."""
    with following(page, word, total) as told_how_far:
        answer = target.call(do, given, told_how_far)
    if page.as_json:
        page.document(answer)
    else:
        page.line(f"{many(answer[word], 'letter')} {word}")
    missing = named - answer[word]
    if missing > 0:
        page.aside(f"upright: {many(missing, 'letter')} of those named not in quarantine")
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def following(page: Page, word: str, total: int) -> Generator[Told | None]:
    """A bar on standard error, where that is a terminal; None elsewhere."""
    if not (sys.stderr.isatty() and page.is_terminal and total > 1):
        yield None
        return
    columns = (TextColumn(word), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(word, total=total)
        yield lambda progress: shown.update(task, completed=progress.get("done", 0))
