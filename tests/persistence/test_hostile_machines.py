"""What somebody may try who wishes machines ill: claims lost in the midst of a step, steps that will not end, odd data,
odd enums, and messages sent twice.
"""

import asyncio
import contextlib
import dataclasses
import enum
import gc
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, Weather
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Desk,
    Fan,
    Invoice,
    Job,
    Order,
    Spread,
    Witness,
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
from tests.persistence.points import take_for_dead
from tests.persistence.shop import twin
from upright.actors import Ref
from upright.actors.testing import advance
from upright.persistence import OutcomeUnknown, StateMachine, StoreUnavailable, machine, signal, step
from upright.supervision import Backoff, CircuitBreaker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Two(enum.Enum):
    ON = 1
    OFF = 2
    ALSO_OFF = 2  # noqa: PIE796  # an alias, on purpose


class Flat(TypedDict):
    n: int


@dataclasses.dataclass
class Plain:
    n: int


def small(data: Any, deed: Any) -> Any:
    """A machine of one step for data of that type."""

    class Small(StateMachine[data]):
        State = Two
        initial = Two.ON

        @step(Two.ON, to=Two.ALSO_OFF, retry=QUICK)
        async def go(self, job: Any) -> None:
            deed(job)

    return Small


CASES: list[tuple[Any, Any, Callable[[Any], object], Any]] = [
    (Flat, {"n": 1}, lambda job: job.update(n=2), {"n": 2}),
    (Plain, Plain(1), lambda job: setattr(job, "n", 2), Plain(2)),
    (list[int], [1], lambda job: job.append(2), [1, 2]),
    (dict[str, list[int]], {"ä": [1]}, lambda job: job["ä"].append(2), {"ä": [1, 2]}),
    (int, 1, lambda job: None, 1),
    (set[str], {"a"}, lambda job: job.add("b"), {"a", "b"}),
    (bytes, b"x" * 3_000_000, lambda job: None, b"x" * 3_000_000),
]


class TestData:
    @pytest.mark.parametrize(
        ("kind", "given", "deed", "then"),
        CASES,
    )
    async def test_may_be_of_many_types(
        self, system: Systems, stores: Stores, kind: Any, given: Any, deed: Any, then: Any
    ) -> None:
        one = small(kind, deed)
        async with running(system, World(), machine("m", one), store=stores()) as s:
            run = await one.start(s, given, id="o")
            assert await ended(run) == then
            assert await run.state() is Two.OFF

    async def test_may_hold_refs(self, system: Systems, stores: Stores) -> None:
        class Told(StateMachine[list[Ref[Witness]]]):
            State = Two
            initial = Two.ON

            @step(Two.ON, to=Two.OFF)
            async def go(self, data: list[Ref[Witness]]) -> None:
                for one in data:
                    await one.tell(Witness.hear, self.ctx.run)

        world = World()
        async with running(system, world, machine("m", Told), store=stores()) as s:
            await ended(await Told.start(s, [s.ref("/top/witness", Witness)], id="ø"))
            await advance(1.0)
        assert world.tried == ["heard ø"]

    async def test_ids_may_be_whatever_can_be_written(self, system: Systems, stores: Stores) -> None:
        ids = [
            "o#both#0",
            "o",
            "/",
            "a/b",
            "ä",
            "🦆",
            "x" * 2000,
            "o\n",
            " ",
            "'; DROP TABLE record; --",
            "%",
            "-",
            "\0",
        ]
        world = World()
        async with running(system, world, Spread, store=stores()) as s:
            for id in ids:
                await Spread.start(s, Job(items=[1]), id=id)
            for id in ids:
                assert (await ended(Spread.run(s, id))).words == ["pay", "both", "many"]
            assert [one.id async for one in Spread.runs(s)] == sorted(ids)
        assert len(world.effects) == 6 * len(ids)


