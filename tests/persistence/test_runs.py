"""The laws of starting runs and waiting for them: twice, from inside handlers, from other systems, and many at once."""

import asyncio
import enum
from functools import partial
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import Book, Stores, Worker, worker, worker_ref
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Invoice,
    Job,
    Line,
    Order,
    World,
    ended,
    hold,
    names,
    of,
    oops,
    running,
    sleep,
)
from tests.persistence.shop import twin
from upright.actors import WrongArguments
from upright.actors.testing import advance
from upright.persistence import RunFailed, StateMachine, Store, machine, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class TestStart:
    async def test_twice_with_one_id_is_one_run(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Order, store=stores()) as s:
            both = await asyncio.gather(*(Order.start(s, Job([word]), id="o") for word in "ab"))
            assert [(await ended(run)).words for run in both] == [["a", "pay", "pack", "send"]] * 2
            late = await Order.start(s, Job(["c"]), id="o")
            assert (await ended(late)).words[0] == "a"
            await advance(10.0)
            assert len(world.tried) == 3
        async with running(system, world, Order, store=stores()) as s:
            assert (await ended(await Order.start(s, Job(["d"]), id="o"))).words[0] == "a"

    async def test_what_is_no_id_or_no_data_or_no_machine_is_refused(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Order, store=stores()) as s:
            for id in ("", None, 5):
                with pytest.raises(ValueError, match=f"expected id to be a string that is not empty, got {id!r}"):
                    await Order.start(s, Job(), id=id)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="expected"):
                await Order.start(s, Job(), id="\ud800")
            with pytest.raises(WrongArguments, match="Order: expected data to be Job, got str"):
                await Order.start(s, "x", id="o")  # type: ignore[arg-type]
            with pytest.raises(LookupError, match="expected one machine of Invoice in this system, got none: put mach"):
                await Invoice.start(s, Job(), id="o")
            with pytest.raises(LookupError, match="expected one machine of Order in this system, got none"):
                await Order.start(s, Job(), id="o", name="other")
            assert [one async for one in Order.runs(s)] == []

    async def test_of_two_machines_of_one_class_one_has_to_be_named(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, of(Order, world, "a"), of(Order, world, "b"), store=stores()) as s:
            with pytest.raises(LookupError, match="got /top/a, /top/b"):
                await Order.start(s, Job(), id="o")
            run = await Order.start(s, Job(), id="o", name="b")
            await ended(run)
            assert await Order.run(s, "o", name="a").history() == []
            assert [one.id async for one in Order.runs(s, name="b")] == ["o"]

    @pytest.mark.parametrize("fails", [0, 2, 3])
    async def test_inside_a_delivery_it_starts_with_its_end_or_never(
        self, system: Systems, stores: Stores, fails: int
    ) -> None:
        world, book = World(), Book()
        left = [fails]

        @book.deed
        async def begin(me: Worker) -> None:
            run = await Order.start(me.ctx, Job([f"{left[0]}"]), id=f"o{left[0]}")
            assert await run.history() == []
            left[0] -= 1
            if left[0] >= 0:
                raise Oops("on purpose")

        async with running(system, world, Order, worker(book), store=stores()) as s:
            await worker_ref(s).tell(Worker.do, begin)
            await advance(10.0)
            runs = [one.id async for one in Order.runs(s)]
            assert runs == ([] if fails == 3 else ["o0"])

    async def test_a_step_may_start_runs_of_another_machine_and_send_them_signals(
        self, system: Systems, stores: Stores
    ) -> None:
        async def bill(me: Deeds) -> None:
            run = await Invoice.start(me.ctx, Job(), id=f"bill {me.ctx.run}")
            await run.signal(Invoice.pay, 5)
            if me.ctx.attempt == 1:
                raise Oops("on purpose")

        world = World()
        world.plan("pay", bill, bill)
        async with running(system, world, of(Order, world, "o"), of(Invoice, world, "i"), store=stores()) as s:
            await ended(await Order.start(s, Job(), id="1"))
            assert (await ended(Invoice.run(s, "bill 1"))).words == ["ask", "pay 5 card"]
            assert world.tried.count("ask") == 1

    async def test_the_constructor_may_have_arguments_and_each_step_has_an_instance_of_its_own(
        self, system: Systems, stores: Stores
    ) -> None:
        made: list[Any] = []

        class Made(Order):
            def __init__(self, world: World, *, client: str) -> None:
                super().__init__(world)
                self.client = client
                made.append(self)

        world = World()
        spec = machine("m", partial(Made, world, client="c"))
        async with running(system, world, spec, store=stores()) as s:
            await ended(await Made.start(s, Job(), id="o"))
        assert len(made) == 3
        assert {one.client for one in made} == {"c"}


