"""A disk that stalls holds up only those who wait for it: the loop answers, probes tell of it, nothing is lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.operations.watching import beat, watched
from tests.persistence import weather
from tests.persistence.syncers import Gate
from upright.actors import Actor, ActorSystem
from upright.operations import Health, HealthApp, HealthLimits, watch
from upright.persistence import Durable, Sqlite
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio

TOLD = 100
NAMES = ("waits", "free")
TURNS = 5
"""Turns of the loop that a probe may take; it takes one."""


gate = weather.gate


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.01)
    monkeypatch.setattr(watch, "LOOK", 0.01)


class Clerk(Actor):
    """In the store; notes what it was told."""

    mailbox = Durable("clerk", order="free")

    def __init__(self, noted: list[int]) -> None:
        self.noted = noted

    async def note(self, number: int) -> None:
        self.noted.append(number)


class Teller(Actor):
    """In memory; tells the clerk, and so waits for the disk in its handler."""

    async def tell(self, number: int) -> None:
        await self.ctx.ref("/bank/clerk", Clerk).tell(Clerk.note, number)

    async def hello(self) -> str:
        return "hello"


def system_on(path: Path, noted: list[int]) -> ActorSystem:
    tree = supervisor("bank", child("clerk", Clerk, noted), *(child(name, Teller) for name in NAMES))
    return ActorSystem(tree, store=Sqlite(path), log=None, blocked_after=None)


class Disk:
    """Lets each flush through as soon as it begins, unless it stalls."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._letting: asyncio.Future[None] | None = None

    async def _let_all(self) -> None:
        while True:
            await self._gate.entered()
            self._gate.let()

    async def __aenter__(self) -> "Disk":
        self._letting = asyncio.ensure_future(self._let_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        letting, self._letting = self._letting, None
        if letting is not None:
            letting.cancel()
            await asyncio.wait({letting})

    @asynccontextmanager
    async def stalled(self) -> AsyncGenerator[None]:
        """No flush ends meanwhile."""
        await self.__aexit__()
        try:
            yield
        finally:
            await self.__aenter__()


async def get(app: HealthApp, path: str) -> tuple[int, bytes, int]:
    """Ask for a probe as a server does: the status, the body, and the turns of the loop that it took."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"verbose"}
    asked, turns = asyncio.ensure_future(app(scope, asyncio.Event().wait, send)), 0  # type: ignore[arg-type]
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    return sent[0]["status"], sent[1]["body"], turns


async def statuses(health: Health) -> dict[str, int]:
    """What the probes answer, in a few turns of the loop."""
    app, found = HealthApp(health), dict[str, int]()
    for path in ("/livez", "/readyz"):
        found[path], _, turns = await get(app, path)
        assert turns <= TURNS
    return found


async def test_while_the_disk_stalls_the_loop_answers_and_readiness_fails_until_it_works_again(
    tmp_path: Path, gate: Gate
) -> None:
    noted: list[int] = []
    system = system_on(tmp_path / "jobs.db", noted)
    async with Disk(gate) as disk, watched(system, HealthLimits(store=0.3)) as health:
        clerk, (waits, free) = system.ref("/bank/clerk", Clerk), [system.ref(f"/bank/{n}", Teller) for n in NAMES]
        await clerk.tell(Clerk.note, -1)
        await beat(health, lambda: health.ready().ok)
        async with disk.stalled():
            tells = [asyncio.ensure_future(clerk.tell(Clerk.note, number)) for number in range(TOLD)]
            await waits.tell(Teller.tell, TOLD)
            assert [await free.ask(Teller.hello) for _ in range(20)] == ["hello"] * 20
            await beat(health, lambda: not health.ready().ok)
            assert await statuses(health) == {"/livez": 200, "/readyz": 503}
            _, body, _ = await get(HealthApp(health), "/readyz")
            assert b"has not answered for" in body
            assert [await free.ask(Teller.hello) for _ in range(20)] == ["hello"] * 20
            assert not any(tell.done() for tell in tells)
        await asyncio.gather(*tells)
        await beat(health, lambda: health.ready().ok)
        assert await statuses(health) == {"/livez": 200, "/readyz": 200}
        await system.idle()
        assert sorted(noted) == [*range(-1, TOLD + 1)]


async def test_a_stall_that_is_shorter_than_the_limit_changes_no_probe(tmp_path: Path, gate: Gate) -> None:
    noted: list[int] = []
    system = system_on(tmp_path / "jobs.db", noted)
    async with Disk(gate) as disk, watched(system, HealthLimits(store=600, store_dead=1200)) as health:
        clerk = system.ref("/bank/clerk", Clerk)
        await beat(health, lambda: health.ready().ok)
        async with disk.stalled():
            tells = [asyncio.ensure_future(clerk.tell(Clerk.note, number)) for number in range(TOLD)]
            await beat(health, lambda: health.findings().store_s > 0.1)
            assert await statuses(health) == {"/livez": 200, "/readyz": 200}
            assert not any(tell.done() for tell in tells)
        await asyncio.gather(*tells)
        await system.idle()
    assert sorted(noted) == [*range(TOLD)]
