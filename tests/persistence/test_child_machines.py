"""The laws of runs that wait for runs of other machines."""

import asyncio
import enum
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Job,
    Order,
    World,
    ended,
    hold,
    lines,
    no,
    of,
    oops,
    running,
)
from upright.actors.testing import advance
from upright.persistence import RunFailed, after, call, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Group(enum.Enum):
    START = "start"
    WAIT = "wait"
    DONE = "done"
    AGAIN = "again"
    OFF = "off"


class Parent(Deeds):
    """Has an order run, after a step of its own."""

    State = Group
    initial = Group.START
    cancelled = Group.OFF

    @step(Group.START, to=Group.WAIT, undo=Deeds.refund, retry=QUICK)
    async def reserve(self, job: Job) -> None:
        await self.do(job, "reserve")

    @call(
        Group.WAIT, Order, given=lambda job: Job([f"for {job.way}"]), to=Group.DONE, on_reject=Group.AGAIN, retry=QUICK
    )
    async def ordered(self, job: Job, order: Job) -> None:
        job.way = " ".join(order.words)
        await self.do(job, "ordered")

    @signal(Group.AGAIN, to=Group.WAIT)
    async def again(self, job: Job) -> None: ...

    @signal(Group.AGAIN, to=Group.OFF)
    async def give_up(self, job: Job) -> None: ...

    @after(500.0, Group.WAIT, to=Group.AGAIN)
    async def impatient(self, job: Job) -> None: ...


class TestChildren:
    async def test_the_method_gets_what_the_other_run_has_made(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, of(Parent, world, "p"), of(Order, world, "o"), store=stores()) as s:
            run = await Parent.start(s, Job(way="me"), id="a/b#c")
            assert (await ended(run)).way == "for me pay pack send"
            (child,) = [one async for one in Order.runs(s)]
            assert (child.status, "a/b#c" in child.id) == ("completed", True)

    async def test_runs_with_the_same_id_of_two_machines_have_children_of_their_own(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        specs = of(Parent, world, "p"), of(Parent, world, "q"), of(Order, world, "o")
        async with running(system, world, *specs, store=stores()) as s:
            runs = [await Parent.start(s, Job(way=name), id="same", name=name) for name in "pq"]
            assert [(await ended(run)).way for run in runs] == ["for p pay pack send", "for q pay pack send"]

    async def test_one_that_was_rejected_counts_as_a_reject_and_the_next_time_there_is_another(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("pack", no())
        async with running(system, world, of(Parent, world, "p"), of(Order, world, "o"), store=stores()) as s:
            run = await Parent.start(s, Job(), id="r")
            await advance(10.0)
            assert await run.state() is Group.AGAIN
            await run.signal(Parent.again)
            assert (await ended(run)).words == ["reserve", "ordered"]
            assert [one.status async for one in Order.runs(s)] == ["rejected", "completed"]

    @pytest.mark.parametrize("how", ["cancel", "time"])
    async def test_one_that_is_waited_for_no_more_is_cancelled(self, system: Systems, stores: Stores, how: str) -> None:
        world = World()
        world.plan("send", no("later"))  # and so it waits for a signal that never comes
        async with running(system, world, of(Parent, world, "p"), of(Order, world, "o"), store=stores()) as s:
            run = await Parent.start(s, Job(), id="r")
            await advance(10.0)
            if how == "cancel":
                await run.cancel()
                assert (await ended(run)).words == ["reserve", "refund"]
                assert await run.status() == "cancelled"
            else:
                await advance(600.0)
                assert await run.state() is Group.AGAIN
            (child,) = [one async for one in Order.runs(s)]
            assert child.status == "cancelled"
            assert (await Order.run(s, child.id).data()).words[-2:] == ["unpack", "refund"]

    async def test_one_that_fails_is_waited_for_until_it_is_mended(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pay", *oops(3))
        async with running(system, world, of(Parent, world, "p"), of(Order, world, "o"), store=stores()) as s:
            run = await Parent.start(s, Job(), id="r")
            await advance(10.0)
            assert await run.status() == "waiting"
            assert await Order.redrive(s) == 1
            await ended(run)

    async def test_without_such_a_machine_in_the_system_the_step_fails(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Parent, store=stores()) as s:
            run = await Parent.start(s, Job(), id="r")
            with pytest.raises(RunFailed, match="expected one machine of Order in this system, found 0"):
                await ended(run)
            assert {one.step for one in await lines(run, "failed")} == {"ordered"}

    async def test_the_tree_may_change_while_a_child_runs(self, system: Systems, stores: Stores) -> None:
        world, gate = World(), asyncio.Event()
        world.plan("pay", hold(gate))
        specs = of(Parent, world, "p", address="parents"), of(Order, world, "o", address="orders")
        async with running(system, world, *specs, store=stores(), grace=0.1) as s:
            await Parent.start(s, Job(), id="r")
            await world.until("pay")
        gate.set()
        specs = of(Parent, world, "elsewhere", address="parents"), of(Order, world, "too", address="orders")
        async with running(system, world, *specs, store=stores()) as s:
            assert (await ended(Parent.run(s, "r"))).words == ["reserve", "ordered"]
