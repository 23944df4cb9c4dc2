"""The laws of what is done by hand: looking through runs, redriving them, singly and in bulk, and forgetting them."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    Invoice,
    Job,
    Line,
    Order,
    World,
    ended,
    lines,
    names,
    no,
    oops,
    running,
    sleep,
)
from upright.actors.testing import advance
from upright.persistence import RunFailed, RunNotFound
from upright.persistence.run_record import HISTORY, HistoryEvent, RunRecord

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def found(kind: Any, system: Any, **only: Any) -> list[str]:
    return [one.id async for one in kind.runs(system, **only)]


class TestRedrive:
    async def test_the_step_that_failed_has_new_attempts(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", *oops(5))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed, match="number 3"):
                await ended(run)
            await run.redrive()
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert world.tried == ["pay", *["pack"] * 6, "send"]
            assert len(set(world.keys("pack"))) == 1

    async def test_it_may_fail_again_and_be_redriven_again(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", *oops(6))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            for last in (3, 6):
                with pytest.raises(RunFailed, match=f"number {last}"):
                    await ended(run)
                assert await run.status() == "failed"
                await run.redrive()
            await ended(run)

    async def test_while_its_attempts_go_on_it_is_not_said_to_have_failed(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("pack", *oops(4))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            await run.redrive()
            await advance(0.5)
            assert await run.status() == "retrying"
            assert await found(Order, s, status="retrying") == ["o"]
            assert await found(Order, s, status="failed") == []

    async def test_one_that_is_discarded_from_quarantine_has_failed_still(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        world.plan("pack", *oops(3))
        async with running(system, world, Order, store=store) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed) as failed:
                await ended(run)
            await store.quarantine.discard(failed.value.letter)
            with pytest.raises(RunFailed):
                await ended(run)
            with pytest.raises(RunNotFound, match="expected run 'o' to wait in quarantine"):
                await run.redrive()
            await run.redrive(Order.pack)
            await advance(1.0)
            await ended(run)

    async def test_what_has_not_failed_cannot_be_redriven(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            with pytest.raises(RunNotFound, match="expected run 'o' to wait in quarantine, it is completed"):
                await run.redrive()

    async def test_from_an_earlier_step_what_was_done_since_is_done_again_under_new_keys(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            await run.redrive(Order.pack)
            await advance(1.0)
            assert (await ended(run)).words == ["pay", "pack", "send", "pack", "send"]
            assert len(world.effects) == 5
            assert [one.step for one in await lines(run, "redriven")] == ["pack"]

    async def test_a_run_that_was_rejected_may_be_redriven_and_takes_back_only_what_is_done_since(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("pack", no(), no())
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            await run.redrive(Order.pay)
            await advance(1.0)
            assert (await ended(run)).words == ["pay", "refund", "pay", "refund"]
            assert len(world.effects) == 4

    async def test_from_an_earlier_step_while_another_runs_that_one_comes_to_its_end_before(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("pack", sleep(5.0))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await world.until("pack")
            await run.redrive(Order.pay)
            await advance(10.0)
            assert (await ended(run)).words == ["pay", "pack", "pay", "pack", "send"]
            assert world.times.total() == len(world.effects) == 5

    @pytest.mark.parametrize("step", [Invoice.ask, print, "pay"])
    async def test_from_what_is_no_step_of_it_nothing_is_redriven(
        self, system: Systems, stores: Stores, step: Any
    ) -> None:
        async with running(system, World(), Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            with pytest.raises(LookupError, match="expected a step of Order, got"):
                await run.redrive(step)
            await advance(1.0)
            assert await run.status() == "completed"

    async def test_in_bulk_all_that_have_failed_and_no_other(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", *oops(9))
        async with running(system, world, Order, store=stores()) as s:
            for number in range(3):
                await Order.start(s, Job(), id=f"o{number}")
            await advance(10.0)
            world.plan("send", no(), *oops(3))
            runs = [Order.run(s, id) for id in await found(Order, s, status="failed")]
            assert len(runs) == 3
            assert await Order.redrive(s, state=Line.NEW) == 0
            assert await Order.redrive(s, state=Line.PAID) == 3
            assert await Order.redrive(s) == 0  # they are on their way
            await advance(10.0)
            assert await found(Order, s, status="failed") == []
            assert sorted([str(await run.state()) for run in runs]) == ["away", "away", "later"]

    async def test_in_bulk_from_an_earlier_step(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", *oops(6))
        async with running(system, world, Order, store=stores()) as s:
            for number in range(2):
                await Order.start(s, Job(), id=f"o{number}")
            await advance(10.0)
            assert await Order.redrive(s, step=Order.pay) == 2
            await advance(10.0)
            assert [one.status async for one in Order.runs(s)] == ["completed"] * 2
            assert world.tried.count("pay") == 4

    async def test_by_the_quarantine_itself_too(self, system: Systems, stores: Stores) -> None:
        world, store = World(), stores()
        world.plan("pack", *oops(3))
        async with running(system, world, Order, store=store) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            assert await store.quarantine.redrive_all() == 1
            await ended(run)
            assert await letters(store) == []


class TestLooking:
    async def test_runs_are_found_by_status_and_by_state_in_the_order_of_their_ids(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            world.plan("pack", no())
            world.plan("send", no())
            for id in ("c", "ä", "b", "a"):
                await Order.start(s, Job(), id=id)
                await advance(1.0)
            assert await found(Order, s) == ["a", "b", "c", "ä"]
            assert await found(Order, s, status="completed") == ["a", "b"]
            assert await found(Order, s, status="rejected") == await found(Order, s, state=Line.OFF) == ["c"]
            assert await found(Order, s, status="waiting", state=Line.LATER) == ["ä"]
            assert await found(Order, s, status="waiting", state=Line.AWAY) == []
            assert await found(Order, s, limit=3) == ["a", "b", "c"]
            assert await found(Order, s, limit=0) == []
            (one,) = [one async for one in Order.runs(s, status="rejected")]
            assert one.state == "off"
            assert one.started <= one.changed

    async def test_more_than_a_page_of_them_is_found(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Invoice, store=stores()) as s:
            ids = [f"{number:03}" for number in range(201)]
            await asyncio.gather(*(Invoice.start(s, Job(), id=id) for id in ids))
            await advance(10.0)
            assert await found(Invoice, s, status="waiting") == ids
            assert await found(Invoice, s, limit=150) == ids[:150]

    async def test_a_line_of_the_history_tells_when_where_and_in_which_attempt(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        world.plan("pack", sleep(3.0), sleep(20.0))
        world.plan("pay", *oops(1))
        async with running(system, world, Order, store=store) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            history = await run.history()
            (done,) = [one for one in history if (one.name, one.step) == ("completed", "pack")]
            assert round(done.at - done.began) == 3
            assert (done.state, done.attempt) == ("paid", 1)
            assert done.owner
            assert [one.at for one in history] == sorted(one.at for one in history)
            assert [one.attempt for one in history if one.step == "pay"] == [1, 2]
            assert store.now() >= history[-1].at

    async def test_its_owner_is_named_as_in_the_story_of_the_message(self, system: Systems, stores: Stores) -> None:
        world, store = World(), stores()
        world.plan("pay", *oops(3))
        async with running(system, world, Order, store=store) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            (letter,) = await letters(store)
            assert [one.owner for one in await lines(run, "failed")] == [one.owner for one in letter.attempts]
        async with running(system, world, Order, store=stores()) as s:
            run = Order.run(s, "o")
            await run.redrive()
            await ended(run)
            (first, last) = (await lines(run, "failed"))[0], (await lines(run, "completed"))[0]
            assert first.owner != last.owner

    def test_of_a_long_history_the_beginning_and_the_newest_are_kept(self) -> None:
        record = RunRecord(1, "a", b"")
        for number in range(HISTORY + 50):
            record.tell(HistoryEvent(f"{number}", 0.0))
        assert [one.name for one in record.history] == ["0", *(f"{number}" for number in range(51, HISTORY + 50))]


class TestForgetting:
    async def test_only_runs_that_are_over_for_so_long_are_forgotten(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            await ended(await Order.start(s, Job(), id="old"))
            world.plan("pack", no(), *oops(3))
            await ended(await Order.start(s, Job(), id="rejected"))
            await Order.start(s, Job(), id="failed")
            await advance(100.0)
            await ended(await Order.start(s, Job(), id="new"))
            assert await Order.forget(s, older_than=200.0) == 0
            assert await Order.forget(s, older_than=50.0) == 2
            assert await found(Order, s) == ["failed", "new"]
            assert await Order.forget(s, older_than=50.0) == 0

    async def test_a_new_run_may_have_the_id_of_one_that_is_forgotten(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            await ended(await Order.start(s, Job(), id="o"))
            await advance(10.0)
            assert await Order.forget(s, older_than=1.0) == 1
            with pytest.raises(RunNotFound):
                await Order.run(s, "o").data()
            assert (await ended(await Order.start(s, Job(["second"]), id="o"))).words[0] == "second"
            assert "started" in await names(Order.run(s, "o"))
