"""The laws of a system inside a web application: real servers, real requests, and the frameworks' test clients."""

import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from litestar.testing import AsyncTestClient
from litestar.testing import TestClient as LitestarClient

from tests.examples.embedded import APPS, EMBEDDING, order, started, story, uvicorn

with warnings.catch_warnings():  # newer ones would rather have another client below
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient as StarletteClient

every_app = pytest.mark.parametrize("app", APPS)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def fresh(db: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the examples, as if nobody had imported them before."""
    names = ("shop", "plain", *APPS)
    monkeypatch.setenv("SHOP_DB", str(db))
    monkeypatch.setattr(sys, "path", [str(EMBEDDING), *sys.path])
    yield
    for name in names:
        sys.modules.pop(name, None)


def module(app: str) -> ModuleType:
    return importlib.import_module(app)


@pytest.fixture(scope="module", params=APPS)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of each of the applications, which run once for all who use this."""
    db = tmp_path_factory.mktemp(request.param) / "shop.db"
    with uvicorn(request.param, db) as server, server.client() as client:
        yield client


def test_an_order_is_accepted_once_for_its_key_and_shipped(client: httpx.Client) -> None:
    first = order(client, key="a-17")
    again = client.post("/orders", json={"item": "tea"}, headers={"Idempotency-Key": "a-17"})
    assert (again.status_code, again.json()) == (202, {"id": first, "duplicate": True})
    assert order(client) != first
    assert story(client, first, "acked") == ["stored", "claimed", "acked"]
    assert client.get("/orders/4711").status_code == 404


def test_what_an_actor_says_becomes_the_status_that_says_it(client: httpx.Client) -> None:
    assert client.get("/stock/tea").json() == {"item": "tea", "left": 12}
    answers = [client.get(path) for path in ("/stock/gold", "/stock/far?within=0.1", "/stock/lost", "/stock/lost")]
    said = [(answer.status_code, answer.json()["error"]) for answer in answers]
    assert said == [(422, "Refuse"), (504, "AskTimedOut"), (500, "ActorFailed"), (503, "CircuitOpen")]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert client.post("/orders", json={"item": 3}).status_code in (400, 422)


def test_the_probes_answer_through_the_application(client: httpx.Client) -> None:
    for probe in ("startupz", "livez", "readyz"):
        assert client.get(f"/health/{probe}").status_code == 200
    assert client.get("/health/healthz").json()["ok"] is True
    assert client.get("/health/nothing").status_code == 404


@every_app
def test_a_stream_shows_what_happens_and_ends_when_its_client_goes(app: str, db: Path) -> None:
    with uvicorn(app, db) as server, server.client() as client:
        with client.stream("GET", "/events") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert next(lines) == ": connected"
            client.get("/stock/lost")
            assert "event: actor.crashed" in lines
        # One client is gone, and there is no other: nothing holds up the end, in a drain that is far too long.
        assert server.stop() == -signal.SIGTERM


def test_a_killed_process_loses_nothing(db: Path) -> None:
    with uvicorn("fastapi_app", db) as server, server.client() as client:
        running, waiting = order(client, 2.0), order(client)
        story(client, running, "claimed")
        server.signal(signal.SIGKILL)
        assert server.end() == -signal.SIGKILL
    with uvicorn("fastapi_app", db) as server, server.client() as client:
        assert "crashed" in story(client, running, "acked")
        story(client, waiting, "acked")


def test_workers_of_uvicorn_share_a_store(db: Path) -> None:
    with uvicorn("starlette_app", db, "--workers", "2") as server:
        client = server.client()
        server.log.until("Application startup complete", times=2)
        with client:
            for number in [order(client) for _ in range(50)]:
                story(client, number, "acked")
        assert server.stop() == 0  # uvicorn's parent catches the signal, and ends as if nothing had been


def test_a_reload_of_uvicorn_ends_one_service_and_starts_the_next(db: Path, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    for name in ("shop.py", "starlette_app.py"):
        (folder / name).write_text((EMBEDDING / name).read_text("utf-8"), "utf-8")
    words = ("--reload", "--reload-dir", str(folder), "--reload-delay", "0.1")
    with uvicorn("starlette_app", db, *words, folder=folder) as server, server.client() as client:
        first = order(client)
        story(client, first, "acked")
        changed = folder / "starlette_app.py"
        os.utime(changed, (changed.stat().st_atime, changed.stat().st_mtime + 10))
        server.log.until("Application startup complete", times=2)
        assert story(client, first, "acked")
        story(client, order(client), "acked")


def test_a_plain_script_ships_what_another_process_has_ordered(db: Path) -> None:
    script = str(EMBEDDING / "plain.py")
    with started([script, "tea", "coffee"], db, 20.0) as desk:
        assert desk.end() == 0
    with started([script], db, 20.0) as works:
        works.log.until("service.started")
        assert works.stop() == 0
        assert "service.stopped" in works.log.all()
    with uvicorn("starlette_app", db) as server, server.client() as client:
        assert [story(client, number, "acked")[-1] for number in (1, 2)] == ["acked", "acked"]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("app", "client_of"),
    [("starlette_app", StarletteClient), ("fastapi_app", StarletteClient), ("litestar_app", LitestarClient)],
)
def test_a_test_client_runs_the_lifespan_in_a_thread_again_and_again(app: str, client_of: Any) -> None:
    before, made = signal.getsignal(signal.SIGTERM), module(app).app
    for _ in range(2):
        with client_of(made) as client:
            assert signal.getsignal(signal.SIGTERM) is before
            assert client.get("/stock/tea").json()["left"] == 12
            assert client.get("/health/readyz").status_code == 200
            story(client, order(client), "acked")


@pytest.mark.anyio
@pytest.mark.usefixtures("fresh")
async def test_an_async_test_client_runs_it_on_the_loop_of_the_test() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with AsyncTestClient(module("litestar_app").app) as client:
        assert (await client.get("/stock/tea")).json()["left"] == 12
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.anyio
@pytest.mark.usefixtures("fresh")
@every_app
async def test_without_a_server_the_application_is_called_on_the_loop_of_the_test(app: str) -> None:
    made = module(app)
    transport = httpx.ASGITransport(app=made.app)
    async with made.service, httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        placed = await client.post("/orders", json={"item": "tea"})
        await made.service.system.idle()
        assert (await client.get(placed.headers["Location"])).json()["story"] == ["stored", "claimed", "acked"]
        made.service.begin_drain()
        assert (await client.get("/health/readyz")).status_code == 503
        assert (await client.get("/health/livez")).status_code == 200
        assert (await client.get("/events")).text == ""  # it would not end otherwise
