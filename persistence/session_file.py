"""The file of one session beside its database: the proof that a process lives, and the record of what it runs now.

It stands apart from the database because of how it must behave when the process is killed. The proof is a lock that
the system lets go of at that very instant. The record is memory that the system keeps: a begin and an end cost less
than a microsecond, no sync, and are there after SIGKILL. After a power cut they may be missing; that is accepted, for
then the database still knows what was claimed.
"""

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from .session_header import BEAT, BEAT_AT, HEADER, Header, new_header, parse_header

Path = str | os.PathLike[str]

SLOT: Final = struct.Struct("<B7xqId4x")  # in use, message, attempt, started; never across the border of a page
PAYLOAD: Final = struct.Struct("<qId")
PAYLOAD_AT: Final = 8
SLOTS: Final = 256
"""So many deliveries at once before the file grows; it then doubles."""


def session_path(database: Path, name: str) -> str:
    """Where the file of a session is."""
    return f"{os.fspath(database)}-session-{name}"


class Running(NamedTuple):
    """What was begun and not ended: the message's id, the number of its attempt, and when, in seconds since 1970."""

    message: int
    attempt: int
    started: float


class _Locked:
    """A file that this process alone has locked, as long as it lives.

    A lock belongs to the open file, which `fork` shares with the child: without the hook below, a forked worker that
    outlives its parent would make a dead session look alive. What forks without Python's knowledge and does not exec
    still does. (A child that execs has no part in it: the descriptor is closed there.)
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = os.fspath(path)
        self._fd = fd
        os.register_at_fork(after_in_child=functools.partial(_let_go, weakref.ref(self)))

    def remove(self) -> None:
        """Delete the file and let go of it: this session is over and done with. Again: does nothing.

        Raises `OSError` if it cannot be deleted; it is let go of then too.
        """
        if self._fd >= 0:
            try:
                os.unlink(self.path)  # while it is locked: nobody may find it unlocked in between
            except FileNotFoundError:
                pass  # deleted by hand
            finally:
                self.close()  # where it cannot be deleted, it must not look alive

    def close(self) -> None:
        """Let go of the file and leave it there: whoever locks it next takes this session over. Again: does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def forked(self) -> None:
        """This is the child of a fork: the file belongs to the parent."""
        self.close()


def _let_go(reference: "weakref.ref[_Locked]") -> None:
    if (locked := reference()) is not None:
        locked.forked()


class SessionFile(_Locked):
    """The file of this process. One thread at a time may use it, and another one beside it may `beat`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = SessionFile.create(f"{folder}/jobs.db-session-1")
    ...     slot = file.begin(message=17, attempt=1, started=1_700_000_000.0)
    ...     print(read_running(file.path), is_dead(file.path))
    ...     file.end(slot)
    ...     file.remove()
    [Running(message=17, attempt=1, started=1700000000.0)] False
    """

    def __init__(self, path: Path, fd: int, lease: float = 0.0) -> None:
        super().__init__(path, fd)
        self._beating = threading.Lock()
        self._slots = 0
        self._free: list[int] = []
        self._map = mmap.mmap(-1, HEADER.size)  # of nothing, until there are slots
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(fd, new_header(lease), 0)
            self._grow(SLOTS)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, lease: float = 0.0) -> Self:
        """Make the file, locked, with nothing running and a first beat. `lease`: see `Header`.

        Raises `FileExistsError` if there is one, `OSError` where the disk is full or the file system has no locks.
        """
        # Made under another name: under its own, somebody could find and lock it before we do. That name also keeps
        # two that make the same file apart, so that a rename, which replaces, replaces nothing.
        new = f"{os.fspath(path)}.new"
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        file: Self | None = None
        try:
            file = cls(path, fd, lease)
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, "expected a new name for a session file, but there is", file.path)
            os.rename(new, path)
        except BaseException:
            if file is not None:
                file.close()
            with contextlib.suppress(FileNotFoundError):  # somebody took it for a dead one's, and swept it away
                os.unlink(new)
            raise
        return file

    def begin(self, message: int, attempt: int, started: float) -> int:
        """Note that an attempt begins; the slot is for `end`.

        `message` is a signed number of 64 bits, `attempt` an unsigned one of 32, `started` in seconds since 1970.
        Raises `OSError` if the file had to grow and could not, `struct.error` for a number that does not fit, and
        `ValueError` if the file is closed; nothing is noted then.
        """
        if not self._free:
            self._grow(self._slots * 2)
        slot = self._free[-1]
        at = HEADER.size + slot * SLOT.size
        # The order counts: at whatever instruction the process is killed, a slot in use is a whole one.
        PAYLOAD.pack_into(self._map, at + PAYLOAD_AT, message, attempt, started)
        self._map[at] = 1
        self._free.pop()
        return slot

    def end(self, slot: int) -> None:
        """Note that the attempt of this slot has ended. Raises `ValueError` if none has begun, or after `close`."""
        at = HEADER.size + slot * SLOT.size
        if not 0 <= slot < self._slots or not self._map[at]:
            raise ValueError(f"expected the slot of an attempt that has begun, got {slot}")
        self._map[at] = 0
        self._free.append(slot)

    def beat(self) -> bool:
        """Say that this process goes on; False if the file is closed. Raises `OSError`."""
        # Not through the map, which is another one after the file has grown. Under a lock: the number of a descriptor
        # that was closed may be another file's a moment later.
        with self._beating:
            if self._fd >= 0:
                os.pwrite(self._fd, BEAT.pack(time.monotonic()), BEAT_AT)
            return self._fd >= 0

    def close(self) -> None:
        """Let go of the file and leave it there: whoever locks it next takes this session over. Again: does nothing."""
        self._free.clear()
        # Before the descriptor: the map holds the open file too, and with it the lock.
        self._map.close()
        with self._beating:
            super().close()

    def forked(self) -> None:
        """This is the child of a fork: the file belongs to the parent."""
        self._beating = threading.Lock()  # the thread that may have held it is not here
        super().forked()

    def _grow(self, slots: int) -> None:
        if self._fd < 0:
            raise ValueError(f"{self.path} is closed, or belongs to the process that forked this one")
        # Written, not truncated to size: on a full disk a hole is found out by a SIGBUS at the first store into it.
        first, length = self._slots, HEADER.size + slots * SLOT.size
        at = HEADER.size + first * SLOT.size
        while at < length:
            at += os.pwrite(self._fd, bytes(length - at), at)
        grown = mmap.mmap(self._fd, length)
        self._map.close()
        self._map, self._slots = grown, slots
        self._free.extend(range(slots - 1, first - 1, -1))  # lowest on top: few pages are ever touched


