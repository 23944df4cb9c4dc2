"""The laws of joins that end under another definition than that under which they began: branches are known by names."""

from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import QUICK, Deeds, Fan, Job, World, ended, oops, running
from upright.actors.testing import advance
from upright.persistence import RunFailed, parallel

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Two(Deeds):
    """What a trip needs, each in a branch of its own."""

    State = Fan
    initial = Fan.START

    async def flights(self, job: Job) -> str:
        await self.do(job, "flights")
        return "f"

    async def insurance(self, job: Job) -> str:
        await self.do(job, "insurance")
        return "i"

    async def hotel(self, job: Job) -> str:
        await self.do(job, "hotel")
        return "h"

    @parallel(Fan.START, flights, insurance, to=Fan.BOTH, retry=QUICK)
    async def book(self, job: Job, results: list[str]) -> None:
        job.words = results

    @parallel(Fan.BOTH, hotel, hotel, to=Fan.MANY)
    async def stay(self, job: Job, results: list[str]) -> None: ...

    @parallel(Fan.MANY, hotel, to=Fan.END, on_reject=Fan.OFF)
    async def leave(self, job: Job, results: list[str]) -> None: ...


class Turned(Two):
    """The same in another order."""

    @parallel(Fan.START, Two.insurance, Two.flights, to=Fan.BOTH, retry=QUICK)
    async def book(self, job: Job, results: list[str]) -> None:
        job.words = results


class Three(Two):
    """With one more, which stands first."""

    @parallel(Fan.START, Two.hotel, Two.flights, Two.insurance, to=Fan.BOTH, retry=QUICK)
    async def book(self, job: Job, results: list[str]) -> None:
        job.words = results


class One(Two):
    """With one less: that which is still under way."""

    @parallel(Fan.START, Two.flights, to=Fan.BOTH, retry=QUICK)
    async def book(self, job: Job, results: list[str]) -> None:
        job.words = results


async def half_done(system: Systems, stores: Stores) -> World:
    """A run `o` whose first branch is done; the other one has failed once."""
    world = World()
    world.plan("insurance", *oops(1))
    async with running(system, world, Two, store=stores()) as s:
        await Two.start(s, Job(), id="o")
        await world.until("insurance")
        await advance(0.5)
    return world


async def test_in_another_order_each_is_done_once_and_each_result_is_its_own(system: Systems, stores: Stores) -> None:
    world = await half_done(system, stores)
    async with running(system, world, Turned, store=stores()) as s:
        run = Turned.run(s, "o")
        assert (await ended(run)).words == ["i", "f"]
    assert [world.tried.count(name) for name in ("flights", "insurance")] == [1, 2]
    assert len(set(world.keys("insurance"))) == 1


@pytest.mark.parametrize("kind", [Three, One])
async def test_a_run_that_began_others_waits_in_quarantine_and_goes_on_when_that_is_mended(
    system: Systems, stores: Stores, kind: type[Deeds]
) -> None:
    world, store = await half_done(system, stores), stores()
    async with running(system, world, kind, store=store) as s:
        run = kind.run(s, "o")
        with pytest.raises(RunFailed, match="insurance"):
            await ended(run)
        assert [letter.reason for letter in await letters(store)] == ["definition"]
        assert await run.status() == "failed"
    async with running(system, world, Two, store=stores()) as s:
        assert await Two.redrive(s) == 1
        assert (await ended(Two.run(s, "o"))).words == ["f", "i"]
    assert [world.done.count(name) for name in ("flights", "insurance", "hotel")] == [1, 1, 3]


async def test_one_that_stands_there_twice_is_done_twice(system: Systems, stores: Stores) -> None:
    world = World()
    async with running(system, world, Two, store=stores()) as s:
        await ended(await Two.start(s, Job(), id="o"))
    assert world.done.count("hotel") == 3
    assert len(set(world.keys("hotel"))) == 3
