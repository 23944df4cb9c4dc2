"""What the parent of several worker processes knows of them: plain facts that its actors write and its probes read."""

import asyncio
import contextlib
import os
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from .health import Check

HURRYING = 2.0
"""Seconds that workers have to leave when they are hurried, before they are killed."""
LONGEST = 60
"""Characters of the path of a folder for sockets, which have room for about a hundred."""
SILENT = 30.0
"""Seconds without a sign of life after which a worker is killed, by default: it hangs."""


class Worker(msgspec.Struct):
    """One of them. `pid`: 0 while it does not run. `ready`: its tree is up. `draining`: it ends, as it was asked to.
    `asked`: its parent has asked it to. `beat`: when it gave a sign of life last, by `time.monotonic`. `status`: with
    which it ended last.
    """

    number: int
    pid: int = 0
    ready: bool = False
    draining: bool = False
    asked: bool = False
    since: float = 0.0
    beat: float = 0.0
    status: int | None = None


class Crew:
    """`size` workers that run `command`, each with `{number}` and `{admin}` in it filled in.

    `patience`: seconds that one has for its end. `silent`: see `SILENT`. `folder`: where their sockets are, for the
    user alone.
    """

    def __init__(
        self, command: Sequence[str], size: int, *, patience: float = 25.0, silent: float = SILENT,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.command, self.patience, self.silent = tuple(command), patience, silent
        self.environment = dict(os.environ if environment is None else environment)
        self.workers = [Worker(number) for number in range(1, size + 1)]
        self.ending = False
        """Whether they were asked to end."""
        self._hurried = False
        self.refused: int | None = None
        """The status of one that cannot run at all: it was called wrongly, and a restart would not mend that."""
        self.processes: dict[int, Process] = {}
        """What runs, by the numbers of the workers."""
        self.listening: dict[int, asyncio.DatagramTransport] = {}
        """Where is heard how they do, by their numbers."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Where their sockets are."""
        if self._folder is None:
            place = None if len(tempfile.gettempdir()) <= LONGEST else "/tmp"
            self._folder = tempfile.TemporaryDirectory(prefix="upright-", dir=place)
        return Path(self._folder.name)

    async def leave(self) -> None:
        """Nobody looks after them any more: hurry those that are left, and kill those that are left then."""
        left = dict(self.processes)
        for number in tuple(self.listening):
            self.listen_no_more(number)
        if not left:
            return
        self.hurry_all()
        waits = [asyncio.ensure_future(process.wait()) for process in left.values()]
        await asyncio.wait(waits, timeout=HURRYING)
        for process in left.values():
            if process.returncode is None:
                process.kill()
        await asyncio.wait(waits)
        self.processes.clear()

    def listen_no_more(self, number: int) -> None:
        """Hear nothing more of a worker."""
        listening = self.listening.pop(number, None)
        if listening is not None:
            listening.close()

    def close(self) -> None:
        """Leave nothing behind."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def admin_of(self, number: int) -> Path:
        """The admin socket of a worker."""
        return self.folder / f"{number}.sock"

    def notes_of(self, number: int) -> Path:
        """The socket to which a worker tells how it does."""
        return self.folder / f"{number}.notify"

    def argv(self, number: int) -> list[str]:
        """The command of a worker."""
        values = {"{number}": str(number), "{admin}": str(self.admin_of(number))}
        filled: list[str] = []
        for word in self.command:
            for mark, value in values.items():
                word = word.replace(mark, value)
            filled.append(word)
        return filled

    def ask_all(self) -> None:
        """Ask all of them to end, at once: they do so beside each other."""
        self.ending = True
        for worker in self.workers:
            if not worker.asked:
                self.ask(worker)

    def hurry_all(self) -> None:
        """Ask them again, once: what still runs in them is cancelled. A third signal would end them in its midst."""
        if self._hurried:
            return
        self.ending = self._hurried = True
        for worker in self.workers:
            self.ask(worker)

    def ask(self, worker: Worker) -> None:
        """Ask it to end. To ask it once more is to hurry it."""
        if worker.pid:
            worker.asked = True
            with contextlib.suppress(ProcessLookupError):  # it has ended just now; whoever waits for it will hear of it
                os.kill(worker.pid, signal.SIGTERM)

    def checks(self) -> Iterable[Check]:
        """How they do: the service is ready while one of them is."""
        down = [str(worker.number) for worker in self.workers if not worker.ready]
        if not down:
            return (Check("workers"),)
        none = len(down) == len(self.workers)
        return (Check("workers", "failed" if none else "degraded", f"not ready: {', '.join(down)}"),)
