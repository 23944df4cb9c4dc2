"""What the parent of several worker processes knows of them: plain facts that its actors write and its probes read."""

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from .crew_folder import CrewFolder
from .health import Check
from .statuses import FAILED, USAGE
from .worker_health import WorkerHealth

HURRYING = 2.0
"""Seconds that workers have to leave when they are hurried, before they are killed."""
SILENT = 30.0
"""Seconds without a sign of life after which a worker is killed, by default: it hangs."""
STILL = 5.0
"""Seconds without a sign of life after which a worker is told as not well: those that do well give two a second."""


class Worker(msgspec.Struct):
    """One of them. `pid`: 0 while it does not run. `ready`: its tree is up. `draining`: it ends, as it was asked to.
    `asked`: its parent has asked it to. `beat`: when it gave a sign of life last, by `time.monotonic`; `heard`: when it
    told anything. `said`: how it does, by itself. `status`: with which it ended last.
    """

    number: int
    pid: int = 0
    ready: bool = False
    draining: bool = False
    asked: bool = False
    since: float = 0.0
    beat: float = 0.0
    heard: float = 0.0
    said: WorkerHealth | None = None
    status: int | None = None

    def trouble(self, now: float) -> str:
        """Why it should be given no work; "" if it should be."""
        if self.draining or not self.pid:
            return "it ends" if self.draining else "it does not run"
        if not self.ready:
            return "it is not up yet"
        if now - self.heard > STILL:
            return f"it has told nothing for {now - self.heard:.0f} s"
        return "" if self.said is None or self.said.ready else self.said.why or "it is not ready"


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
        self.was_up = False
        """Whether one of them has ever been ready."""
        self.failed: set[int] = set()
        """The numbers of those that ended with an error before they were ready, by themselves."""
        self.refused: int | None = None
        """The status to end with, where they cannot run at all: they were called wrongly, or none of them came up."""
        self.processes: dict[int, Process] = {}
        """What runs, by the numbers of the workers."""
        self.listening: dict[int, asyncio.DatagramTransport] = {}
        """Where is heard how they do, by their numbers."""
        self._folder = CrewFolder()

    @property
    def folder(self) -> Path:
        """Where their sockets are."""
        return self._folder.path

    async def quiet(self) -> None:
        """Wait until all of them have ended."""
        while left := [process for process in self.processes.values() if process.returncode is None]:
            await asyncio.gather(*(process.wait() for process in left))

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
        self._folder.close()

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

    def answering(self) -> list[Worker]:
        """Those that can be asked: first those that should be given work, the liveliest of them at the head, then those
        that are up, and then those that start or end.
        """
        now = time.monotonic()
        there = [worker for worker in self.workers if worker.pid and self.admin_of(worker.number).exists()]
        return sorted(there, key=lambda one: (not one.trouble(now), one.ready, one.beat), reverse=True)

    def ended(self, worker: Worker, status: int, was_ready: bool) -> None:
        """A worker has ended by itself. While none has ever been ready, one that was called wrongly is enough, and so
        are all that did not come up: a restart would mend nothing, or is up to whoever has started the parent.
        """
        if self.was_up or was_ready or status <= 0:
            return
        self.failed.add(worker.number)
        if status == USAGE:
            self.refused = USAGE
        elif len(self.failed) == len(self.workers):
            self.refused = FAILED

    def checks(self) -> Iterable[Check]:
        """How they do: the service is ready while one of them is."""
        now = time.monotonic()
        troubles = [(worker, worker.trouble(now)) for worker in self.workers]
        well = sum(not trouble for _, trouble in troubles)
        if well == len(self.workers):
            yield Check("workers")
        else:
            yield Check("workers", "degraded" if well else "failed", f"{well} of {len(self.workers)} are ready")
        for worker, trouble in troubles:
            why = trouble or (worker.said.why if worker.said is not None else "")
            if why:
                yield Check(f"worker {worker.number}", "degraded", why)
