"""What the health endpoints answer, by themselves, as an ASGI application, and on a port of their own."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from upright.operations import AddressInUse, HealthApp, HealthReport, HealthServer
from upright.operations.endpoints import answer
from upright.operations.health import Findings, HealthLimits, Probe, judged

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Patient:
    """Whose health is what the test says."""

    def __init__(self, **found: Any) -> None:
        self.found = Findings(**found)

    def _of(self, probe: Probe | None) -> HealthReport:
        return judged(probe, self.found, HealthLimits())

    def startup(self) -> HealthReport:
        return self._of("startup")

    def live(self) -> HealthReport:
        return self._of("live")

    def ready(self) -> HealthReport:
        return self._of("ready")

    def report(self) -> HealthReport:
        return self._of(None)


WELL = Patient(started=True)


@pytest.mark.parametrize("path", ["/startupz", "/livez", "/readyz", "/livez/", "/some/where/livez"])
def test_a_probe_that_passes_is_200_wherever_it_is_mounted(path: str) -> None:
    assert answer(WELL, path, "") == (200, "text/plain; charset=utf-8", b"ok\n")


def test_a_probe_that_fails_is_503_and_says_why_in_one_line() -> None:
    found = answer(Patient(started=True, silent_s=60.0, stack="a\nb"), "/livez", "")
    assert (found.status, found.body) == (
        503,
        b"failed: loop: it has not answered for 60.0 s; it stands in\n",
    )


def test_a_degraded_service_is_200_with_a_body() -> None:
    found = answer(Patient(started=True, zombies=1), "/healthz", "")
    assert found.status == 200
    assert json.loads(found.body)["status"] == "degraded"


def test_verbose_adds_the_checks_to_a_probe() -> None:
    found = answer(WELL, "/readyz", "verbose")
    assert [check["name"] for check in json.loads(found.body)["checks"]][:3] == ["tree", "loop", "store process"]


def test_there_are_no_metrics_until_somebody_makes_them() -> None:
    assert answer(WELL, "/metrics", "").status == 404
    assert answer(WELL, "/metrics", "", lambda: ("text/x", b"m")) == (200, "text/x", b"m")


def test_an_unknown_path_is_told_what_there_is() -> None:
    found = answer(WELL, "/nothing", "")
    assert (found.status, b"/livez" in found.body) == (404, True)


class TestApp:
    async def get(self, app: HealthApp, path: str, method: str = "GET") -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path)

    async def test_it_answers_below_any_path(self) -> None:
        for path in ("/livez", "/internal/livez"):
            found = await self.get(HealthApp(WELL), path)
            assert (found.status_code, found.text) == (200, "ok\n")
            assert found.headers["cache-control"] == "no-store"

    async def test_a_head_has_no_body(self) -> None:
        found = await self.get(HealthApp(WELL), "/livez", "HEAD")
        assert (found.status_code, found.text, found.headers["content-length"]) == (200, "", "3")

    async def test_nothing_but_reading_is_allowed(self) -> None:
        found = await self.get(HealthApp(WELL), "/livez", "POST")
        assert (found.status_code, found.headers["allow"]) == (405, "GET, HEAD")

    async def test_it_has_a_lifespan_that_does_nothing(self) -> None:
        coming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent: list[Any] = []

        async def receive() -> Any:
            return next(coming)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await HealthApp(WELL)({"type": "lifespan"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    async def test_a_websocket_is_refused(self) -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await HealthApp(WELL)({"type": "websocket"}, receive, send)
        assert sent == ["websocket.close"]


class TestServer:
    @pytest.fixture
    def server(self) -> Iterator[HealthServer]:
        server = HealthServer(WELL)
        server.start()
        yield server
        server.stop()

    def get(self, server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def test_it_answers_on_a_free_port(self, server: HealthServer) -> None:
        assert self.get(server, "/livez") == (200, b"ok\n")
        assert self.get(server, "/livez", "HEAD") == (200, b"")
        assert self.get(server, "/livez", "POST")[0] == 501

    async def test_it_answers_while_the_loop_is_held_up(self, server: HealthServer) -> None:
        held, told = threading.Event(), list[Any]()

        def ask() -> None:
            told.append(self.get(server, "/livez"))
            held.set()

        asker = threading.Thread(target=ask)
        asker.start()
        held.wait(10)  # holds the loop up: what answers is no part of it
        asker.join()
        await asyncio.sleep(0)
        assert told == [(200, b"ok\n")]

    def test_a_port_that_is_taken_is_refused_by_name(self, server: HealthServer) -> None:
        with pytest.raises(AddressInUse, match=f"expected 127.0.0.1:{server.port} to be free"):
            HealthServer(WELL, port=server.port).start()

    def test_clients_that_send_rubbish_or_nothing_harm_nobody(self, server: HealthServer) -> None:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for number, one in enumerate(silent):
            one.sendall(bytes(range(number * 10)))
        assert self.get(server, "/readyz") == (200, b"ok\n")
        for one in silent:
            one.close()

    def test_it_stops_though_a_client_has_said_nothing_yet(self) -> None:
        server = HealthServer(WELL)
        server.start()
        with socket.create_connection(("127.0.0.1", server.port)):
            server.stop()
        server.stop()
