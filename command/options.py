"""The options that most commands share: whom to ask, and in which form to answer."""

import functools
from collections.abc import Callable
from typing import Any

import click

from .page import Page
from .target import Target, target_of

Command = Callable[..., None]
"""The body of a command: it gets the target, the page, and its own options by name."""

ADMIN = click.option("--admin", metavar="PATH", help="A service that runs: its admin socket.")
STORE = click.option("--store", metavar="STORE", help="No service: a store alone, a path such as jobs.db.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def aimed(command: Command) -> Command:
    """Give a command `--admin`, `--store` and `--json`: it is called with a `Target` and a `Page`."""

    @ADMIN
    @STORE
    @JSON
    @functools.wraps(command)
    def whole(admin: str | None, store: str | None, as_json: bool, **own: Any) -> None:
        if admin and store:
            raise click.UsageError("expected --admin or --store, got both: a service, or a store alone")
        target: Target = target_of(admin, store)
        command(target, Page(as_json), **own)

    return whole


def chosen(command: Command) -> Command:
    """Give a command the options that choose letters: `--address`, `--reason`, `--error`."""
    for option in (
        click.option("--error", metavar="TEXT", help="Whose last error contains this."),
        click.option("--reason", metavar="REASON", help="For this reason: attempts, deadline, crash_loop, …"),
        click.option("--address", metavar="ADDRESS", help="Of this address."),
    ):
        command = option(command)
    return command


def without_nones(**given: Any) -> dict[str, Any]:
    """What was given."""
    return {name: value for name, value in given.items() if value is not None}
