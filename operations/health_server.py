"""The health endpoints on a port of their own, served by a thread: it answers while the event loop is held up.

That is when a probe has something to say: what holds the loop up, with its stack.
"""

import contextlib
import errno
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from upright.actors.message import told

from .endpoints import TEXT, Answer, Metrics, Probed, answer

PATIENCE = 5.0
"""Seconds that a client may take to send its request."""


class AddressInUse(OSError):
    """Somebody else listens there, or nobody may."""


class HealthServer:
    """Serves the endpoints at `host` and `port` (0: any that is free), from `start` to `stop`.

    Whatever listens on all addresses can be asked by everybody who reaches the machine: it tells names of actors and
    errors to whoever asks for `/healthz`.
    """

    def __init__(self, health: Probed, host: str = "127.0.0.1", port: int = 0, metrics: Metrics | None = None) -> None:
        self._health, self._metrics, self.host, self.port = health, metrics, host, port
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Raises `AddressInUse`."""
        health, metrics = self._health, self._metrics

        class Handler(_Handler):
            def found(self, path: str, query: str) -> Answer:
                return answer(health, path, query, metrics)

        try:
            self._server = server = _listening(self.host, self.port, Handler)
        except (OSError, UnicodeError) as error:  # a name that is none fails to be encoded
            why = getattr(error, "strerror", None) or str(error)
            raise AddressInUse(f"expected {self.host}:{self.port} to be free for probes: {why.lower()}") from error
        self.port = server.server_address[1]
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="upright health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()


def _listening(host: str, port: int, handler: type["_Handler"]) -> "_Server":
    """A server there; without a host on all addresses of either kind, where the machine has both."""
    if host:
        kind = socket.AF_INET6 if ":" in host else socket.AF_INET
        return _Server((host, port), handler, kind)
    try:
        return _Server(("::", port), handler, socket.AF_INET6)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
        return _Server(("", port), handler, socket.AF_INET)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # one that is still sending its request must not hold up the end
    allow_reuse_port = False  # two services must not share the probes of a port without a word

    def __init__(self, address: tuple[str, int], handler: type["_Handler"], kind: socket.AddressFamily) -> None:
        self.address_family = kind
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without the look for the name of the machine that `HTTPServer` has: it would hold up the loop."""
        if self.address_family == socket.AF_INET6:
            with contextlib.suppress(AttributeError, OSError):
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "upright", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or sent no HTTP: nobody has to know."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "upright", ""
    timeout = PATIENCE

    def found(self, path: str, query: str) -> Answer:
        """What to answer."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """See `BaseHTTPRequestHandler`."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """See `BaseHTTPRequestHandler`."""
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path, _, query = self.path.partition("?")
        try:
            found = self.found(path, query)
        except Exception as error:  # of those who give metrics, say: whoever asks shall not wonder
            found = Answer(500, TEXT, f"{told(error)}\n".encode())
        self.send_response(found.status)
        self.send_header("Content-Type", found.kind)
        self.send_header("Content-Length", str(len(found.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if body:
            self.wfile.write(found.body)

    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds is no news."""
