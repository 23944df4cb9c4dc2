"""A service of the demo, over real HTTP: each kind of trouble, and what stands in its books afterwards."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from upright.command.demo import downstream
from upright.command.demo.downstream import Downstream
from upright.command.demo.trouble import Kind, Phase, Schedule

pytestmark = pytest.mark.anyio
WANTED = {"order_id": "o-1", "cents": 990, "card": "4242", "item": "tea", "country": "DE"}


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reports on standard output, which is the test's here."""
    monkeypatch.setattr(downstream, "report", unheard)


def unheard(**_: object) -> None: ...


class Caller:
    def __init__(self, session: aiohttp.ClientSession, folder: Path, name: str) -> None:
        self._session, self._folder, self._name = session, folder, name

    async def __call__(self, verb: str, key: str = "k-1", **changes: Any) -> tuple[int, dict[str, Any]]:
        port = (self._folder / f"{self._name}.port").read_text().strip()
        headers = {"Idempotency-Key": key} if key else {}
        url = f"http://127.0.0.1:{port}/{verb}"
        async with self._session.post(url, json=WANTED | changes, headers=headers) as answer:
            return answer.status, await answer.json()


@contextlib.asynccontextmanager
async def serving(name: str, folder: Path, schedule: Schedule = ()) -> AsyncGenerator[Caller]:
    service = Downstream(name, folder, schedule)
    await service.start()
    watching = asyncio.create_task(service.watch())
    try:
        async with aiohttp.ClientSession() as session:
            yield Caller(session, folder, name)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await service.stop()


def always(kind: Kind) -> Schedule:
    return (Phase(0.0, 1_000.0, kind),)


def books(folder: Path, name: str) -> tuple[int, list[str]]:
    """How much it did, and what came of the calls."""
    with contextlib.closing(sqlite3.connect(folder / f"{name}.db")) as database:
        effects = database.execute("SELECT count(*) FROM effect").fetchone()[0]
        return effects, [outcome for (outcome,) in database.execute("SELECT outcome FROM call ORDER BY id")]


async def test_a_call_that_is_made_again_with_its_key_gets_the_same_answer(tmp_path: Path) -> None:
    async with serving("payments", tmp_path) as call:
        first, again, other = await call("charge"), await call("charge"), await call("charge", "k-2", order_id="o-2")
    assert first == again == (200, {"number": "charge-1"})
    assert other == (200, {"number": "charge-2"})
    assert books(tmp_path, "payments") == (2, ["done", "replay", "done"])


async def test_it_takes_the_same_port_again(tmp_path: Path) -> None:
    async with serving("mail", tmp_path) as call:
        before = await call("notify")
        port = (tmp_path / "mail.port").read_text()
    async with serving("mail", tmp_path) as call:
        assert await call("notify") == before
        assert (tmp_path / "mail.port").read_text() == port


@pytest.mark.parametrize(
    ("name", "verb", "changes", "status", "why"),
    [
        ("payments", "charge", {"card": "4000-1"}, 402, "card declined"),
        ("warehouse", "reserve", {"item": "moon lamp"}, 409, "sold out"),
        ("carrier", "ship", {"country": "AQ"}, 422, "nobody drives there"),
        ("mail", "ship", {}, 404, "expected one of notify"),
    ],
)
async def test_what_the_business_or_the_service_does_not_do_is_said_and_not_done(
    tmp_path: Path, name: str, verb: str, changes: dict[str, Any], status: int, why: str
) -> None:
    async with serving(name, tmp_path) as call:
        assert await call(verb, **changes) == (status, {"error": why})
    assert books(tmp_path, name)[0] == 0


async def test_a_call_without_a_key_or_with_another_body_is_refused(tmp_path: Path) -> None:
    async with serving("payments", tmp_path) as call:
        assert (await call("charge", ""))[0] == 400
        assert (await call("charge", cents="many"))[0] == 400
    assert books(tmp_path, "payments") == (0, [])


@pytest.mark.parametrize(
    ("kind", "status", "done"), [("failing", 500, 0), ("failing after", 500, 1), ("down", 503, 0), ("slow", 200, 1)]
)
async def test_trouble_with_an_answer(tmp_path: Path, kind: Kind, status: int, done: int) -> None:
    async with serving("payments", tmp_path, always(kind)) as call:
        assert (await call("charge"))[0] == status
    assert books(tmp_path, "payments")[0] == done


async def test_one_that_hangs_gives_no_answer_and_has_done_every_second_call(tmp_path: Path) -> None:
    async with serving("carrier", tmp_path, always("hanging")) as call:
        for key in ("k-1", "k-2"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call("ship", key, order_id=key), 0.1)
    assert books(tmp_path, "carrier") == (1, ["done", "hanging"])


async def test_one_that_refuses_lets_nobody_in_and_opens_again(tmp_path: Path) -> None:
    async with serving("warehouse", tmp_path, (Phase(0.1, 0.5, "refusing"),)) as call:
        assert (await call("reserve"))[0] == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            while True:
                await call("release", "k-2")
        answer = None
        while answer is None:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                answer = await call("reserve")
        assert answer == (200, {"number": "reserve-1"})
