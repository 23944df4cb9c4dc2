"""A group of commands that knows what was meant by a name that is none of them."""

import difflib

import click

from .words import clean


class Commands(click.Group):
    """A group that knows what was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of that name. Raises `click.UsageError`, with the nearest name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), 1, 0.5)
            hint = f": did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {clean(name)}{hint}", ctx)
        return super().resolve_command(ctx, args)
