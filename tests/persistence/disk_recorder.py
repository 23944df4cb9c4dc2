"""What processes do to the files of a database, in the order in which they do it: writes with their bytes, and syncs.

It stands between SQLite and its own way to the disk (the VFS, whose functions it wraps), and in front of Python's
`os.fsync` and `os.fdatasync`; so it needs neither a tracer nor a compiler. All processes append to one file. What was
written is noted after it was done and before anybody can act on it, and a sync when it begins and when it has ended,
so that whatever a sync must have put on disk is noted before that begins.

It imports nothing but the standard library, because a bare interpreter runs it: `disk_recorder.py TRACE MANNER
PROGRAM` and what PROGRAM, that of a syncer, is given.
"""

import ctypes
import itertools
import os
import runpy
import stat
import struct
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

HEAD = struct.Struct("<cqqq")
OPENED, WROTE, CUT_OFF, DELETED, SYNCING, SYNCED, SAID = (bytes([letter]) for letter in b"OWTDSEN")
FOLDER = 0
"""Stands for the inode of the folder."""
DATABASE, JOURNAL, LOG = 0x100, 0x800, 0x80000  # SQLITE_OPEN_MAIN_DB, _MAIN_JOURNAL, _WAL
OK = 0


class Deed(NamedTuple):
    """One thing that happened. `where`: an offset, a length, or the number of a sync; `data`: bytes, a name, a word."""

    kind: bytes
    inode: int
    where: int
    data: bytes


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods` of version 3."""

    _names = [
        "close",
        "read",
        "write",
        "truncate",
        "sync",
        "size",
        "lock",
        "unlock",
        "reserved",
        "control",
        "sector",
        "traits",
    ]
    _names += ["shm_map", "shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch"]
    _fields_ = [("version", ctypes.c_int), *((name, ctypes.c_void_p) for name in _names)]


class _File(ctypes.Structure):
    """`sqlite3_file`, and behind it what is the VFS's own."""

    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """The beginning of `sqlite3_vfs`."""

    _fields_ = [
        ("version", ctypes.c_int), ("size", ctypes.c_int), ("longest", ctypes.c_int), ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p), ("own", ctypes.c_void_p), ("open", ctypes.c_void_p), ("delete", ctypes.c_void_p),
    ]  # fmt: skip


_INT, _POINTER = ctypes.c_int, ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_char_p, _INT)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


def default_vfs() -> _Vfs:
    """SQLite's own way to the disk. Raises `OSError`, `AttributeError` where the library cannot be reached."""
    import _sqlite3

    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))  # whose own SQLite is found first
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    found: _Vfs = library.sqlite3_vfs_find(None).contents
    return found


class DiskRecorder:
    """Notes what this process does, in the file at `path`."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._count = itertools.count(1)
        self._inodes: dict[int, int] = {}  # by the address of a file
        self._new_logs: set[int] = set()
        self._wrapped: dict[int, Any] = {}  # by the address of the methods that they stand for
        self._kept: list[Any] = []  # what C calls

    def note(self, kind: bytes, inode: int = 0, where: int = 0, data: bytes = b"") -> None:
        """Append a deed."""
        os.write(self._fd, HEAD.pack(kind, inode, where, len(data)) + data)

    @contextmanager
    def syncing(self, inode: int) -> Generator[None]:
        """Around a sync; one that fails has not ended."""
        number = os.getpid() << 32 | next(self._count)
        self.note(SYNCING, inode, number)
        yield
        self.note(SYNCED, inode, number)

    def install(self) -> None:
        """Note from now on what this process does to databases, and what it syncs."""
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._around_sync(getattr(os, name)))
        vfs = default_vfs()
        vfs.open = self._called(_OPEN, self._around_open(_OPEN(vfs.open)))
        vfs.delete = self._called(_DELETE, self._around_delete(_DELETE(vfs.delete)))

    def _called(self, kind: Any, function: Callable[..., int]) -> int:
        callback = kind(function)
        self._kept.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value or 0

    def _around_sync(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def around(fd: int) -> None:
            found = os.fstat(fd)
            with self.syncing(FOLDER if stat.S_ISDIR(found.st_mode) else found.st_ino):
                sync(fd)

        return around

    def _around_open(self, real: Any) -> Callable[..., int]:
        def around(vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
            result: int = real(vfs, name, file, flags, out)
            if result == OK and name and flags & (DATABASE | JOURNAL | LOG):
                path = ctypes.string_at(name)
                self._inodes[file] = inode = os.stat(path).st_ino
                if flags & (JOURNAL | LOG):
                    self._new_logs.add(file)
                self.note(OPENED, inode, data=os.path.basename(path))
                opened = _File.from_address(file)
                opened.methods = ctypes.pointer(self._methods(opened.methods))
            return result

        return around

    def _around_delete(self, real: Any) -> Callable[..., int]:
        def around(vfs: int, path: bytes, then_sync: int) -> int:
            result: int = real(vfs, path, then_sync)
            if result == OK:
                self.note(DELETED, data=os.path.basename(path))
                if then_sync:
                    self._synced_folder()
            return result

        return around

    def _methods(self, real: Any) -> _Methods:
        address = ctypes.addressof(real.contents)
        if address not in self._wrapped:
            methods = _Methods.from_buffer_copy(real.contents)
            write, truncate, sync = _WRITE(methods.write), _TRUNCATE(methods.truncate), _SYNC(methods.sync)

            def around_write(file: int, data: int, length: int, where: int) -> int:
                result: int = write(file, data, length, where)
                if result == OK:
                    self.note(WROTE, self._inodes[file], where, ctypes.string_at(data, length))
                return result

            def around_truncate(file: int, length: int) -> int:
                result: int = truncate(file, length)
                if result == OK:
                    self.note(CUT_OFF, self._inodes[file], length)
                return result

            def around_sync(file: int, flags: int) -> int:
                with self.syncing(self._inodes[file]):
                    result: int = sync(file, flags)
                if file in self._new_logs:
                    self._new_logs.discard(file)
                    self._synced_folder()  # with the first sync of a journal SQLite syncs its folder
                return result

            methods.write = self._called(_WRITE, around_write)
            methods.truncate = self._called(_TRUNCATE, around_truncate)
            methods.sync = self._called(_SYNC, around_sync)
            self._wrapped[address] = methods
        found: _Methods = self._wrapped[address]
        return found

    def _synced_folder(self) -> None:
        with self.syncing(FOLDER):
            pass


def read_deeds(trace: bytes) -> Iterator[Deed]:
    """All that was noted; a process that was killed may have left half a deed at the end of what it noted."""
    at = 0
    while at < len(trace):
        kind, inode, where, length = HEAD.unpack_from(trace, at)
        at += HEAD.size + length
        yield Deed(kind, inode, where, trace[at - length : at])


def _off(real: Callable[[str], Any]) -> Callable[[str], Any]:
    def connect(database: str) -> Any:
        connection = real(database)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    return connect


if __name__ == "__main__":
    trace, manner, program = (sys.argv.pop(1) for _ in range(3))
    DiskRecorder(trace).install()
    names = runpy.run_path(program)["main"].__globals__
    if manner == "no sync":
        names["flush"] = os.fstat  # as little as that
    elif manner == "no sync in checkpoints":
        names["connect"] = _off(names["connect"])
    names["main"](*sys.argv[1:])