class TestResult:
    async def test_any_number_may_wait_for_it_and_all_hear_of_it_at_once(self, system: Systems, stores: Stores) -> None:
        world, gate = World(), asyncio.Event()
        world.plan("send", hold(gate))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            waiters = [asyncio.ensure_future(one.result()) for one in (run, run, Order.run(s, "o"))]
            waiters.append(gone := asyncio.ensure_future(run.result()))
            await world.until("send")
            gone.cancel()
            gate.set()
            began = asyncio.get_running_loop().time()
            assert [(await one).words[-1] for one in waiters[:3]] == ["send"] * 3
            assert asyncio.get_running_loop().time() - began < 0.9

    async def test_before_it_is_started_too(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Order, store=stores()) as s:
            waiter = asyncio.ensure_future(Order.run(s, "o").result())
            await advance(5.0)
            await Order.start(s, Job(), id="o")
            assert (await waiter).words == ["pay", "pack", "send"]

    async def test_all_who_wait_hear_of_a_failure(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pay", *oops(3))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            waiters = [asyncio.ensure_future(run.result()) for _ in range(3)]
            for waiter in waiters:
                with pytest.raises(RunFailed):
                    await waiter

    async def test_nobody_who_has_waited_leaves_anything_behind(self, system: Systems, stores: Stores) -> None:
        store = stores()
        async with running(system, World(), Order, store=store) as s:
            waiters = [asyncio.ensure_future(Order.run(s, "o").result()) for _ in range(5)]
            await advance(10.0)
            for waiter in waiters:
                waiter.cancel()
            await advance(1.0)
            assert store.arrivals._waiting == {}


class TestElsewhere:
    async def test_a_system_that_runs_no_actors_starts_runs_and_waits_for_them(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        async with (
            running(system, world, Order, store=store) as there,
            running(system, world, Order, store=twin(store, stores), only=()) as here,
        ):
            run = await Order.start(here, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert (await run.status(), await run.state()) == ("completed", Line.AWAY)
            assert await names(run) == await names(Order.run(there, "o"))

    async def test_two_systems_share_the_runs_and_each_step_is_done_once(self, system: Systems, stores: Stores) -> None:
        world, store = World(), stores()
        for word in ("ask", "nudge"):
            world.plan(word, *[sleep(0.01 * (number % 3)) for number in range(200)])
        async with (
            running(system, world, Invoice, store=store) as a,
            running(system, world, Invoice, store=twin(store, stores)) as b,
        ):
            runs = [await Invoice.start((a, b)[number % 2], Job(), id=f"{number}") for number in range(20)]
            for turn in range(4):
                for number, run in enumerate(runs):
                    await (run if turn % 2 else Invoice.run((b, a)[number % 2], run.id)).signal(Invoice.nudge)
                await advance(0.05)
            for run in runs:
                await run.signal(Invoice.pay, 1)
            for run in runs:
                assert (await ended(run)).words == ["ask", *["nudge"] * 4, "pay 1 card"]
            assert set(world.times.values()) == {1}


class Batch(enum.Enum):
    START = 1
    NEXT = 2
    END = 3


class Slow(Deeds):
    State = Batch
    initial = Batch.START

    @step(Batch.START, to=Batch.NEXT, retry=QUICK)
    async def first(self, job: Job) -> None:
        await self.do(job, "first")

    @step(Batch.NEXT, to=Batch.END, retry=QUICK)
    async def second(self, job: Job) -> None:
        await self.do(job, "second")


class TestMany:
    @pytest.mark.parametrize("at_once", [1, 3, 100])
    async def test_no_more_steps_run_at_once_than_may(self, system: Systems, stores: Stores, at_once: int) -> None:
        world = World()
        for name in ("first", "second"):
            world.plan(name, *[sleep(1.0 + 0.1 * (number % 7)) for number in range(30)])
        async with running(system, world, of(Slow, world, at_once=at_once), store=stores()) as s:
            runs = [await Slow.start(s, Job(), id=f"{number}") for number in range(30)]
            for run in runs:
                assert (await ended(run)).words == ["first", "second"]
        assert world.most == min(at_once, 30)

    async def test_kinds_of_data_are_what_the_class_says(self, system: Systems, stores: Stores) -> None:
        class Listed(StateMachine[list[int]]):
            State = Batch
            initial = Batch.START

            @step(Batch.START, to=Batch.NEXT)
            async def first(self, data: list[int]) -> None:
                data.append(len(data))

            @step(Batch.NEXT, to=Batch.END)
            async def second(self, data: list[int]) -> None:
                data.clear()

        store: Store = stores()
        async with running(system, World(), machine("m", Listed), store=store) as s:
            assert await ended(await Listed.start(s, [5, 6], id="o")) == []