class TestSteps:
    async def test_one_that_will_not_be_cancelled_ends_as_it_ends(self, system: Systems, stores: Stores) -> None:
        async def deaf(me: Deeds) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(50.0)

        world = World()
        world.plan("pack", deaf)
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert await lines(run, "failed") == []

    @pytest.mark.parametrize("makes", ["nothing", "an error", "a rejection"])
    async def test_what_one_makes_of_the_shutdown_that_cuts_it_off_is_no_failure(
        self, system: Systems, stores: Stores, makes: str
    ) -> None:
        async def cut(me: Deeds) -> None:
            try:
                await asyncio.sleep(1000.0)
            except asyncio.CancelledError:
                if makes != "nothing":
                    raise (RuntimeError("cut") if makes == "an error" else no("cut")) from None  # type: ignore[misc]
                raise

        world = World()
        world.plan("send", cut)
        async with running(system, world, Order, store=stores(), grace=0.1) as s:
            await Order.start(s, Job(), id="o")
            await world.until("send")
        async with running(system, world, Order, store=stores()) as s:
            run = Order.run(s, "o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert [one for one in await names(run) if one.startswith(("failed", "rejected"))] == []
            assert world.attempts("send") == [1, 1]

    async def test_wrong_arguments_for_another_actor_are_an_error_and_no_rejection(
        self, system: Systems, stores: Stores
    ) -> None:
        async def wrong(me: Deeds) -> None:
            await me.ctx.ref("witness", Witness).tell(Witness.hear, 5)  # type: ignore[arg-type]

        world = World()
        world.plan("pack", wrong)
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert [one.error.partition(":")[0] for one in await lines(run, "failed")] == ["TypeError"]

    async def test_a_method_that_a_derived_class_overrides_is_the_one_that_is_called(
        self, system: Systems, stores: Stores
    ) -> None:
        class Derived(Spread):
            async def refund(self, job: Job) -> None:
                await self.do(job, "my refund")

            async def left(self, job: Job) -> str:
                return "mine"

            async def item(self, job: Job, number: int) -> int:
                return -number

        world = World()
        async with running(system, world, Derived, store=stores()) as s:
            job = await ended(await Derived.start(s, Job(items=[1, 2]), id="a"))
            assert (job.way, job.items) == ("['mine', 2]", [-1, -2])
            world.plan("right", no())
            job = await ended(await Derived.start(s, Job(), id="b"))
            assert job.words == ["pay", "my refund"]

    async def test_policies_of_the_machine_are_asked_before_each_of_its_steps(
        self, system: Systems, stores: Stores
    ) -> None:
        class Guarded(Order):
            uses = (CircuitBreaker("dep", consecutive=1, wait=Backoff(60.0, 60.0, jitter="none"), permits=1),)

        world = World()
        world.plan("pack", *oops(1))
        async with running(system, world, Guarded, store=stores()) as s:
            run = await Guarded.start(s, Job(), id="o")
            await world.until("pack")
            await advance(30.0)
            assert world.tried == ["pay", "pack"]
            assert (await ended(run)).words == ["pay", "pack", "send"]


class TestStore:
    @pytest.mark.parametrize(
        ("error", "when"), [(StoreUnavailable, "before"), (OutcomeUnknown, "before"), (OutcomeUnknown, "after")]
    )
    async def test_a_write_that_fails_or_of_which_nothing_is_known_loses_nothing(
        self, system: Systems, stores: Stores, error: type[Exception], when: str
    ) -> None:
        world, store = World(), stores()
        async with running(system, world, Spread, store=store, max_restarts=100) as s:
            weather = Weather(store)
            run = await Spread.start(s, Job(items=[1, 2, 3]), id="o")
            storms: list[Any] = weather.before if when == "before" else weather.after
            for _ in range(6):
                storms.append(error("a storm"))
                await advance(3.0)
            assert (await ended(run)).words == ["pay", "both", "many"]
        assert len(world.effects) == 8

    async def test_an_owner_that_comes_late_writes_nothing(self, system: Systems, stores: Stores) -> None:
        world, gate, store = World(), asyncio.Event(), stores()
        world.plan("pack", hold(gate))
        async with running(system, world, Order, store=store, max_restarts=100) as a:
            engine: Any = store._engine
            run = await Order.start(a, Job(), id="o")
            await world.until("pack")
            await take_away(engine)
            async with running(system, world, Order, store=twin(store, stores)) as b:
                there = Order.run(b, "o")
                assert (await ended(there)).words == ["pay", "pack", "send"]
                gate.set()
                await advance(10.0)
                assert (await run.data()).words == ["pay", "pack", "send"]
                assert await run.status() == "completed"
                assert len(world.effects) == 3
                assert (await names(run)).count("completed pack") == 1

    async def test_messages_that_come_twice_move_it_once(self, system: Systems, stores: Stores) -> None:
        class Twice(Spread):
            @signal(Fan.MANY, to=Fan.OFF)
            async def poke(self, job: Job) -> None: ...

        world, store = World(), stores()
        async with running(system, world, Twice, store=store) as s:
            put = store.put
            settle = store.settle

            def settle_twice(given: Any, settled: Any) -> None:
                settle(msgspec.structs.replace(given, outgoing=given.outgoing * 2), settled)

            doubled: Any = store
            doubled.settle = settle_twice
            run = await Twice.start(s, Job(items=[1, 2, 3, 4]), id="o")
            assert (await ended(run)).words == ["pay", "both", "many"]
            await advance(10.0)
            assert await run.status() == "completed"
            assert store.put == put
        assert len(set(world.effects.values())) == 9
        assert [key for key, times in world.times.items() if times > 2] == []


class TestMany:
    async def test_runs_that_wait_and_runs_that_are_over_leave_nothing_in_memory(
        self, system: Systems, stores: Stores
    ) -> None:
        world, before = World(), alive()
        world.plan("left", *oops(20))
        world.plan("pay", *oops(50))
        async with running(system, world, of(Invoice, world, "i"), of(Spread, world, "f"), store=stores()) as s:
            for number in range(100):
                await Invoice.start(s, Job(way="free" if number % 2 else ""), id=f"{number}")
                await Spread.start(s, Job(items=[1, 2]), id=f"{number}")
            await advance(60.0)
            assert alive() - before < 20  # what was last in hand may be seen yet
            runners = [one for one in gc.get_objects() if type(one).__name__ in ("InvoiceRunner", "SpreadRunner")]
            assert all(one.known == {} for one in runners)

    async def test_a_thousand_runs_with_signals_end_each_in_its_way(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            runs = await asyncio.gather(*(Invoice.start(s, Job(), id=f"{number}") for number in range(1000)))
            await asyncio.gather(*(run.signal(Invoice.pay, 1) for run in runs[::2]))
            await asyncio.gather(*(run.cancel() for run in runs[1::4]))
            await advance(4000.0)
            states = [await run.state() for run in runs]
            assert [states.count(state) for state in (Desk.PAID, Desk.OFF, Desk.LATE)] == [500, 250, 250]
            assert [one async for one in Invoice.runs(s, status="waiting")] == []


def alive() -> int:
    """How many objects of runs there are, those of other tests included."""
    gc.collect()
    kinds = ("RunPlan", "RunRecord", "BranchPlan", "Job")
    return sum(type(one).__name__ in kinds for one in gc.get_objects())


async def take_away(engine: Any) -> None:
    """Do what another session does that finds the lease of this one to have run out."""
    if hasattr(engine, "tables"):
        engine.abandon()
        return
    take_for_dead(engine.path)