class DeadSession(_Locked):
    """A session that has died, in the hands of the one who cleans up after it.

    Keep it while you do; then `remove` it, or `close` it to leave the work to somebody else. If you die over it, the
    next one gets it. As a context manager it does the one where the block ends well, and the other where it raises.

    `running`: what it was running when it died. `header`: who it was. Neither is known after a power cut, or where
    the file had been deleted: `running` is empty then, and `header` None.
    """

    def __init__(self, path: Path, fd: int, header: Header | None, running: tuple[Running, ...]) -> None:
        super().__init__(path, fd)
        self.header = header
        self.running = running

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self.remove()
        else:
            self.close()


def take_over(path: Path) -> DeadSession | None:
    """Take a dead session over; None if it lives, or somebody else has it in hand.

    Of several who try, one gets it. No file means that it is dead and left no record: each who asks is told so, also
    whoever comes after the one who had it in hand. While another process just looks (`is_dead`), the answer may be
    None once too often: ask again later.

    Raises `StoreTooNew` if a newer version wrote the file, `StoreCorrupt` if it is none of ours, `OSError` if it
    cannot be opened or locked; it is left as it was.
    """
    while True:
        fd = _opened(path)
        if fd is None:
            return DeadSession(path, -1, None, ())
        try:
            if not _lock(fd, fcntl.LOCK_EX):
                os.close(fd)
                return None
            if _is_at(path, fd):
                header, running = _parsed(path, _content(fd))
                return DeadSession(path, fd, header, tuple(running))
        except BaseException:
            os.close(fd)
            raise
        # Whoever had it in hand removed it between our open and our lock: look again.
        os.close(fd)


def is_dead(path: Path) -> bool:
    """Whether nobody holds that session's lock: its process has died, or has left in order and removed the file.

    Raises `OSError` if the file cannot be opened or locked.
    """
    fd = _opened(path)
    if fd is None:
        return True
    try:
        return _lock(fd, fcntl.LOCK_SH)  # shared: those who only look do not hinder each other
    finally:
        os.close(fd)


def read_running(path: Path) -> list[Running]:
    """What the session has begun and not ended, by slot. Sure of a dead one only: a living one writes while we read.

    Raises `FileNotFoundError`, `StoreTooNew`, `StoreCorrupt`, `OSError`.
    """
    with open(path, "rb") as file:
        return list(_parsed(path, file.read())[1])


def read_header(path: Path) -> Header | None:
    """Whose file it is; None if that was lost in a power cut.

    Raises `FileNotFoundError`, `StoreTooNew`, `StoreCorrupt`, `OSError`.
    """
    with open(path, "rb") as file:
        return parse_header(path, file.read(HEADER.size))


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _content(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read()


def _parsed(path: Path, content: bytes) -> tuple[Header | None, Iterator[Running]]:
    header = parse_header(path, content)
    if header is None:
        return None, iter(())
    end = HEADER.size + (len(content) - HEADER.size) // SLOT.size * SLOT.size
    slots = SLOT.iter_unpack(memoryview(content)[HEADER.size : end])
    return header, (Running(message, attempt, started) for used, message, attempt, started in slots if used)
