"""The law of a cancel that comes too late: the history tells of it, and nothing comes of it."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores
from tests.persistence.machines import Job, Line, Order, World, ended, hold, lines, names, oops, running
from upright.actors.testing import advance
from upright.persistence import RunFailed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_a_cancel_while_the_last_step_is_in_hand_is_in_the_history_and_changes_nothing(
    system: Systems, stores: Stores
) -> None:
    world, gate = World(), asyncio.Event()
    world.plan("send", hold(gate))
    async with running(system, world, Order, store=stores()) as s:
        run = await Order.start(s, Job(), id="o")
        await world.until("send")
        await run.cancel("too late")
        gate.set()
        assert (await ended(run)).words == ["pay", "pack", "send"]
        before = [name for name in await names(run) if not name.startswith("cancelled")]
        await advance(10.0)
        (line,) = await lines(run, "cancelled")
        assert line.error == "it is over, nothing came of it: too late"
        assert await names(run) == [*before, "cancelled"], "it is the last line"
        assert (await run.status(), await run.state()) == ("completed", Line.AWAY)
        assert (await run.result()).words == world.tried == ["pay", "pack", "send"]


async def test_each_cancel_of_a_run_that_is_over_is_told_and_changes_nothing(system: Systems, stores: Stores) -> None:
    world = World()
    async with running(system, world, Order, store=stores()) as s:
        run = await Order.start(s, Job(), id="o")
        await ended(run)
        for why in ("once", "twice"):
            await run.cancel(why)
            await advance(1.0)
        told = [line.error for line in await lines(run, "cancelled")]
        assert told == [f"it is over, nothing came of it: {why}" for why in ("once", "twice")]
        assert (await run.status(), world.tried) == ("completed", ["pay", "pack", "send"])


async def test_a_run_that_was_cancelled_is_cancelled_once(system: Systems, stores: Stores) -> None:
    world, gate = World(), asyncio.Event()
    world.plan("pack", hold(gate))
    async with running(system, world, Order, store=stores()) as s:
        run = await Order.start(s, Job(), id="o")
        await world.until("pack")
        for why in ("first", "second"):
            await run.cancel(why)
        gate.set()
        await ended(run)
        await run.cancel("third")
        await advance(10.0)
        assert [line.error for line in await lines(run, "cancelled")] == ["first"]
        assert world.done == ["pay", "pack", "unpack", "refund"]


async def test_one_that_has_failed_may_still_be_cancelled(system: Systems, stores: Stores) -> None:
    world = World()
    world.plan("pay", *oops(3))
    async with running(system, world, Order, store=stores()) as s:
        run = await Order.start(s, Job(), id="o")
        with pytest.raises(RunFailed):
            await run.result()
        await run.cancel("give it up")
        await advance(10.0)
        assert [line.error for line in await lines(run, "cancelled")] == ["give it up"]
        assert await run.status() == "cancelled"
