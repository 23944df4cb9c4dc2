"""Who manages a service in a test: a socket to which it tells how it does, as systemd has one."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 60.0


class Manager:
    """Hears what a service tells. `name`: of the socket, as `NOTIFY_SOCKET` has it."""

    def __init__(self, listening: socket.socket, name: str) -> None:
        self._listening, self.name = listening, name
        self.said: list[str] = []

    def hear(self) -> str:
        """The next datagram."""
        self._listening.settimeout(PATIENCE)
        self.said.append(self._listening.recv(4_096).decode())
        return self.said[-1]

    def until(self, word: str) -> None:
        """Hear all up to one with that in it."""
        while word not in self.hear():
            pass

    def rest(self) -> list[str]:
        """What has come by now and was not heard yet."""
        self._listening.setblocking(False)
        found: list[str] = []
        while True:
            try:
                found.append(self._listening.recv(4_096).decode())
            except BlockingIOError:
                self.said += found
                return found


@contextmanager
def managing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool = False, watchdog_s: float = 0.0
) -> Generator[Manager]:
    """A manager whose socket the environment names."""
    address = str(folder / "manager")
    name = f"@{address}" if abstract else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{address}" if abstract else address)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        if watchdog_s:
            monkeypatch.setenv("WATCHDOG_USEC", str(int(watchdog_s * 1e6)))
        yield Manager(listening, name)


def first_lines(said: list[str]) -> list[str]:
    """The first line of each datagram, signs of life that follow each other as one."""
    found: list[str] = []
    for one in said:
        line = one.splitlines()[0]
        if found[-1:] != [line]:
            found.append(line)
    return found
