"""Servers of one thread that say what a test has them say: what listens at a port or a socket may be anything."""

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path

Talk = Callable[[socket.socket], None]


def saying(answer: bytes) -> Talk:
    """One request is read, and this is the answer."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return talk


def body(status: str, text: str) -> Talk:
    """An answer over HTTP."""
    payload = text.encode()
    return saying(f"HTTP/1.1 {status}\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)


def hanging(connection: socket.socket) -> None:
    """Nothing is ever said."""
    while connection.recv(65536):
        pass


def dripping(connection: socket.socket) -> None:
    """A byte now and then, and no end."""
    with contextlib.suppress(OSError):
        while True:
            connection.settimeout(0.01)
            connection.sendall(b"H")
            with contextlib.suppress(TimeoutError):
                if not connection.recv(65536):
                    break


@contextlib.contextmanager
def listening(listener: socket.socket, talk: Talk) -> Generator[None]:
    """Answer one after the other, until the test is over."""
    over = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if over.is_set():
                    return
                talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        with socket.socket(listener.family) as knock:
            knock.connect(listener.getsockname())
        thread.join()
        listener.close()


@contextlib.contextmanager
def at_a_port(talk: Talk) -> Generator[str]:
    """A server on a free port; its HOST:PORT."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listening(listener, talk):
        yield "{}:{}".format(*listener.getsockname())


@contextlib.contextmanager
def at_a_path(path: Path, talk: Talk) -> Generator[str]:
    """A server on a socket in the file system; its path."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    with listening(listener, talk):
        yield str(path)
