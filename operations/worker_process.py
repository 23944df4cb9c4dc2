"""The actor that owns one worker process: it starts it, hears how it does, and ends it.

It crashes when its process ends unasked, so that the supervisor above starts both again, held back more and more when
they crash at once. A process that hangs, though it is there, is killed: it is asked for signs of life as systemd does.
"""

import asyncio
import contextlib
import signal
import socket
import time
from asyncio.subprocess import PIPE, Process
from typing import Any

from upright.actors.actor import Actor
from upright.actors.exits import Exit

from .crew import Crew, Worker
from .events import WorkerEnded, WorkerHung, WorkerReady, WorkerStarted
from .worker_health import read_line

AFTER = 2.0
"""Seconds that one has, beyond the time of its drain, before it is killed."""
STARTING = 20
"""Times as long may one be silent that has not started yet: it may import much, or bring an old store up to date."""
DUMPING = 2.0
"""Seconds that one that hangs has to write down where it stands, before it is killed."""


class WorkerDied(Exception):
    """A worker process ended unasked."""


class WorkerProcess(Actor):
    """Worker `number` of a crew."""

    def __init__(self, crew: Crew, number: int) -> None:
        self._crew = crew
        self._worker: Worker = crew.workers[number - 1]
        self._process: Process | None = None

    async def started(self) -> None:
        """Start the process. Its standard input is a pipe that ends when this process does, however it does."""
        crew, worker = self._crew, self._worker
        environment = crew.environment | {
            "NOTIFY_SOCKET": str(crew.notes_of(worker.number)),
            "WATCHDOG_USEC": str(int(crew.silent * 1e6)),
            "UPRIGHT_WORKER": str(worker.number),
        }
        environment.pop("WATCHDOG_PID", None)
        await self._clear()
        notes = self._bind()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *crew.argv(worker.number), stdin=PIPE, env=environment, start_new_session=True
            )
        except BaseException:  # nobody calls `stopping` for one that did not start
            notes.close()
            self._over()
            raise
        crew.processes[worker.number] = process
        now = time.monotonic()
        worker.pid, worker.ready, worker.draining, worker.asked = process.pid, False, False, False
        worker.since, worker.beat, worker.heard, worker.said = now, now, now, None
        self.ctx.bus.emit(WorkerStarted(self.ctx.path, worker.number, process.pid))
        # What a quick one has told by now waits in the socket: only now is it known who it is.
        await self._listen(notes)
        if crew.ending:
            crew.ask(worker)
        self.ctx.background(self._attend(process))

    async def stopping(self, reason: Exit) -> None:
        """End the process: ask it, unless it was asked before, which would hurry it; wait, and kill it if it takes too
        long. It has its patience, and a while for what swallows its end and for the end of the program. Where all are
        ending, and there is no time left, the crew does the rest.
        """
        process = self._process
        try:
            if process is not None and process.returncode is None:
                if not self._worker.asked:
                    self._crew.ask(self._worker)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._crew.patience + AFTER)
        finally:
            if process is None or process.returncode is not None or not self._crew.ending:
                await self._clear()
                self._over()

    async def _clear(self) -> None:
        """Kill what is left of an incarnation before: there is one process of a number, though its actor was killed."""
        self._crew.listen_no_more(self._worker.number)
        left = self._crew.processes.pop(self._worker.number, None)
        if left is not None and left.returncode is None:
            left.kill()
            await left.wait()

    async def _attend(self, process: Process) -> None:
        worker, ended = self._worker, asyncio.ensure_future(process.wait())
        try:
            while True:
                await asyncio.wait({ended}, timeout=self._crew.silent / 4)
                if ended.done():
                    break
                silent = time.monotonic() - worker.beat
                limit = self._crew.silent * (1 if worker.ready else STARTING)
                if not worker.draining and silent > limit:
                    self.ctx.bus.emit(WorkerHung(self.ctx.path, worker.number, process.pid, silent))
                    process.send_signal(signal.SIGABRT)
                    await asyncio.wait({ended}, timeout=DUMPING)
                    if not ended.done():
                        process.kill()
        finally:
            ended.cancel()
        status, lived = ended.result(), time.monotonic() - worker.since
        worker.status = status
        was_ready, drained = worker.ready, worker.draining and not worker.asked
        self._over()
        if self._crew.ending or worker.asked or (status == 0 and not drained):
            self.ctx.stop()
            return
        if not drained:
            self._crew.ended(worker, status, was_ready)
        self.ctx.bus.emit(WorkerEnded(self.ctx.path, worker.number, process.pid, how(status), lived))
        if self._crew.refused is not None:
            self.ctx.stop()
            return
        # Also one that somebody else has asked to end, with a signal say: it was not to end for good.
        raise WorkerDied(f"worker {worker.number} {how(status)} after {lived:.1f} s")

    def _bind(self) -> socket.socket:
        path = self._crew.notes_of(self._worker.number)
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.bind(str(path))
        except BaseException:
            listening.close()
            raise
        return listening

    async def _listen(self, listening: socket.socket) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Notes(self._heard), sock=listening
            )
        except BaseException:
            listening.close()
            raise
        self._crew.listening[self._worker.number] = transport

    def _heard(self, line: str) -> None:
        worker = self._worker
        worker.heard = time.monotonic()
        said = read_line(line)
        if said is not None:
            worker.said = said
            return
        worker.beat = worker.heard
        # Only one that is up gives signs of life, so that a lost `READY=1` is made up for by the next of them.
        if line in ("READY=1", "WATCHDOG=1") and not worker.ready and not worker.draining:
            worker.ready = self._crew.was_up = True
            self.ctx.bus.emit(WorkerReady(self.ctx.path, worker.number, worker.pid))
        elif line == "STOPPING=1":
            worker.ready, worker.draining = False, True

    def _over(self) -> None:
        self._worker.pid, self._worker.ready = 0, False
        self._crew.processes.pop(self._worker.number, None)
        self._crew.listen_no_more(self._worker.number)


class _Notes(asyncio.DatagramProtocol):
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for line in data.decode("utf-8", "replace").split("\n"):
            self._heard(line)


def how(status: int) -> str:
    """How a process ended, in words.

    >>> how(3), how(-9)
    ('ended with status 3', 'was killed by SIGKILL')
    """
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
