"""The laws of what comes to a run that has failed: it waits for somebody, and what comes meanwhile is kept for it."""

from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    QUICK,
    Desk,
    Invoice,
    Job,
    Line,
    Order,
    World,
    ended,
    names,
    no,
    oops,
    running,
)
from upright.actors.testing import advance
from upright.persistence import RunFailed, parallel

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def failed(run: Any) -> int:
    """The message that it waits for, when it has failed."""
    with pytest.raises(RunFailed) as error:
        await ended(run)
    return error.value.letter


class Unsure(Invoice):
    """An invoice that is cancelled in the midst of something."""

    async def check(self, job: Job) -> None:
        await self.do(job, "check")

    @parallel(Desk.LATE, check, to=Desk.PAID, retry=QUICK)
    async def late(self, job: Job, results: list[None]) -> None: ...


async def test_a_signal_is_kept_nothing_is_done_for_it_and_it_is_used_when_the_run_comes_there(
    system: Systems, stores: Stores
) -> None:
    world, store = World(), stores()
    world.plan("ask", *oops(3))
    async with running(system, world, Invoice, store=store) as s:
        run = await Invoice.start(s, Job(), id="o")
        letter = await failed(run)
        await run.signal(Invoice.nudge)
        await run.signal(Invoice.pay, 5)
        await advance(60.0)
        assert world.tried == ["ask"] * 3
        assert await failed(run) == letter
        assert [one.id for one in await letters(store)] == [letter]
        assert [one.id async for one in Invoice.runs(s, status="failed")] == ["o"]
        await run.redrive()
        assert (await ended(run)).words == ["ask", "nudge", "pay 5 card"]
        assert await letters(store) == []


@pytest.mark.parametrize("how", ["reject", "cancel"])
async def test_an_undo_that_has_failed_for_good_is_not_tried_again_for_a_signal_or_a_cancel(
    system: Systems, stores: Stores, how: str
) -> None:
    world, store = World(), stores()
    world.plan("refund", *oops(3))
    world.plan("send", no("later"))
    if how == "reject":
        world.plan("pack", no())
    async with running(system, world, Order, store=store) as s:
        run = await Order.start(s, Job(), id="o")
        if how == "cancel":
            await advance(1.0)
            assert await run.state() is Line.LATER
            await run.cancel()
        letter = await failed(run)
        before = list(world.tried)
        await run.signal(Order.again)
        await run.cancel()
        await advance(60.0)
        assert world.tried == before
        assert await failed(run) == letter
        assert [one.id async for one in Order.runs(s, status="failed")] == ["o"]
        await run.redrive()
        assert (await ended(run)).words[-1] == "refund"
        assert await run.status() == ("rejected" if how == "reject" else "cancelled")
        assert world.tried == [*before, "refund"]
        assert await letters(store) == []


async def test_a_signal_to_one_whose_branch_has_failed_is_kept_too(system: Systems, stores: Stores) -> None:
    world = World()
    world.plan("check", *oops(3))
    async with running(system, world, Unsure, store=stores()) as s:
        run = await Unsure.start(s, Job(), id="o")
        await advance(3700.0)
        letter = await failed(run)
        await run.signal(Unsure.nudge)
        await advance(5.0)
        assert await failed(run) == letter
        assert world.tried.count("check") == 3
        await run.redrive()
        assert (await ended(run)).words == ["ask", "remind"]


async def test_one_that_takes_the_place_of_a_signal_that_failed_and_fails_too_does_not_hide_it(
    system: Systems, stores: Stores
) -> None:
    world, store = World(), stores()
    for cents in (5, 6):
        world.plan(f"pay {cents} card", *oops(3))
    async with running(system, world, Invoice, store=store) as s:
        run = await Invoice.start(s, Job(), id="o")
        await run.signal(Invoice.pay, 5)
        letter = await failed(run)
        await run.signal(Invoice.pay, 6)
        await advance(30.0)
        assert len(await letters(store)) == 2
        assert await failed(run) == letter
        await run.redrive()
        assert (await ended(run)).words == ["ask", "pay 5 card"]


async def test_a_cancel_is_stored_before_the_first_undo(system: Systems, stores: Stores) -> None:
    world = World()
    world.plan("refund", *oops(3))
    async with running(system, world, Invoice, store=stores()) as s:
        run = await Invoice.start(s, Job(), id="o")
        await advance(1.0)
        await run.cancel()
        await failed(run)
        assert "cancelled" in await names(run)
        await run.signal(Invoice.pay, 5)
        await advance(4000.0)
        assert world.tried == ["ask", *["refund"] * 3]
        await run.redrive()
        assert (await ended(run)).words == ["ask", "refund"]
        assert await run.state() is Desk.OFF
