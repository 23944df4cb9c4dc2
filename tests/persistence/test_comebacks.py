"""The laws of what comes back out of quarantine by itself: when its circuit closes, until the store took it."""

from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.actors.outage import LATER
from tests.persistence.jobs import Stores, letters
from tests.persistence.outages import Outage, at, calls, running
from upright.actors import ActorSystem
from upright.actors.testing import advance
from upright.persistence import Retry, Store, StoreFailing, StoreUnavailable
from upright.supervision import CircuitBreaker

pytestmark = pytest.mark.anyio
SMTP = CircuitBreaker("smtp", consecutive=1, wait=LATER, permits=1, slow_start=0)
ONCE = Retry(max_attempts=1)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def set_aside(s: ActorSystem, outage: Outage, count: int) -> list[int]:
    """So many letters of one whose circuit is closed; their ids."""
    outage.dependency.is_down = True
    ids = await calls(at(s), count)
    await advance(1.0)
    outage.dependency.is_down = False
    return ids


def of_others(outage: Outage) -> Any:
    """An actor that does not use the circuit, so that it tells nothing of it."""
    return outage.spec(order="free", retry=ONCE)


async def test_a_circuit_that_is_closed_by_hand_brings_them_back(system: Systems, stores: Stores) -> None:
    """Only one that closed by itself was heard of."""
    outage, store = Outage(), stores()
    async with running(system, of_others(outage), store=store) as s:
        ids = await set_aside(s, outage, 3)
        store.quarantine.redrive_when_closed("smtp")
        SMTP.on(s).force_open(who="ada", why="they move house")
        await advance(1.0)
        assert len(await letters(store)) == 3
        SMTP.on(s).automatic(who="ada", why="they are back")
        await advance(1.0)
        await s.idle()
        assert sorted(outage.done) == ids
        assert await letters(store) == []


async def test_they_come_back_at_the_rate_that_was_asked_for(system: Systems, stores: Stores) -> None:
    outage, store = Outage(), stores()
    async with running(system, of_others(outage), store=store) as s:
        ids = await set_aside(s, outage, 8)
        store.quarantine.redrive_when_closed("smtp", rate=1.0)
        await by_hand(s)
        await advance(4.5)
        assert outage.done == ids[:5]
        await advance(10.0)
        assert outage.done == ids


async def by_hand(s: ActorSystem) -> None:
    SMTP.on(s).force_open(who="ada", why="a test")
    SMTP.on(s).automatic(who="ada", why="a test")


async def test_a_rate_that_is_none_is_told_where_it_is_written(stores: Stores) -> None:
    for rate in (0, -1.0):
        with pytest.raises(ValueError, match=r"expected rate to be more than 0 messages a second, got"):
            stores().quarantine.redrive_when_closed("smtp", rate=rate)


def failing(store: Store, times: int) -> None:
    """The next looks and deeds at its desk fail, so many of each."""
    desk: Any = store.desk
    redrive, show, left = desk.redrive, desk.letters, {"redrive": times, "letters": times}

    async def redriving(ids: list[int]) -> Any:
        left["redrive"] -= 1
        if left["redrive"] >= 0:
            raise StoreUnavailable("the disk is full")
        return await redrive(ids)

    async def showing(only: Any) -> Any:
        left["letters"] -= 1
        if left["letters"] >= 0:
            raise StoreUnavailable("the file is locked")
        async for letter in show(only):
            yield letter

    desk.redrive, desk.letters = redriving, showing


async def test_a_store_that_fails_is_tried_again_until_it_takes_them(system: Systems, stores: Stores) -> None:
    """They stayed there until the circuit closed another time."""
    outage, store, told = Outage(), stores(), list[StoreFailing]()
    async with running(system, of_others(outage), store=store) as s:
        ids = await set_aside(s, outage, 3)
        s.subscribe(told.append, StoreFailing)
        store.quarantine.redrive_when_closed("smtp")
        failing(store, 4)
        await by_hand(s)
        await advance(600.0)
        await s.idle()
        assert sorted(outage.done) == ids
        assert {event.error for event in told} == {"the disk is full", "the file is locked"}
        assert len(told) == 8


async def test_what_fails_again_is_left_until_the_next_time(system: Systems, stores: Stores) -> None:
    outage, store = Outage(), stores()
    async with running(system, of_others(outage), store=store) as s:
        ids = await set_aside(s, outage, 3)
        store.quarantine.redrive_when_closed("smtp")
        outage.dependency.is_down = True
        await by_hand(s)
        await advance(60.0)
        assert [letter.id for letter in await letters(store)] == ids
        assert len(outage.tried) == 6
        outage.dependency.is_down = False
        await by_hand(s)
        await advance(1.0)
        assert sorted(outage.done) == ids


async def test_a_circuit_that_closes_again_while_they_come_back_brings_what_came_since(
    system: Systems, stores: Stores
) -> None:
    outage, store = Outage(), stores()
    async with running(system, of_others(outage), store=store) as s:
        ids = await set_aside(s, outage, 5)
        store.quarantine.redrive_when_closed("smtp", rate=1.0)
        await by_hand(s)
        await advance(1.5)
        ids += await set_aside(s, outage, 1)
        await by_hand(s)
        await advance(60.0)
        assert sorted(outage.done) == ids


async def test_a_store_that_closes_meanwhile_keeps_the_rest(system: Systems, stores: Stores) -> None:
    outage, store = Outage(), stores()
    async with running(system, of_others(outage), store=store) as s:
        ids = await set_aside(s, outage, 5)
        store.quarantine.redrive_when_closed("smtp", rate=1.0)
        await by_hand(s)
        await advance(1.5)
    async with running(system, of_others(outage), store=stores()) as s:
        await s.idle()
        assert [letter.id for letter in await letters(stores())] == ids[2:]
        assert outage.done == ids[:2]
