"""The laws of taking back: after a `Reject` or a cancel, the latest first, each once, whatever fails meanwhile."""

import asyncio
import enum
from typing import Any, ClassVar

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Desk,
    Invoice,
    Job,
    Line,
    Order,
    Spread,
    Witness,
    World,
    ended,
    hold,
    lines,
    names,
    no,
    oops,
    running,
    sleep,
)
from upright.actors.testing import advance
from upright.persistence import Reject, RunFailed, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Trip(enum.Enum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"
    HOME = "home"
    OFF = "off"


class Travel(Deeds):
    """Three bookings that can be taken back, in a circle if it is so wished, then a wait."""

    State = Trip
    initial = Trip.A
    cancelled = Trip.OFF

    async def undo_a(self, job: Job) -> None:
        await self.do(job, "undo_a")

    async def undo_b(self, job: Job) -> None:
        await self.do(job, "undo_b")

    async def undo_c(self, job: Job) -> None:
        await self.do(job, "undo_c")

    @step(Trip.A, to=Trip.B, undo=undo_a, retry=QUICK)
    async def a(self, job: Job) -> None:
        await self.do(job, "a")

    @step(Trip.B, to=Trip.C, undo=undo_b, retry=QUICK, on_reject=Trip.HOME)
    async def b(self, job: Job) -> None:
        await self.do(job, "b")

    @step(Trip.C, to=Trip.A, undo=undo_c, retry=QUICK, when=lambda job: job.words.count("a") < 2 and job.way == "twice")
    async def c_again(self, job: Job) -> None:
        await self.do(job, "c_again")

    @step(Trip.C, to=Trip.D, undo=undo_c, retry=QUICK, on_reject=Trip.HOME)
    async def c(self, job: Job) -> None:
        await self.do(job, "c")

    @signal(Trip.D, to=Trip.HOME, on_reject=Trip.HOME, on_failure=Trip.HOME, retry=QUICK)
    async def fly(self, job: Job) -> None:
        await self.do(job, "fly")


class TestReject:
    async def test_one_that_leads_to_a_final_state_takes_back_what_was_done_the_latest_first(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("c", no("full"))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            assert (await ended(run)).words == ["a", "b", "undo_b", "undo_a"]
            assert (await run.status(), await run.state()) == ("rejected", Trip.HOME)
            assert (await names(run))[-6:] == [
                "entered", "rejected c", "compensated b", "compensated a", "entered", "finished",
            ]  # fmt: skip
            assert world.times.total() == len(world.effects) == 4

    async def test_each_time_that_a_step_was_done_is_taken_back_under_a_key_of_its_own(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("c", no())
        async with running(system, world, Travel, store=stores()) as s:
            job = await ended(await Travel.start(s, Job(way="twice"), id="o"))
        assert job.words == ["a", "b", "c_again", "a", "b", "undo_b", "undo_a", "undo_c", "undo_b", "undo_a"]
        assert len(world.effects) == 10

    async def test_one_that_leads_elsewhere_takes_nothing_back(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("send", no("closed"))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await advance(10.0)
            assert (await run.status(), await run.state()) == ("waiting", Line.LATER)
            assert (await run.data()).words == ["pay", "pack"]
            await run.signal(Order.again)
            assert (await ended(run)).words == ["pay", "pack", "again", "send"]
            first, second = world.keys("send")
            assert first != second  # or a third party would say no for ever

    async def test_the_step_itself_leaves_nothing_behind(self, system: Systems, stores: Stores) -> None:
        async def tell_and_reject(me: Deeds) -> None:
            await me.ctx.ref("witness", Witness).tell(Witness.hear, "it")
            raise Reject("no")

        world = World()
        world.plan("b", tell_and_reject)
        async with running(system, world, Travel, store=stores()) as s:
            assert (await ended(await Travel.start(s, Job(), id="o"))).words == ["a", "undo_a"]
            await advance(1.0)
            assert world.tried == ["a", "b", "undo_a"]

    async def test_one_without_a_way_waits_in_quarantine_at_once(self, system: Systems, stores: Stores) -> None:
        world, store = World(), stores()
        world.plan("a", no("not today"))
        async with running(system, world, Travel, store=store) as s:
            run = await Travel.start(s, Job(), id="o")
            with pytest.raises(RunFailed, match="run o has failed in state a: Reject: not today"):
                await ended(run)
            assert [(letter.reason, len(letter.attempts)) for letter in await letters(store)] == [("rejected", 1)]
            await run.redrive()
            await advance(1.0)
            assert (await run.data()).words == ["a", "b", "c"]

    async def test_an_undo_that_fails_is_tried_again_and_the_others_are_not(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("c", no())
        world.plan("undo_a", *oops(2))
        async with running(system, world, Travel, store=stores()) as s:
            assert (await ended(await Travel.start(s, Job(), id="o"))).words == ["a", "b", "undo_b", "undo_a"]
        assert world.tried == ["a", "b", "c", "undo_b", "undo_a", "undo_a", "undo_a"]
        assert len(set(world.keys("undo_a"))) == 1

    async def test_an_undo_that_has_failed_for_good_waits_in_quarantine_and_goes_on_from_there(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        world.plan("c", no())
        world.plan("undo_b", *oops(2), no("never"))
        async with running(system, world, Travel, store=store) as s:
            run = await Travel.start(s, Job(), id="o")
            with pytest.raises(RunFailed, match="never"):
                await ended(run)
            assert (await run.status(), len(await letters(store))) == ("failed", 1)
            assert [one.id async for one in Travel.runs(s, status="failed")] == ["o"]
            await run.redrive()
            assert (await ended(run)).words == ["a", "b", "undo_b", "undo_a"]
            assert await run.status() == "rejected"
            assert len(world.effects) == 4

    async def test_it_goes_on_after_a_restart_in_the_midst_of_it(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("c", no())
        world.plan("undo_b", sleep(100.0))
        async with running(system, world, Travel, store=stores(), grace=0.1) as s:
            await Travel.start(s, Job(), id="o")
            await world.until("undo_b")
        async with running(system, world, Travel, store=stores()) as s:
            run = Travel.run(s, "o")
            assert (await ended(run)).words == ["a", "b", "undo_b", "undo_a"]
            assert await lines(run, "failed") == []  # a shutdown costs no attempt


class TestCancel:
    async def test_a_run_that_waits_takes_back_what_was_done(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            await advance(1.0)
            await run.cancel("the weather")
            assert (await ended(run)).words == ["a", "b", "c", "undo_c", "undo_b", "undo_a"]
            assert (await run.status(), await run.state()) == ("cancelled", Trip.OFF)
            assert [one.error for one in await lines(run, "cancelled")] == ["the weather"]

    async def test_a_step_that_runs_comes_to_its_end_before_and_is_taken_back_too(
        self, system: Systems, stores: Stores
    ) -> None:
        world, gate = World(), asyncio.Event()
        world.plan("b", hold(gate))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            await world.until("b")
            await run.cancel()
            await advance(5.0)
            gate.set()
            assert (await ended(run)).words == ["a", "b", "undo_b", "undo_a"]

    @pytest.mark.parametrize("fails", [1, 2, 3])
    async def test_a_step_that_is_tried_again_comes_to_its_end_before(
        self, system: Systems, stores: Stores, fails: int
    ) -> None:
        world = World()
        world.plan("b", *oops(fails))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            await world.until("b")
            await run.cancel()
            await advance(10.0)
            done = ["a", "b", "undo_b", "undo_a"] if fails < 3 else ["a", "undo_a"]
            assert (await ended(run)).words == done
            assert await run.status() == "cancelled"

    async def test_a_run_that_has_failed_is_taken_back_without_being_mended(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("b", *oops(3))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            await run.cancel()
            await advance(1.0)
            assert (await ended(run)).words == ["a", "undo_a"]

    async def test_an_undo_that_fails_at_first_does_not_let_it_stand_still(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("undo_c", *oops(2))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            await advance(1.0)
            await run.cancel()
            assert (await ended(run)).words[3:] == ["undo_c", "undo_b", "undo_a"]

    async def test_what_is_over_stays_as_it_is(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            before = await run.history()
            await run.cancel()
            await Order.run(s, "nobody").cancel()
            await advance(10.0)
            *others, told = await run.history()
            assert (await run.status(), others) == ("completed", before)
            assert (told.name, told.error) == ("cancelled", "it is over, nothing came of it: cancelled by hand")
            assert [one.id async for one in Order.runs(s)] == ["o"]

    async def test_twice_is_once_and_a_signal_after_it_comes_too_late(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("undo_c", sleep(5.0))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            await advance(1.0)
            for _ in range(3):
                await run.cancel()
            await run.signal(Travel.fly)
            assert (await ended(run)).words[3:] == ["undo_c", "undo_b", "undo_a"]
            assert len(await lines(run, "cancelled")) == 1

    async def test_while_it_is_taken_back_already_it_ends_as_it_would_have(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("c", no())
        world.plan("undo_b", sleep(5.0))
        async with running(system, world, Travel, store=stores()) as s:
            run = await Travel.start(s, Job(), id="o")
            await world.until("undo_b")
            await run.cancel()
            assert (await ended(run)).words == ["a", "b", "undo_b", "undo_a"]
            assert (await run.status(), await run.state()) == ("rejected", Trip.HOME)

    async def test_branches_that_are_under_way_come_to_their_end_before(self, system: Systems, stores: Stores) -> None:
        world, gate = World(), asyncio.Event()
        world.plan("left", hold(gate))
        async with running(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(items=[1, 2]), id="o")
            await world.until("left")
            await run.cancel()
            await advance(5.0)
            assert await run.status() == "waiting"
            gate.set()
            assert (await ended(run)).words == ["pay", "both", "unpack", "refund"]

    async def test_with_a_branch_that_has_failed_it_takes_back_what_was_done_before(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("left", *oops(3))
        async with running(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            await run.cancel()
            await advance(1.0)
            assert (await ended(run)).words == ["pay", "refund"]

    async def test_without_a_state_for_it_the_run_stays_where_it_is(self, system: Systems, stores: Stores) -> None:
        class Bare(Invoice):
            cancelled: ClassVar[Any] = None

            @signal(Desk.ASKED, to=Desk.OFF)
            async def off(self, job: Job) -> None: ...

        async with running(system, World(), Bare, store=stores()) as s:
            run = await Bare.start(s, Job(), id="o")
            await run.cancel()
            assert (await ended(run)).words == ["ask", "refund"]
            assert (await run.status(), await run.state()) == ("cancelled", Desk.ASKED)
