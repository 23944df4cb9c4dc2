"""The socket file of a service: for its owner alone, never in the place of one that lives, and taken away by its maker.

It has its mode from the first instant. To ask for it after `bind` would leave a moment in which anybody may connect.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

from .errors import SocketRefused

MODE = 0o600
BACKLOG = 128
PATIENCE = 5.0
"""Seconds to wait for another service that opens a socket in the same folder."""
PAUSE = 0.01


class AdminSocket:
    """A unix socket that listens at `path`, from `open` to `close`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._made: tuple[int, int] | None = None

    async def open(self) -> socket.socket:
        """The socket; close it, and then call `close`. One of a process that has died is removed first.

        Raises `SocketRefused`.
        """
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            async with self._alone():
                self._clear()
                _bind(made, self.path)
                made.listen(BACKLOG)
                found = os.lstat(self.path)
        except OSError as error:
            made.close()
            raise SocketRefused(_why(self.path, error)) from error
        except BaseException:
            made.close()
            raise
        self._made = found.st_dev, found.st_ino
        return made

    def close(self) -> None:
        """Remove the file, if it is still the one that was made here."""
        made, self._made = self._made, None
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == made:
                os.unlink(self.path)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        """Nobody else opens a socket in that folder meanwhile: two that find a dead one would remove each other's."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            until = asyncio.get_running_loop().time() + PATIENCE
            while not _locked(folder):
                if asyncio.get_running_loop().time() > until:
                    raise SocketRefused(f"expected to have {self.path.parent} alone for a moment: it is locked")
                await asyncio.sleep(PAUSE)
            yield
        finally:
            os.close(folder)

    def _clear(self) -> None:
        """Remove the socket of a process that has died. Raises `SocketRefused` for anything else that is there."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise SocketRefused(f"expected {self.path} to be free for the admin socket: a file is there")
        if _lives(self.path):
            raise SocketRefused(
                f"expected {self.path} to be free for the admin socket, but a service that runs has it: "
                "name another path with --admin"
            )
        os.unlink(self.path)


def _lives(path: Path) -> bool:
    """Whether anybody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True  # it has so many to answer that we would have to stand in line
    return True


def _bind(made: socket.socket, path: Path) -> None:
    """Bind it so that the file is for its owner alone from the beginning."""
    before: int | None = None
    try:
        os.fchmod(made.fileno(), MODE)
    except OSError:  # not everywhere has a socket a mode before it has a name
        before = os.umask(0o777 & ~MODE)
    try:
        made.bind(os.fspath(path))
    finally:
        if before is not None:
            os.umask(before)


def _locked(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR)  # else there are no locks to wait for
    return True


def _why(path: Path, error: OSError) -> str:
    if error.errno is None or error.errno == errno.ENAMETOOLONG:
        size = len(os.fsencode(path))
        return (
            f"expected a path that the system has room for, of about 100 bytes, got {size}: {path}; "
            "name a shorter one with --admin"
        )
    if error.errno == errno.ENOENT:
        return f"expected the folder {path.parent} to be there for the admin socket; name another path with --admin"
    why = (error.strerror or str(error)).lower()
    return f"expected to open the admin socket {path}, got: {why}; name another path with --admin"
