"""A stream to a client goes on until the service takes no more work, and its source is closed whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from tests.operations.bank import Quiet
from upright.actors import ActorSystem
from upright.operations import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(ActorSystem(log=None, dead_letters=Quiet), signals=False) as made:
        yield made


class Source:
    """What gives numbers, and notes that it was closed, and in which task it ran."""

    def __init__(self, last: int | None = None, then: Callable[[], Any] | None = None) -> None:
        self._last, self._then = last, then
        self.closed = 0
        self.waits = asyncio.Event()
        self.tasks: set[Any] = set()

    async def items(self) -> AsyncIterator[int]:
        try:
            number = 0
            while self._last is None or number < self._last:
                self.tasks.add(asyncio.current_task())
                yield number
                number += 1
            if self._then is not None:
                self.waits.set()
                await self._then()
        finally:
            self.tasks.add(asyncio.current_task())
            self.closed += 1


async def never() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise LookupError("the source has failed")


async def test_it_ends_with_its_source(service: Service) -> None:
    source = Source(3)
    assert [item async for item in service.until_draining(source.items())] == [0, 1, 2]
    assert source.closed == 1
    assert not service.draining


async def test_it_ends_at_the_drain_while_it_waits_for_the_next_one(service: Service) -> None:
    source, got = Source(2, never), list[int]()

    async def listen() -> None:
        async for item in service.until_draining(source.items()):
            got.append(item)

    listening = asyncio.create_task(listen())
    await source.waits.wait()
    service.begin_drain()
    await asyncio.wait_for(listening, 60)
    assert (got, source.closed) == ([0, 1], 1)


async def test_it_ends_at_the_drain_though_there_is_always_one_at_hand(service: Service) -> None:
    source = Source()
    got = 0
    async for item in service.until_draining(source.items()):
        got = item
        if item == 5:
            service.begin_drain()
    assert (got, source.closed) == (5, 1)


async def test_begun_after_the_drain_it_gives_nothing(service: Service) -> None:
    source = Source()
    service.begin_drain()
    assert [item async for item in service.until_draining(source.items())] == []


async def test_the_error_of_its_source_is_raised(service: Service) -> None:
    source = Source(1, fails)
    got: list[int] = []
    with pytest.raises(LookupError, match="the source has failed"):
        async for item in service.until_draining(source.items()):
            got.append(item)
    assert (got, source.closed) == ([0], 1)


async def test_a_listener_that_leaves_early_closes_the_source(service: Service) -> None:
    source = Source()
    async with aclosing(service.until_draining(source.items())) as stream:
        async for item in stream:
            if item == 2:
                break
    assert source.closed == 1


async def test_a_listener_that_is_cancelled_closes_the_source(service: Service) -> None:
    source = Source(1, never)

    async def listen() -> None:
        async for _ in service.until_draining(source.items()):
            continue

    listening = asyncio.create_task(listen())
    await source.waits.wait()
    listening.cancel()
    await asyncio.wait({listening})
    assert listening.cancelled()
    assert source.closed == 1


async def test_nothing_is_taken_from_the_source_that_nobody_has_asked_for(service: Service) -> None:
    taken: list[int] = []

    async def items() -> AsyncIterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    async with aclosing(service.until_draining(items())) as stream:
        assert await anext(stream) == 0
        for _ in range(20):
            await asyncio.sleep(0)
        assert taken == [0]


async def test_the_source_runs_in_one_task_so_that_it_may_hold_scopes_open(service: Service) -> None:
    source = Source(3)

    async def items() -> AsyncIterator[int]:
        async with anyio.create_task_group():
            async with asyncio.timeout(60):
                async for item in source.items():
                    yield item

    assert [item async for item in service.until_draining(items())] == [0, 1, 2]
    assert len(source.tasks) == 1


async def test_what_only_gives_the_next_one_may_be_a_source(service: Service) -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> "Plain":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    assert [item async for item in service.until_draining(Plain())] == [2, 1, 0]


async def test_a_source_that_swallows_being_cancelled_is_closed_all_the_same(
    service: Service,
) -> None:
    waits, closed = asyncio.Event(), list[bool]()

    async def items() -> AsyncIterator[int]:
        try:
            yield 0
            for number in range(1, 1_000):
                try:
                    waits.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    yield number
        finally:
            closed.append(True)

    async def listen() -> list[int]:
        return [item async for item in service.until_draining(items())]

    listening = asyncio.create_task(listen())
    await waits.wait()
    service.begin_drain()
    assert await asyncio.wait_for(listening, 60) == [0]
    assert closed == [True]
