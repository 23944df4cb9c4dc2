"""The law of a service whose tree gives up inside a server: the server is asked to leave, so that the process ends."""

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem, SystemFailed
from upright.actors.events import Event
from upright.operations import Service, ServiceDraining, ServiceStopped
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio


class Fragile(Actor):
    async def break_down(self) -> None:
        raise RuntimeError("as told")


def fragile() -> ActorSystem:
    return ActorSystem(supervisor("top", child("a", Fragile), max_restarts=0), log=None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def told() -> Iterator[list[int]]:
    """What a server that was there before hears."""
    heard: list[int] = []

    def hear(number: int, _: Any) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, hear)
    yield heard
    signal.signal(signal.SIGTERM, before)


async def test_the_server_is_asked_to_leave_and_streams_end(told: list[int]) -> None:
    seen: list[Event] = []
    system = fragile()
    system.subscribe(seen.append, ServiceDraining, ServiceStopped)
    service = Service(system)
    with pytest.raises(SystemFailed):
        async with asyncio.timeout(10), service:
            await system.ref("/top/a", Fragile).tell(Fragile.break_down)
            await service.wait_draining()
            while not told:  # noqa: ASYNC110  # the signal comes in the same turn, or in the next
                await asyncio.sleep(0)
    assert told == [signal.SIGTERM]
    assert [getattr(event, "why", getattr(event, "status", None)) for event in seen] == ["its tree has ended", 1]


async def test_one_that_is_asked_to_end_asks_nobody(told: list[int]) -> None:
    async with Service(fragile()) as service:
        service.begin_drain()
    assert told == []


async def test_alone_it_ends_by_itself(told: list[int]) -> None:
    system = fragile()
    service = Service(system)
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(10):
        while not service.health.started:  # noqa: ASYNC110  # by the task that runs it
            await asyncio.sleep(0)
        await system.ref("/top/a", Fragile).tell(Fragile.break_down)
        assert await running == 1
    assert told == []
