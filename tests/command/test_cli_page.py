"""The laws of the page about the command line: what it shows can be typed, and it leaves nothing out."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from tests.command.conftest import ROOT
from upright.command.app import app

PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in SHELL for line in block.splitlines() if line.startswith("upright ")]
ELSEWHERE = {"run", "demo"}
"""Commands that have pages of their own."""


def commands(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


@pytest.mark.parametrize("line", LINES)
def test_each_line_can_be_typed(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    command: click.Command = app
    while isinstance(command, click.Group):
        with command.make_context(words[0], [*words]) as context:
            _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    with command.make_context(line, words):
        pass


def test_each_command_has_an_example() -> None:
    shown = " ".join(LINES)
    assert [name for name, _ in commands(app) if f"upright {name}" not in shown and name not in ELSEWHERE] == []


def test_each_option_is_on_the_page() -> None:
    missing = [
        f"{name} {option}"
        for name, command in commands(app)
        if name not in ELSEWHERE
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option not in PAGE
    ]
    assert missing == []
