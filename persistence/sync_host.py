"""Where the program of a `Syncer` runs: a process, or threads of this one; and its life, in a thread.

It stands apart because nothing here runs on the loop, and so may block.
"""

import asyncio
import functools
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from . import sync_program

READY_WITHIN: Final = 10.0
"""Seconds after which an interpreter that does not answer is taken for something else, and killed."""


class Host(Protocol):
    """Who serves the other ends of the sockets, which become its own. Only `kill` is called on the loop."""

    def start(self, syncs: socket.socket, checkpoints: socket.socket) -> None: ...

    def wait(self) -> str: ...

    def kill(self) -> None: ...


class ProcessHost:
    """Runs the program in a bare interpreter. `arguments`: what that is given."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, syncs: socket.socket, checkpoints: socket.socket) -> None:
        with syncs, checkpoints:
            if not sys.executable or getattr(sys, "frozen", False):
                raise ChildProcessError(f"expected an interpreter in sys.executable, got {sys.executable!r}")
            # A session of its own: a Ctrl-C in the terminal goes to the parent alone.
            command = [sys.executable, "-I", "-S", *self._arguments]
            self._process = subprocess.Popen(
                command, stdin=syncs.fileno(), stdout=checkpoints.fileno(), start_new_session=True
            )

    def wait(self) -> str:
        return f"exit status {self._process.wait()}" if self._process is not None else "never started"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()


class ThreadHost:
    """Runs the same functions in threads."""

    def __init__(self, path: str, pulse: str) -> None:
        self._path, self._pulse = path, pulse
        self._threads: list[threading.Thread] = []

    def start(self, syncs: socket.socket, checkpoints: socket.socket) -> None:
        for target, args in (
            (sync_program.serve_syncs, (syncs, self._path)),
            (sync_program.serve_checkpoints, (checkpoints, self._path, self._pulse)),
        ):
            name = f"upright {target.__name__}"
            thread = threading.Thread(target=_run, args=(target, *args), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self) -> str:
        for thread in self._threads:
            thread.join()
        return "its threads ended"

    def kill(self) -> None:
        """A thread cannot be killed; it ends after what it is at."""


def _run(serve: Callable[..., None], channel: socket.socket, *args: str) -> None:
    with channel:
        sync_program.quietly(serve, channel.fileno(), *args)


def live(
    host: Host,
    theirs: tuple[socket.socket, socket.socket],
    ready: socket.socket,
    started: asyncio.Future[None],
    ended: asyncio.Future[str],
) -> None:
    """A host's life, in a thread. It knows no syncer, so that a forgotten one is collected, and its process ends."""
    try:
        with ready:
            host.start(*theirs)
            ready.settimeout(READY_WITHIN)
            if ready.recv(1) != sync_program.READY:
                raise ChildProcessError("expected the process that syncs to answer, but it ended")
    except Exception as error:
        host.kill()
        _tell(started, functools.partial(started.set_exception, error))
    else:
        _tell(started, functools.partial(started.set_result, None))
    _tell(ended, functools.partial(ended.set_result, host.wait()))


def _tell(future: asyncio.Future[Any], settle: Callable[[], object]) -> None:
    def on_loop() -> None:
        if not future.done():
            settle()

    try:
        future.get_loop().call_soon_threadsafe(on_loop)
    except RuntimeError:
        pass  # the loop was closed: nobody waits any more
