"""How the sessions of one store wake each other: a datagram socket beside the file for each.

A datagram may get lost, so once a second, while there are other sessions, each looks whether the file was changed by
somebody else. Alone it looks at nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

ANY = b"*"
"""Something changed, or a session came: whoever gets it looks at everything."""
LARGEST = 4_000
"""Bytes of addresses in one datagram."""


class Bell:
    """The socket of one session, at `path`; `rung` is called with the addresses for which there may be something."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, rung: Callable[[list[str] | None], None]) -> None:
        self._path, self._loop, self._rung = path, loop, rung
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.setblocking(False)
        try:
            self._socket.bind(self._short(path.name))
        except BaseException:
            self.close()
            raise
        loop.add_reader(self._socket, self._hear)

    def _short(self, name: str) -> str:
        """A name for a file beside the store that fits into a socket's address, which holds about a hundred bytes."""
        folder = Path(f"/proc/self/fd/{self._folder}")
        return str(folder / name if folder.is_dir() else self._path.with_name(name))

    def ring(self, names: Iterable[str], addresses: Iterable[str] | None) -> list[str]:
        """Wake these sessions; the names of those that cannot be reached."""
        told = msgspec.msgpack.encode(list(addresses)) if addresses is not None else ANY
        if len(told) > LARGEST:
            told = ANY
        gone: list[str] = []
        for name in names:
            try:
                self._socket.sendto(told, self._short(name))
            except BlockingIOError:
                pass  # it has more than enough to wake up for
            except OSError:
                gone.append(name)
        return gone

    def _hear(self) -> None:
        heard: dict[str, None] = {}
        everything = False
        with contextlib.suppress(BlockingIOError):
            while True:
                told = self._socket.recv(65_536)
                if told == ANY:
                    everything = True
                else:
                    with contextlib.suppress(msgspec.MsgspecError):
                        heard |= dict.fromkeys(msgspec.msgpack.decode(told, type=list[str]))
        self._rung(None if everything else list(heard))

    def close(self) -> None:
        """Hear nothing more."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(OSError):  # where nothing can be deleted now, whoever sweeps the dead does it later
            self._path.unlink()
        os.close(self._folder)
