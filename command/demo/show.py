"""`Show`: a run for somebody who looks at it, or for a program that wants the audit alone."""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from rich.console import Console

from upright.actors.errors import ActorError
from upright.persistence.errors import StoreError

from .audit import Audit, Counted, audit
from .books import read_books
from .plain import Plain
from .report import reported
from .run import Run
from .scene import Scene
from .setting import Setting
from .view import View
from .watch import Stalled

RIGHT, WRONG, INTERRUPTED = 0, 1, 130


class Show:
    """Runs the demo for somebody who looks, or for a program. `as_json`: print the audit alone, as JSON."""

    def __init__(self, setting: Setting, folder: Path, as_json: bool) -> None:
        self.scene = Scene()
        self.setting, self.folder, self.as_json = setting, folder, as_json
        self.run = Run(setting, folder, self.scene)
        self.console = Console(highlight=False, soft_wrap=False)
        self.error = ""
        self.nobody_reads = False

    async def play(self) -> bool:
        """The run itself. Whether it came to its end."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        self._over = over
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, over.set)
        showing = asyncio.create_task(self._show()) if not self.as_json else None
        try:
            return await self.run.play(over)
        except* (OSError, StoreError, ActorError, Stalled, sqlite3.Error) as errors:
            self.error = "; ".join(sorted({str(one) or type(one).__name__ for one in flat(errors)}))
        finally:
            if showing is not None:
                showing.cancel()
                (shown,) = await asyncio.gather(showing, return_exceptions=True)
                if isinstance(shown, Exception):
                    self.error = f"the view failed: {type(shown).__name__}: {shown}"
        return False

    @property
    def is_live(self) -> bool:
        """Whether there is a terminal that can be drawn on."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    async def _show(self) -> None:
        if self.is_live:
            await View(self.scene, self.setting, self.run.system, self.console).show()
        else:
            try:
                await Plain(self.scene, self._write).show()
            except BrokenPipeError:
                self.nobody_reads = True
                self._over.set()

    def _write(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def audit(self, came_to_end: bool) -> Audit:
        """Look at what is in the files."""
        scene = self.scene
        counted = Counted(scene.read, scene.refused.count, scene.duplicates.count, scene.posted)
        return audit(read_books(self.folder), counted, was_cut_off=not came_to_end)

    def tell(self, found: Audit, came_to_end: bool) -> None:
        """Print the audit."""
        scene = self.scene
        if self.as_json:
            told = found.plain() | {
                "interrupted": not came_to_end,
                "error": self.error,
                "kills": scene.kills,
                "seconds": round(scene.elapsed, 1),
                "refused_lines": [{"line": one.line, "why": one.why} for one in scene.refused.first],
                "duplicate_lines": [{"line": one.line, "why": one.why} for one in scene.duplicates.first],
            }
            self._write(msgspec.json.encode(told).decode())
            return
        if self.is_live:
            self.console.print(f"{scene.elapsed:.1f} s, {scene.kills} kills")
        else:
            Plain(scene, self._write).line()
        self.console.print(reported(found, scene.refused, scene.duplicates, not came_to_end))


def flat(error: BaseException) -> list[BaseException]:
    """The errors of a group, and of the groups in it; of another error, itself."""
    within: Any = getattr(error, "exceptions", None)
    return [one for part in within for one in flat(part)] if within is not None else [error]


class Ending(NamedTuple):
    """`status`: to exit with. `is_right`: whether nobody needs the files to see what went wrong."""

    status: int
    is_right: bool


def played(setting: Setting, folder: Path, as_json: bool) -> Ending:
    """Run it, look at what came of it, tell, and say how it was."""
    show = Show(setting, folder, as_json)
    came_to_end = asyncio.run(show.play())
    found = show.audit(came_to_end)
    is_right = found.is_right and not show.error
    try:
        if not show.nobody_reads and (show.as_json or show.scene.read or not show.error):
            show.tell(found, came_to_end)
    except BrokenPipeError:
        show.nobody_reads = True
    if show.nobody_reads:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return Ending(WRONG, is_right)
    if show.error:
        click.echo(f"upright demo: {show.error}", err=True)
    if not is_right:
        return Ending(WRONG, False)
    return Ending(RIGHT if came_to_end else INTERRUPTED, True)
