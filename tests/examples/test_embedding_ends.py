"""The laws of the end of a service inside a web server: in time, whoever is connected, and no job is lost by it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.examples.embedded import APPS, Server, order, started, story, uvicorn
from tests.house.rooms import ROOT
from upright.actors import ActorSystem
from upright.operations import Service
from upright.persistence import Sqlite

every_app = pytest.mark.parametrize("app", APPS)
HERE = ROOT / "tests" / "examples"
GIVEN_BACK = ["stored", "released"]
WAITS = {"asyncio": sys.version_info >= (3, 12), "uvloop": False}
"""On which loops uvicorn waits for its connections even when it is told to leave, so that the service has to end it."""
every_loop = pytest.mark.parametrize("loop", WAITS)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@contextmanager
def streaming(client: httpx.Client) -> Generator[Iterator[str], None, None]:
    """A client that reads a stream of events, from its first line on."""
    with client.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": connected"
        yield lines


@contextmanager
def stubborn(db: Path, drain: float, loop: str) -> Generator[tuple[Server, httpx.Client, int], None, None]:
    """A server, its client, and a job that takes longer than anybody waits."""
    with uvicorn("stubborn", db, "--loop", loop, drain=drain, folder=HERE) as server, server.client() as client:
        job = int(client.post("/orders", json={"seconds": 3_600.0}).json()["id"])
        server.log.until("a job begins")
        yield server, client, job


def left(db: Path, id: int) -> list[str]:
    """What happened to a job, for somebody who looks when everything is over."""

    async def look() -> list[str]:
        store = Sqlite(db)
        async with ActorSystem(store=store, only=(), log=None):
            return [event.name for event in await store.story(id)]

    return asyncio.run(look())


@every_app
def test_a_stream_ends_in_order_at_once_and_a_job_that_takes_too_long_is_given_back(app: str, db: Path) -> None:
    with uvicorn(app, db, drain=1.5) as server, server.client() as client:
        job = order(client, 3_600.0)
        story(client, job, "claimed")
        with streaming(client) as lines:
            server.signal(signal.SIGTERM)
            assert [*lines][-1:] in ([], [""])  # to its proper end, or httpx would raise
        # uvicorn ends itself by the signal that it was given, when all is over.
        assert server.end() == -signal.SIGTERM
        assert "Application shutdown complete" in server.log.all()
    assert left(db, job) == GIVEN_BACK


def test_a_job_that_was_given_back_is_done_by_the_next_start(db: Path) -> None:
    with uvicorn("litestar_app", db, drain=0.5) as server, server.client() as client:
        job = order(client, 2.0)
        story(client, job, "claimed")
        assert server.stop() == -signal.SIGTERM
    with uvicorn("litestar_app", db) as server, server.client() as client:
        assert story(client, job, "acked") == [*GIVEN_BACK, "claimed", "acked"]


def test_a_job_that_runs_is_finished_when_there_is_time(db: Path) -> None:
    with uvicorn("starlette_app", db, drain=60.0) as server, server.client() as client:
        job = order(client, 1.0)
        story(client, job, "claimed")
        with streaming(client):
            assert server.stop() == -signal.SIGTERM
    assert left(db, job) == ["stored", "claimed", "acked"]


@every_loop
def test_a_stream_that_does_not_care_holds_the_end_up_for_the_drain_and_no_longer(loop: str, db: Path) -> None:
    with stubborn(db, 2.0, loop) as (server, client, job), streaming(client):
        server.signal(signal.SIGTERM)
        assert server.end() == (128 + signal.SIGTERM if WAITS[loop] else 0)
    assert left(db, job) == GIVEN_BACK


@pytest.mark.parametrize(("number", "loop"), [(signal.SIGTERM, "asyncio"), (signal.SIGINT, "uvloop")])
def test_a_second_signal_ends_all_at_once_and_the_job_is_given_back(
    number: signal.Signals, loop: str, db: Path
) -> None:
    with stubborn(db, 3_600.0, loop) as (server, client, job), streaming(client):
        server.signal(number)
        server.log.until("service.draining")
        server.signal(number)
        assert server.end() == (128 + number if WAITS[loop] else 0)
    assert left(db, job) == GIVEN_BACK


@every_loop
def test_a_server_that_never_leaves_is_left(loop: str, db: Path) -> None:
    with started([str(HERE / "stubborn.py"), loop], db, 1.0) as server:
        server.log.until("a job begins")
        server.signal(signal.SIGTERM)
        assert server.end() == 128 + signal.SIGTERM
        assert server.log.all().count("a signal is ignored") == 3  # the one, and two that tell it to leave


def test_a_tree_that_does_not_come_up_ends_the_server_with_its_reason(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_WANT", "prices.csv")
    with uvicorn("stubborn", db, folder=HERE) as server:
        assert server.end() == 3
        said = server.log.all()
        assert "StartFailed" in said
        assert "expected a file prices.csv" in said
        assert "Application startup failed. Exiting." in said


@pytest.mark.anyio
async def test_a_stream_that_always_has_more_ends_with_the_drain_too() -> None:
    async def hot() -> AsyncIterator[int]:
        while True:
            yield 0

    async with Service(ActorSystem(log=None), signals=False) as service:
        seen = 0
        async for _ in service.until_draining(hot()):
            seen += 1
            if seen == 10:
                service.begin_drain()
        assert seen == 10


@pytest.mark.anyio
async def test_a_stream_that_is_left_closes_its_source() -> None:
    closed = asyncio.Event()

    async def cold() -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with Service(ActorSystem(log=None), signals=False) as service:
        stream = service.until_draining(cold())
        assert [await anext(stream)] == [0]
        service.begin_drain()
        assert [item async for item in stream] == []
        assert closed.is_set()
