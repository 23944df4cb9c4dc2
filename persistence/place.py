"""Where a store's file may lie, and what is said where it may not.

It stands apart because SQLite says the same few words of all of these (`unable to open database file`), or nothing at
all: on a network file system it works until two machines write, or a lock is lost.
"""

import os
from pathlib import Path
from typing import Final

from .errors import StoreCorrupt, StoreUnavailable

MOUNTS = Path("/proc/self/mountinfo")
NETWORK: Final = frozenset(
    (
        "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs",
    )
)  # fmt: skip
"""Kinds of file systems that several machines may write, as Linux calls them."""
Identity = tuple[int, int]
"""Which file it is: its device, and its number there."""
EMPTY: Final = 1
"""Bytes of a file that SQLite takes for a new database; of one byte too."""
LOG_HEADER: Final = 32
"""Bytes of a write-ahead log before the first commit. It is longer only when its database is on disk."""


def check_place(path: Path) -> None:
    """Raise `StoreUnavailable` if no store can be at `path`: nothing holds it, it is a folder, or on no local disk.

    Raises `StoreCorrupt` if its log is there without it. SQLite would make a new file, and throw the log away.
    """
    if not path.parent.is_dir():
        raise StoreUnavailable(f"{path} cannot be opened: there is no folder {path.parent}")
    if path.is_dir():
        raise StoreUnavailable(f"{path} cannot be opened: it is a folder")
    check_kind(path)
    kind = file_system(path.parent)
    if kind in NETWORK:
        raise StoreUnavailable(f"expected {path} to be on a local disk, got {kind}: SQLite cannot share it there")
    log = path.with_name(f"{path.name}-wal")
    if size_of(log) > LOG_HEADER and size_of(path) <= EMPTY:
        raise StoreCorrupt(
            f"{path} is gone or empty, but {log} holds what was accepted last: put that very file back, or delete both"
        )


def identity(path: Path) -> Identity | None:
    """Which file is there; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def check_same(path: Path, very: Identity | None) -> None:
    """Raise `StoreUnavailable` if there is another file than that one: SQLite would write the log of the one into the
    other, and spoil it.
    """
    if very is not None and identity(path) not in (None, very):
        raise StoreUnavailable(f"another file is at {path} than was open: put that very file back, or start anew")


def check_kind(path: Path) -> None:
    """Raise `StoreUnavailable` for a pipe, say, which to open would mean to wait for whoever writes into it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise StoreUnavailable(f"{path} cannot be opened: it is no regular file")


def unwritable(folder: Path) -> str:
    """Why this user can make no file in a folder; "" if they can."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is on a file system that is read-only"
    may = os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
    return "" if may else f"this user may not write into {folder}"


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; "" where the system does not tell (macOS).

    >>> file_system(Path("/proc"))
    'proc'
    """
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, system = line.partition(" - ")
        if mount.split()[2] == wanted:
            return system.split()[0]
    return ""


def sync(path: Path) -> None:
    """Have the disk keep a file, or what names a folder has."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
