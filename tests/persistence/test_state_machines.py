"""The laws of the way of a run: which step comes next, under which key, and what guards around its calls do to it."""

import asyncio
import enum
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Job,
    Line,
    Order,
    World,
    ended,
    hold,
    lines,
    names,
    no,
    of,
    oops,
    running,
)
from upright.actors import Refuse
from upright.actors.testing import settle
from upright.persistence import RunFailed, step
from upright.supervision import Backoff, CircuitBreaker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Fork(enum.Enum):
    START = 1
    LEFT = 2
    RIGHT = 3
    END = 4


class Forked(Deeds):
    State = Fork
    initial = Fork.START

    @step(Fork.START, to=Fork.END, retry=QUICK)
    async def otherwise(self, job: Job) -> None:
        await self.do(job, "otherwise")

    @step(Fork.START, to=Fork.LEFT, when=lambda job: "l" in job.way, retry=QUICK)
    async def left(self, job: Job) -> None:
        await self.do(job, "left")

    @step(Fork.START, to=Fork.RIGHT, when=lambda job: "r" in job.way, retry=QUICK)
    async def right(self, job: Job) -> None:
        await self.do(job, "right")

    @step(Fork.LEFT, to=Fork.START, when=lambda job: len(job.words) < 4, retry=QUICK)
    async def back(self, job: Job) -> None:
        await self.do(job, "back")

    @step(Fork.LEFT, to=Fork.END, retry=QUICK)
    async def enough(self, job: Job) -> None:
        await self.do(job, "enough")

    @step(Fork.RIGHT, to=Fork.END, when=lambda job: 1 // len(job.items) > 0, retry=QUICK)
    async def divide(self, job: Job) -> None:
        await self.do(job, "divide")


class TestWay:
    async def test_a_run_does_its_steps_in_order_each_once(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await ended(run)).words == world.done == world.tried == ["pay", "pack", "send"]
            assert await run.state() is Line.AWAY
            assert await run.status() == "completed"
            assert await names(run) == [
                "started", "entered", "completed pay", "entered", "completed pack", "entered", "completed send",
                "entered", "finished",
            ]  # fmt: skip

    async def test_each_step_has_a_key_of_its_own_in_each_run(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Order, of(Order, world, "n"), store=stores()) as s:
            for name, id in (("m", "a-b"), ("m", "a"), ("n", "a"), ("m", "ä/#?"), ("n", "ä/#?")):
                await ended(await Order.start(s, Job(), id=id, name=name))
        assert len(world.effects) == 15
        assert set(world.times.values()) == {1}
        assert all(key.isascii() for key in world.effects)

    async def test_keys_of_runs_and_of_machines_with_names_alike_are_not_the_same(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        specs = of(Order, world, "shop"), of(Order, world, "shop-eu")
        async with running(system, world, *specs, store=stores()) as s:
            for name, id in (("shop", "eu-1"), ("shop-eu", "1"), ("shop", "eu-1-undo"), ("shop", "eu-1/undo")):
                world.plan("pack", no())
                await ended(await Order.start(s, Job(), id=id, name=name))
        assert set(world.times.values()) == {1}

    async def test_the_first_step_whose_guard_lets_it_is_taken_and_the_one_without_a_guard_else(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        async with running(system, world, Forked, store=stores()) as s:
            for way, words in (("", ["otherwise"]), ("lr", ["left", "back"] * 2), ("r", ["right", "divide"])):
                job = await ended(await Forked.start(s, Job(way=way, items=[1]), id=f"way {way}"))
                assert job.words[:2] == words[:2]

    async def test_a_step_that_is_done_again_in_a_circle_has_a_new_key(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Forked, store=stores()) as s:
            job = await ended(await Forked.start(s, Job(way="l"), id="o"))
        assert job.words == ["left", "back", "left", "back", "left", "enough"]
        assert len(set(world.keys("left"))) == 3
        assert set(world.times.values()) == {1}

    async def test_a_guard_that_raises_is_tried_again_and_then_waits_in_quarantine(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        async with running(system, world, Forked, store=store) as s:
            run = await Forked.start(s, Job(way="r"), id="o")
            with pytest.raises(RunFailed, match="run o has failed in state 1: ZeroDivisionError"):
                await ended(run)
            assert (await run.data()).words == []
            assert len(set(world.keys("right"))) == 1  # what led there is done again, under its key
            assert [letter.reason for letter in await letters(store)] == ["attempts"]

    async def test_a_machine_whose_first_state_is_final_is_over_at_once(self, system: Systems, stores: Stores) -> None:
        class Short(Deeds):
            State = enum.Enum("State", ["ONLY"])
            initial = State.ONLY

        async with running(system, World(), Short, store=stores()) as s:
            run = await Short.start(s, Job(["x"]), id="o")
            assert (await ended(run)).words == ["x"]
            assert await run.status() == "completed"


class TestGuards:
    async def test_what_a_guard_refuses_is_put_off_and_costs_no_attempt(self, system: Systems, stores: Stores) -> None:
        policy = CircuitBreaker("bank", consecutive=1, wait=Backoff(30.0, 30.0, jitter="none"))

        async def guarded(me: Deeds) -> None:
            async with me.ctx.guard(policy):
                await me.world.call(me, "bank")

        world = World()
        world.plan("bank", *oops(1))
        world.plan("pack", *[guarded] * 100)
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert world.attempts("bank") == [1, 2]
            assert [one.error for one in await lines(run, "failed")] == ["Oops: number 1"]

    async def test_a_refusal_counts_as_a_rejection(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", Refuse("not today"))
        world.plan("pay", Refuse("never"))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed, match="never"):
                await ended(run)
            await run.redrive()
            assert (await ended(run)).words == ["pay", "refund"]
            assert await run.status() == "rejected"

    async def test_a_step_may_tell_how_far_it_got(self, system: Systems, stores: Stores) -> None:
        found: list[Any] = []

        async def far(me: Deeds) -> None:
            found.append(me.ctx.progress)
            await me.ctx.heartbeat({"page": len(found)})
            raise Oops("on purpose")

        world, gate = World(), asyncio.Event()
        world.plan("pay", far, far, hold(gate))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            gate.set()
            await ended(run)
            await settle()
        assert found == [None, {"page": 1}]
