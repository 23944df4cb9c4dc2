"""A process that has a database's write-ahead log put on disk, so that the event loop never waits for the disk.

It is a process because a thread would starve: after each of its calls a thread waits until a busy loop lets go of the
interpreter's lock. The loop commits with `synchronous=NORMAL`, which does not sync, and has one `sync` made for all
that it committed meanwhile. The same process writes the log back into the database (`checkpoint`).

Two threads serve there, each over a socket of its own, so that a checkpoint does not hold up a sync. A second process
for checkpoints was measured, and made the syncs beside them no faster: both threads spend their time in the kernel.
"""

import asyncio
import contextlib
import errno
import functools
import os
import socket
import threading
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeVar

from . import sync_program
from .errors import StoreCorrupt, StoreUnavailable
from .sync_host import Host, ProcessHost, ThreadHost, live

T = TypeVar("T")
Mode = Literal["PASSIVE", "RESTART", "TRUNCATE"]
PULSE: Final = "UPDATE pulse SET beats = beats + 1"
DELETED: Final = "it or its log was deleted, or moved away"


class SyncFailed(OSError):
    """What was written may be on disk or not; `errno` says why that cannot be told.

    It is never tried again: the system may have dropped the data that it could not write, and the next sync would
    succeed without them. Close the store, open it anew, and look what is there.
    """

    def __init__(self, number: int, why: str, path: str) -> None:
        super().__init__(number, why, path)


class Checkpointed(NamedTuple):
    """What a checkpoint did."""

    busy: bool
    """Others were in the way, so that it could not do all that its mode says."""
    log: int
    """Pages in the log; 0 after it was truncated."""
    moved: int
    """How many of these are in the database now."""
    pulsed: bool
    """The pulse was written. Unless a commit came before it, the log begins anew there; else that commit synced."""


