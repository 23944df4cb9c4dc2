"""The folder for the sockets of worker processes: for the user alone, and gone when its parent is.

A parent that was killed cannot remove its own. The next one does: a lock tells whose owner is dead, which no number of
a process could, as another may have it by then.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "upright-"
OWNER = "owner.lock"
"""The file in it that its owner has locked for as long as it lives."""
LONGEST = 60
"""Characters of the path of a folder for sockets, which have room for about a hundred."""


class CrewFolder:
    """Made when its `path` is asked for first, until `close`."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._lock = -1

    @property
    def path(self) -> Path:
        """Where it is."""
        if self._path is None:
            place = tempfile.gettempdir()
            if len(place) > LONGEST:
                place = "/tmp"
            for left in Path(place).glob(f"{PREFIX}*"):
                remove_if_dead(left)
            made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))  # mode 0700
            self._lock, self._path = _own(made), made
        return self._path

    def close(self) -> None:
        """Remove it with all that is in it."""
        path, self._path = self._path, None
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(self._lock)


def _own(folder: Path) -> int:
    """Lock it. The file has its name only when it is locked: whoever sees it can tell whether its owner lives."""
    made = folder / f"{OWNER}.new"
    lock = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.rename(made, folder / OWNER)
    return lock


def remove_if_dead(folder: Path) -> bool:
    """Remove a folder of this user whose owner is dead; whether it was one. Whatever cannot be told is let be."""
    with contextlib.suppress(OSError):
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            return True
        finally:
            os.close(lock)
    return False
