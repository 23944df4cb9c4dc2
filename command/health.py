"""`upright health`, in the list of commands. What it does is in a room that is imported alone, see `probe`."""

import click

from .probe import health as probe


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("given", nargs=-1, type=click.UNPROCESSED)
def health(given: tuple[str, ...]) -> None:
    """Ask a service how it is, for exec probes."""
    raise click.exceptions.Exit(probe(given))