class Syncer:
    """Syncs the log of the database at `path`, in a process of its own. One event loop uses it.

    It logs nothing; `kind` tells whether it is a process or a thread. Close it before the last connection of this
    process to the database, which then tidies the log away.

    Args:
        path: the database.
        pulse: the statement that is the first write into a log begun anew, "" for none.
        program: what the interpreter is given to run, for tests of a disk that is slow or broken.

    >>> import sqlite3, tempfile
    >>> async def keep(path: str) -> None:
    ...     connection = sqlite3.connect(path, isolation_level=None)
    ...     connection.execute("PRAGMA journal_mode = WAL")
    ...     connection.execute("PRAGMA synchronous = NORMAL")
    ...     syncer = Syncer(path, pulse="")
    ...     await syncer.start()
    ...     connection.execute("CREATE TABLE letter(body)")
    ...     await syncer.sync()
    ...     print("the table is on disk, thanks to a", syncer.kind)
    ...     await syncer.close()
    ...     connection.close()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(keep(f"{folder}/letters.db"))
    the table is on disk, thanks to a process
    """

    kind: ClassVar[Literal["process", "thread"]] = "process"

    def __init__(self, path: str, pulse: str = PULSE, program: Sequence[str] = (sync_program.__file__,)) -> None:
        self.path = os.path.abspath(path)
        self._host = self._host_for(program, pulse)
        self._sockets: tuple[socket.socket, ...] = ()
        self._ended: asyncio.Future[str] | None = None
        self._failure: tuple[int, str] | None = (errno.EBADF, "the syncer is not open")
        self._asked: list[asyncio.Future[None]] = []
        self._next: list[asyncio.Future[None]] = []
        self._checkpoint: asyncio.Future[Checkpointed] | None = None
        self._line = b""
        os.register_at_fork(after_in_child=functools.partial(_forget, weakref.ref(self)))

    def _host_for(self, program: Sequence[str], pulse: str) -> Host:
        return ProcessHost([*program, self.path, pulse])

    async def start(self) -> None:
        """Start the process and wait until it answers; once. Raises `OSError` where none can be started."""
        if self._ended is not None:
            raise RuntimeError("expected a syncer that was not started before: make another one")
        self._loop = loop = asyncio.get_running_loop()
        (syncs, checkpoints), theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
        self._sockets, self._ended, started = (syncs, checkpoints), loop.create_future(), loop.create_future()
        args = (self._host, theirs, syncs.dup(), started, self._ended)
        try:
            threading.Thread(target=live, args=args, name="upright syncer", daemon=True).start()
            await self._held(started)
        except BaseException:
            self._hang_up()
            raise
        for ours, hear in (syncs, self._hear_sync), (checkpoints, self._hear_checkpoint):
            ours.setblocking(False)
            loop.add_reader(ours, hear)
        self._failure = None

    def sync(self) -> asyncio.Future[None]:
        """Have the log synced. Done after a sync that began after this call; of several calls at once, one for all.

        It fails with `SyncFailed`, and so does every one after it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            future.set_exception(SyncFailed(*self._failure, self.path))
            return future
        if self._asked:
            self._next.append(future)
        else:
            self._asked.append(future)
            self._send(0, b"s")
        return self._held(future)

    def checkpoint(self, mode: Mode = "PASSIVE", patience: float = 0.1) -> asyncio.Future[Checkpointed]:
        """Have the log written back into the database, and begun anew where nobody reads it.

        `PASSIVE` hinders nobody, but under steady writing it never catches up, and the log grows without end: follow it
        with `TRUNCATE`, which has little left to do then. That and `RESTART`, which leaves the file its size, keep
        writers out while they work, and for up to `patience` seconds while they wait for readers.

        It fails with `StoreUnavailable`, `StoreCorrupt`. Raises `RuntimeError` if one is under way.
        """
        if self._checkpoint is not None:
            raise RuntimeError("expected no checkpoint to be under way")
        future: asyncio.Future[Checkpointed] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            future.set_exception(StoreUnavailable(f"{self.path}: no checkpoint: {self._failure[1]}"))
            return future
        self._checkpoint = future
        self._send(1, f"{mode} {round(patience * 1000)}".encode())
        return self._held(future)

    async def close(self) -> None:
        """Wait for what is under way, end the process and wait for its end; kill it if cancelled. Again: no effect."""
        if self._ended is None:
            return
        self._failure = self._failure or (errno.EBADF, "the syncer is closed")
        try:
            under_way: list[asyncio.Future[Any]] = [*self._asked, *self._next]
            if self._checkpoint is not None:
                under_way.append(self._checkpoint)
            if under_way:
                await asyncio.wait(under_way)
            self._hang_up()
            await asyncio.shield(self._held(self._ended))
        except BaseException:
            self._lose(errno.ECANCELED, "the syncer was closed without waiting for it; outcome unknown")
            self._hang_up()
            self._host.kill()
            raise

    def _send(self, channel: int, request: bytes) -> None:
        try:
            self._sockets[channel].send(request)
        except ConnectionError:
            pass  # the reader hears of it too, and then everything fails

    def _hear_sync(self) -> None:
        answer = self._receive(0)
        if not answer:
            return
        if number := answer[0]:
            gone = number in (errno.ENOENT, errno.ESTALE)
            self._fail(number, f"{DELETED if gone else os.strerror(number)}; outcome unknown")
            return
        answered, self._asked, self._next = self._asked, self._next, []
        if self._asked:
            self._send(0, b"s")
        for future in answered:
            if not future.done():
                future.set_result(None)

    def _hear_checkpoint(self) -> None:
        self._line += self._receive(1)
        if not self._line.endswith(b"\n"):
            return
        line, self._line = self._line.decode(), b""
        future, self._checkpoint = self._checkpoint, None
        if future is None or future.done():
            return
        if line.startswith("!"):
            name = line.split()[1]
            told = StoreCorrupt if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) else StoreUnavailable
            future.set_exception(told(f"{self.path}: no checkpoint: {line[2:].strip()}"))
        else:
            busy, log, moved, pulsed = map(int, line.split())
            future.set_result(Checkpointed(bool(busy), log, moved, bool(pulsed)))

    def _receive(self, channel: int) -> bytes:
        try:
            received = self._sockets[channel].recv(4096)
        except BlockingIOError:
            return b""
        except ConnectionError:
            received = b""
        if not received and self._ended is not None:
            self._loop.remove_reader(self._sockets[channel])
            for ours in self._sockets:  # where one of two threads has ended, so will the other
                _shut(ours)
            self._ended.add_done_callback(self._over)
        return received

    def _over(self, ended: asyncio.Future[str]) -> None:
        if self._sockets:
            self._lose(errno.EPIPE, f"the {self.kind} that syncs has ended ({ended.result()}); outcome unknown")

    def _lose(self, number: int, why: str) -> None:
        self._fail(number, why)
        future, self._checkpoint = self._checkpoint, None
        if future is not None and not future.done():
            future.set_exception(StoreUnavailable(f"{self.path}: no checkpoint: {why}"))

    def _fail(self, number: int, why: str) -> None:
        self._failure = number, why
        failed, self._asked, self._next = self._asked + self._next, [], []
        for future in failed:
            if not future.done():
                future.set_exception(SyncFailed(number, why, self.path))

    def _hang_up(self) -> None:
        sockets, self._sockets = self._sockets, ()
        for ours in sockets:
            self._loop.remove_reader(ours)
            _shut(ours)
            ours.close()

    def _held(self, future: asyncio.Future[T]) -> asyncio.Future[T]:
        """A clock that can be held, of a test, stands still until this is answered: it comes from outside the loop."""
        hold = getattr(self._loop, "hold", None)
        if hold is not None:
            held = contextlib.ExitStack()
            held.enter_context(hold("upright syncer"))
            future.add_done_callback(lambda _: held.close())
        return future


class ThreadSyncer(Syncer):
    """The same in threads of this process, for where no other may be started. Beside a busy loop it is much slower."""

    kind = "thread"

    def _host_for(self, program: Sequence[str], pulse: str) -> Host:
        return ThreadHost(self.path, pulse)


async def start_syncer(path: str, pulse: str = PULSE) -> Syncer:
    """A started `Syncer`, or a started `ThreadSyncer` where no process can be started; its `kind` tells.

    Raises `OSError` if neither starts.
    """
    syncer = Syncer(path, pulse)
    try:
        await syncer.start()
    except OSError:
        syncer = ThreadSyncer(path, pulse)
        await syncer.start()
    return syncer


def _shut(ours: socket.socket) -> None:
    """Not just a close: a copy in a forked process would keep the connection open."""
    with contextlib.suppress(OSError):  # shut before, or by the other side
        ours.shutdown(socket.SHUT_RDWR)


def _forget(reference: "weakref.ref[Syncer]") -> None:
    """In a forked process: a copy of our ends there would keep the other ends open after the death of the parent."""
    if (syncer := reference()) is not None:
        for ours in syncer._sockets:
            ours.close()
