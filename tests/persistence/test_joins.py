"""The laws of what runs beside each other: branches, and fans over a list."""

from typing import Any

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Fan,
    Job,
    Spread,
    Witness,
    World,
    ended,
    names,
    no,
    oops,
    running,
    sleep,
)
from upright.actors.testing import advance
from upright.persistence import Reject, RunFailed, each, parallel, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Point(msgspec.Struct):
    x: int


class Odd(Deeds):
    """Branches with results of many kinds."""

    State = Fan
    initial = Fan.START
    cancelled = Fan.OFF

    async def point(self, job: Job) -> Point:
        return Point(3)

    async def none(self, job: Job) -> None: ...

    async def several(self, job: Job) -> tuple[int, set[str]]:
        return 1, {"b", "a"}

    async def liar(self, job: Job) -> int:
        await self.world.call(self, "liar")
        lie: Any = "no number" if self.ctx.attempt == 1 else 5
        return lie  # type: ignore[no-any-return]

    async def bare(self, job: Job):  # type: ignore[no-untyped-def]
        return [1, "x"]

    @parallel(Fan.START, point, none, several, liar, bare, to=Fan.BOTH, retry=QUICK)
    async def joined(self, job: Job, results: list[Any]) -> None:
        job.way = repr(results)

    @each(Fan.BOTH, Deeds.refund, over=lambda job: [], to=Fan.MANY)  # type: ignore[arg-type]
    async def nothing(self, job: Job, results: list[None]) -> None:
        job.words.append(f"nothing {results}")

    @step(Fan.MANY, to=Fan.END)
    async def end(self, job: Job) -> None: ...


class TestBranches:
    async def test_they_run_beside_each_other_and_the_method_gets_all_results_in_order(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("left", sleep(5.0))
        async with running(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(items=[3, 1, 2]), id="o")
            job = await ended(run)
            assert (job.way, job.items) == ("['l', 2]", [9, 1, 4])
            assert job.words == ["pay", "both", "many"]  # what a branch makes of its copy is lost
            assert len(world.effects) == 8
            assert world.most >= 2
            assert (await names(run)).count("joined both") == 2

    async def test_results_are_what_their_annotations_say_and_one_that_is_not_has_failed(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        async with running(system, world, Odd, store=stores()) as s:
            job = await ended(await Odd.start(s, Job(), id="o"))
        assert job.way == "[Point(x=3), None, (1, {'a', 'b'}), 5, [1, 'x']]".replace("{'a', 'b'}", repr({"a", "b"}))
        assert world.attempts("liar") == [1, 2]
        assert job.words == ["nothing []"]

    async def test_one_that_fails_is_tried_again_alone(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("left", *oops(2))
        async with running(system, world, Spread, store=stores()) as s:
            await ended(await Spread.start(s, Job(), id="o"))
        assert (world.tried.count("left"), world.tried.count("right")) == (3, 1)
        assert len(set(world.keys("left"))) == 1

    async def test_one_that_has_failed_for_good_lets_the_run_fail_and_go_on_when_it_is_redriven(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        world.plan("left", *oops(3))
        world.plan("right", sleep(60.0))
        async with running(system, world, Spread, store=store) as s:
            run = await Spread.start(s, Job(), id="o")
            await advance(30.0)
            assert await run.status() == "waiting"
            with pytest.raises(RunFailed, match="number 3") as failed:
                await ended(run)
            assert [one.id async for one in Spread.runs(s, status="failed")] == ["o"]
            assert [letter.id for letter in await letters(store)] == [failed.value.letter]
            await run.redrive()
            assert (await ended(run)).words == ["pay", "both", "many"]
            assert world.tried.count("right") == 1

    async def test_several_that_have_failed_are_redriven_together(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("left", *oops(3))
        world.plan("right", *oops(3))
        async with running(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            assert await Spread.redrive(s) == 1
            await ended(run)

    async def test_a_signal_to_a_run_whose_branch_has_failed_does_not_hide_that(
        self, system: Systems, stores: Stores
    ) -> None:
        class Signalled(Spread):
            @signal(Fan.MANY, to=Fan.OFF)
            async def poke(self, job: Job) -> None: ...

        world = World()
        world.plan("left", *oops(3))
        async with running(system, world, Signalled, store=stores()) as s:
            run = await Signalled.start(s, Job(items=[1]), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            await run.signal(Signalled.poke)
            await advance(5.0)
            assert await run.status() == "failed"
            with pytest.raises(RunFailed):
                await ended(run)
            await run.redrive()
            await ended(run)
            assert await run.state() is Fan.OFF

    async def test_one_that_rejects_lets_the_others_end_and_then_the_run_goes_where_that_leads(
        self, system: Systems, stores: Stores
    ) -> None:
        async def tell_and_reject(me: Deeds) -> None:
            await me.ctx.ref("witness", Witness).tell(Witness.hear, "it")
            raise Reject("no")

        world = World()
        world.plan("left", tell_and_reject)
        world.plan("right", sleep(5.0))
        async with running(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "refund"]
            assert world.tried == ["pay", "left", "right", "refund"]
            assert await run.status() == "rejected"

    async def test_one_that_rejects_without_a_way_for_that_lets_the_run_fail(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        world.plan("item 1", no("out of stock"))
        async with running(system, world, Spread, store=store) as s:
            run = await Spread.start(s, Job(items=[1]), id="o")
            with pytest.raises(RunFailed, match="out of stock"):
                await ended(run)
            assert [letter.reason for letter in await letters(store)] == ["rejected"]
            await run.redrive(Spread.many)
            await advance(1.0)
            assert (await ended(run)).items == [1]

    async def test_the_method_that_joins_them_has_attempts_and_the_branches_are_not_done_again(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("both", *oops(2))
        async with running(system, world, Spread, store=stores()) as s:
            await ended(await Spread.start(s, Job(), id="o"))
        assert (world.tried.count("both"), world.tried.count("left")) == (3, 1)

    @pytest.mark.parametrize("number", [0, 1, 3, 17])
    async def test_no_more_run_at_once_than_may_and_all_are_done(
        self, system: Systems, stores: Stores, number: int
    ) -> None:
        world = World()
        for item in range(number):
            world.plan(f"item {item}", sleep(1.0 + item % 3))
        async with running(system, world, Spread, store=stores()) as s:
            job = await ended(await Spread.start(s, Job(items=list(range(number))), id="o"))
        assert job.items == [item * item for item in range(number)]
        assert world.most == max(1, min(3, number))

    async def test_one_that_has_failed_makes_room_for_the_next(self, system: Systems, stores: Stores) -> None:
        world = World()
        for item in range(3):
            world.plan(f"item {item}", *oops(3))
        async with running(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(items=list(range(6))), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            assert {f"item {item}" for item in (3, 4, 5)} <= set(world.done)
            await run.redrive()
            assert (await ended(run)).items == [0, 1, 4, 9, 16, 25]

    async def test_they_go_on_after_a_restart_and_those_that_are_done_are_not_done_again(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("right", sleep(100.0))
        async with running(system, world, Spread, store=stores(), grace=0.1) as s:
            await Spread.start(s, Job(items=[1, 2, 3, 4]), id="o")
            await advance(5.0)
        async with running(system, world, Spread, store=stores()) as s:
            await ended(Spread.run(s, "o"))
        assert (world.tried.count("left"), world.tried.count("right")) == (1, 2)
        assert set(world.times.values()) == {1}
