"""What a command prints: one JSON document, or lines and tables for people.

A table is drawn by rich on a terminal, where it may fold a cell and colour a word; elsewhere it is plain columns, one
row a line and nothing cut off, for `grep` and `awk`.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .words import clean, clean_lines

COLOURS: Final[Mapping[str, str]] = {
    "running": "green", "ok": "green", "closed": "green", "completed": "green", "done": "green",
    "starting": "yellow", "restarting": "yellow", "paused": "yellow", "waiting": "yellow", "retrying": "yellow",
    "warn": "yellow", "half_open": "yellow", "degraded": "yellow", "compensating": "yellow", "draining": "yellow",
    "parked": "yellow", "stopping": "yellow", "rejected": "yellow", "cancelled": "yellow",
    "failed": "red", "fail": "red", "open": "red", "stopped": "red", "dead": "red", "quarantined": "red",
    "stored": "dim",
}  # fmt: skip
"""How a state looks."""


class Page:
    """Where a command prints to. `as_json`: one document and nothing else."""

    def __init__(self, as_json: bool = False, out: TextIO | None = None) -> None:
        self.as_json = as_json
        self.out = sys.stdout if out is None else out
        self.is_terminal = self.out.isatty() and not as_json
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self.console = Console(
            file=self.out, force_terminal=self.is_terminal, no_color=plain, highlight=False, markup=False, emoji=False,
            color_system="auto" if self.is_terminal and not plain else None,
        )  # fmt: skip

    def document(self, value: Any) -> None:
        """Print that as JSON."""
        self.write(json.dumps(value, indent=2 if self.out.isatty() else None, default=str) + "\n")

    def line(self, *words: object, colour: str = "") -> None:
        """Print a line: texts are made harmless, `Text` is taken as it is."""
        text = Text(" ").join([word if isinstance(word, Text) else Text(clean(word)) for word in words])
        text.stylize(colour)
        self.text(text)

    def lines(self, text: str, indent: str = "") -> None:
        """Print a text of several lines."""
        for line in clean_lines(text):
            self.text(Text(indent + line))

    def text(self, text: Text) -> None:
        """Print that; what is too long is folded by the terminal, so that it can be copied in one piece."""
        if self.is_terminal:
            self.console.print(text, soft_wrap=True)
        else:
            self.write(text.plain + "\n")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print rows of cells; a cell that says a state has its colour. Numbers stand at the right."""
        right = {
            column for column in range(len(headings)) if rows and all(isinstance(row[column], int) for row in rows)
        }
        if self.is_terminal:
            self._draw(headings, rows, right)
        else:
            self._columns(headings, rows, right)

    def _draw(self, headings: Sequence[str], rows: Sequence[Sequence[object]], right: set[int]) -> None:
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for column, heading in enumerate(headings):
            drawn.add_column(heading, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*map(state, row))
        self.console.print(drawn)

    def _columns(self, headings: Sequence[str], rows: Sequence[Sequence[object]], right: set[int]) -> None:
        cells = [[*headings], *([clean(cell) for cell in row] for row in rows)]
        widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            padded = [
                " " * (width - cell_len(cell)) + cell if column in right else cell + " " * (width - cell_len(cell))
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.write("  ".join(padded).rstrip() + "\n")

    def write(self, text: str) -> None:
        """Write that as it is. Raises `BrokenPipeError` where nobody reads any more."""
        encoding = self.out.encoding or "utf-8"
        self.out.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def knows(self, text: str) -> bool:
        """Whether the encoding has these characters."""
        try:
            text.encode(self.out.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def aside(self, text: str) -> None:
        """Say that on standard error, where it stands in no program's way."""
        self.flush()
        print(clean(text), file=sys.stderr)  # noqa: T201

    def flush(self) -> None:
        """What was printed is on its way."""
        self.out.flush()


def state(cell: object) -> Text:
    """A cell, in the colour of the state that it says."""
    text = clean(cell)
    return Text(text, style=COLOURS.get(text, ""))
