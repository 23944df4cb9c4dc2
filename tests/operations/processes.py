"""Services as users start them: `upright run` in a process of its own, its folder, its lines and its status."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.examples.embedded import PATIENCE, Lines

OURS = ("UPRIGHT_", "NOTIFY_", "WATCHDOG_")


class Ran(msgspec.Struct):
    """What is left of a process: its status and what it said on standard error."""

    status: int
    said: str


def environment(**more: str) -> dict[str, str]:
    """The environment of a process, without what the machine may have set for services."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "upright.command", "run", *words]


def ran(folder: Path, *words: str, **more: str) -> Ran:
    """`upright run` with these words, once it has ended by itself."""
    done = subprocess.run(
        command(*words), cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=environment(**more),
    )  # fmt: skip
    return Ran(done.returncode, done.stderr)


class Running:
    """A service that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process, self.log = process, Lines(process.stderr)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its status, when it has ended."""
        status = self.process.wait(PATIENCE)
        self.log.all()
        return status


@contextmanager
def running(folder: Path, *words: str, **more: str) -> Generator[Running]:
    """`upright run` with these words; it is gone afterwards."""
    process = subprocess.Popen(
        command(*words), cwd=folder, stderr=subprocess.PIPE, text=True, env=environment(**more), start_new_session=True
    )
    with process:
        service = Running(process)
        try:
            yield service
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            service.log.all()
