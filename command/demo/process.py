"""`Process`: an actor that owns a process of the operating system. When the process ends unasked the actor crashes, and
its supervisor starts another one.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from upright.actors.actor import Actor
from upright.actors.exits import Exit

LONGEST = 1 << 20
Heard = Callable[[str, dict[str, Any]], None]


class ProcessEnded(Exception):
    """It has ended, and nobody had asked it to."""


class Process(Actor):
    """`argv`: the program and its arguments. `heard`: called with `name` and each line of JSON that it writes to its
    standard output. `errors`: the file that gets its standard error. Its standard input stays open until it is to end.
    """

    def __init__(self, name: str, argv: tuple[str, ...], heard: Heard, errors: Path, patience: float = 8.0) -> None:
        self.name, self._argv, self._heard, self._errors, self._patience = name, argv, heard, errors, patience
        self._process: asyncio.subprocess.Process | None = None

    async def started(self) -> None:
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the parent, which ends them in their order
                limit=LONGEST,
            )
        self._heard(self.name, {"started": self._process.pid})
        _ = self.ctx.background(self._listen(self._process))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "it is piped"
        while line := await process.stdout.readline():
            with contextlib.suppress(msgspec.DecodeError):  # cut off by its death
                self._heard(self.name, msgspec.json.decode(line, type=dict[str, Any]))
        code = await process.wait()
        self._heard(self.name, {"ended": code})
        raise ProcessEnded(f"{self.name} ended with status {code}")

    async def kill(self) -> int:
        """End it with SIGKILL, as a power cut would; its process id, 0 if there was none."""
        process = self._process
        if process is None or process.returncode is not None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return process.pid

    async def stopping(self, reason: Exit) -> None:
        """SIGTERM, and SIGKILL if that is not heard."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(drained(process), self._patience)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                await drained(process)
        if process.stdin is not None:
            process.stdin.close()


async def drained(process: asyncio.subprocess.Process) -> None:
    """Wait for its end, and let nothing of what it still writes hold it up."""
    assert process.stdout is not None, "it is piped"
    while await process.stdout.read(1 << 16):
        pass
    await process.wait()
