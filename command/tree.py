"""`upright tree`: the actors of a service, or the addresses of a store, as they stand now."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from rich.live import Live
from rich.text import Text

from .options import aimed
from .page import Page, state
from .target import Target
from .words import clean, many

EVERY = 1.0
"""Seconds between two looks of `--watch`."""


@click.command()
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@aimed
def tree(target: Target, page: Page, watch: bool) -> None:
    """Draw the tree: who is there, in which state, with how many messages."""
    if watch and page.as_json:
        raise click.UsageError("expected --watch or --json, got both: --json prints one document")
    if watch:
        watching(target, page)
    answer = target.call("tree")
    if page.as_json:
        page.document(answer)
    else:
        page.text(drawn(answer["tree"], twigs_of(page)))


def watching(target: Target, page: Page) -> None:
    """Show it again and again. Ends by Ctrl-C, or when nobody answers."""
    if not page.is_terminal:
        while True:
            page.text(drawn(target.call("tree")["tree"], twigs_of(page)))
            page.line()
            page.flush()
            time.sleep(EVERY)
    with Live(console=page.console, auto_refresh=False) as live:
        while True:
            live.update(drawn(target.call("tree")["tree"], twigs_of(page)), refresh=True)
            time.sleep(EVERY)


class Twigs(NamedTuple):
    """What a tree is drawn with: before a child, before the last one, and below each of these."""

    child: str = "├── "
    last: str = "└── "
    below: str = "│   "
    below_last: str = "    "


ASCII = Twigs("|-- ", "`-- ", "|   ", "    ")


def twigs_of(page: Page) -> Twigs:
    """Those that the encoding of the page knows."""
    return Twigs() if page.knows("".join(Twigs())) else ASCII


def drawn(node: dict[str, Any], twigs: Twigs) -> Text:
    """The tree, an actor a line."""
    return Text("\n").join(_lines(node, twigs, "", ""))


def _lines(node: dict[str, Any], twigs: Twigs, here: str, below: str) -> Iterator[Text]:
    path: str = node["path"]
    name = path.rpartition("/")[2] or "/"
    yield Text(" ").join([Text(here + clean(name)), *_said(node)])
    children: list[dict[str, Any]] = node["children"]
    for place, child in enumerate(children, 1):
        at, under = (twigs.last, twigs.below_last) if place == len(children) else (twigs.child, twigs.below)
        yield from _lines(child, twigs, below + at, below + under)


def _said(node: dict[str, Any]) -> Iterator[Text]:
    if node.get("kind"):
        yield Text(clean(node["kind"]))
    yield state(node["state"])
    limit, depth = node.get("limit", 0), node.get("depth", 0)
    yield Text(f"{depth}/{limit}" if limit else str(depth))
    if node.get("quarantined"):
        yield Text(f"{node['quarantined']} quarantined", "red")
    if node.get("more"):
        yield Text(f"and {many(node['more'], 'address', 'addresses')} more", "dim")
    if node.get("restarts"):
        yield Text(many(node["restarts"], "restart"), "yellow")
