"""The laws of runs that wait: for signals, early, late or twice, for a time, and of queries meanwhile."""

import asyncio
import enum
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Desk,
    Invoice,
    Job,
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
from upright.actors import WrongArguments
from upright.actors.testing import advance
from upright.persistence import RunFailed, RunNotFound, after, parallel, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Slow(enum.Enum):
    START = "start"
    JOINING = "joining"
    LATE = "late"
    LEFT = "left"
    END = "end"


class Patient(Deeds):
    """Waits for branches, for a signal and for a time at once."""

    State = Slow
    initial = Slow.START

    async def branch(self, job: Job) -> None:
        await self.do(job, "branch")

    @step(Slow.START, to=Slow.JOINING, retry=QUICK)
    async def begin(self, job: Job) -> None:
        await self.do(job, "begin")

    @parallel(Slow.JOINING, branch, to=Slow.END, retry=QUICK)
    async def join(self, job: Job, results: list[None]) -> None:
        await self.do(job, "join")

    @after(60.0, Slow.JOINING, to=Slow.LATE, retry=QUICK)
    async def too_late(self, job: Job) -> None:
        await self.do(job, "too_late")

    @after(5.0, Slow.LATE, to=Slow.END, when=lambda job: job.way != "stuck")
    async def end(self, job: Job) -> None:
        await self.do(job, "end")

    @signal(Slow.LATE, to=Slow.END)
    async def unstick(self, job: Job) -> None: ...

    @signal(Slow.JOINING, to=Slow.LEFT, retry=QUICK)
    async def leave(self, job: Job) -> None:
        await self.do(job, "leave")


class TestSignals:
    async def test_a_run_waits_for_one_and_its_method_gets_what_was_sent(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            await advance(100.0)
            assert (await run.status(), await run.state()) == ("waiting", Desk.ASKED)
            await run.signal(Invoice.pay, 5, by="cash")
            assert (await ended(run)).words == ["ask", "pay 5 cash"]
            assert (await names(run))[4:6] == ["signalled pay", "completed pay"]

    async def test_one_that_comes_early_is_kept_over_a_restart_too(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("ask", sleep(50.0), sleep(1.0))
        async with running(system, world, Invoice, store=stores(), grace=0.1) as s:
            run = await Invoice.start(s, Job(), id="o")
            await world.until("ask")
            await run.signal(Invoice.pay, 5)
        async with running(system, world, Invoice, store=stores()) as s:
            assert (await ended(Invoice.run(s, "o"))).words == ["ask", "pay 5 card"]

    async def test_of_two_that_came_early_the_first_counts_and_the_other_stays_until_its_state_comes_again(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("ask", *oops(1))
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            for _ in range(3):
                await run.signal(Invoice.nudge)
            await run.signal(Invoice.pay, 1)
            await run.signal(Invoice.pay, 2)
            assert (await ended(run)).words == ["ask", "nudge", "nudge", "nudge", "pay 1 card"]
            assert len(set(world.keys("nudge"))) == 3

    async def test_one_that_its_guard_does_not_let_waits_and_others_pass_it(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(way="deaf"), id="o")
            await run.signal(Invoice.pay, 5)
            await run.signal(Invoice.nudge)
            await advance(10.0)
            assert (await run.data()).words == ["ask", "nudge"]
            assert await run.status() == "waiting"
            assert (await ended(run)).words == ["ask", "nudge", "remind"]

    @pytest.mark.parametrize("args", [(), ("five",), (5, 6), (5, "card", 3), (5.5,)])
    async def test_wrong_arguments_are_refused_before_anything_is_stored(
        self, system: Systems, stores: Stores, args: Any
    ) -> None:
        async with running(system, World(), Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            with pytest.raises(WrongArguments, match=r"Invoice\.pay"):
                await run.signal(Invoice.pay, *args)
            await advance(1.0)
            assert "signalled pay" not in await names(run)

    @pytest.mark.parametrize("method", [Invoice.ask, Invoice.total, Invoice.remind, Order.again, print])
    async def test_what_is_no_signal_of_the_machine_is_refused(
        self, system: Systems, stores: Stores, method: Any
    ) -> None:
        async with running(system, World(), Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            with pytest.raises(LookupError, match="expected a method of Invoice that is marked with @signal, got "):
                await run.signal(method)

    async def test_one_to_a_run_that_is_over_changes_nothing_and_its_history_tells_of_it(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(way="free"), id="o")
            done = await ended(run)
            await run.signal(Invoice.pay, 5)
            await advance(10.0)
            assert await run.data() == done
            assert await run.status() == "completed"
            assert [one.error for one in await lines(run, "signalled")] == ["it is over: nothing came of it"]

    async def test_one_to_a_run_that_is_not_there_waits_in_quarantine(self, system: Systems, stores: Stores) -> None:
        world, store = World(), stores()
        async with running(system, world, Invoice, store=store) as s:
            await Invoice.run(s, "o").signal(Invoice.pay, 5)
            await advance(1.0)
            assert [letter.reason for letter in await letters(store)] == ["no_run"]
            run = await Invoice.start(s, Job(), id="o")
            await store.quarantine.redrive_all()
            assert (await ended(run)).words == ["ask", "pay 5 card"]

    async def test_its_step_has_attempts_and_a_reject_as_others_have(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pay 5 card", *oops(2), no("too little"))
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            await run.signal(Invoice.pay, 5)
            await advance(10.0)
            assert world.attempts("pay 5 card") == [1, 2, 3]
            assert await run.status() == "waiting"
            assert [one.error for one in await lines(run, "rejected")] == ["Reject: too little"]
            await run.signal(Invoice.pay, 6)
            assert (await ended(run)).words == ["ask", "pay 6 card"]

    async def test_when_it_has_failed_for_good_another_one_may_take_its_place(
        self, system: Systems, stores: Stores
    ) -> None:
        world = World()
        world.plan("pay 5 card", *oops(3))
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            await run.signal(Invoice.pay, 5)
            with pytest.raises(RunFailed, match="number 3"):
                await ended(run)
            await run.signal(Invoice.pay, 6)
            await advance(1.0)
            assert (await ended(run)).words == ["ask", "pay 6 card"]

    async def test_one_ends_the_waiting_for_branches(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("branch", sleep(20.0))
        async with running(system, world, Patient, store=stores()) as s:
            run = await Patient.start(s, Job(), id="o")
            await world.until("branch")
            await run.signal(Patient.leave)
            assert (await ended(run)).words == ["begin", "leave"]
            await advance(100.0)
            assert world.done == ["begin", "leave", "branch"]  # what ran came to its end, and counts for nothing
            assert await run.state() is Slow.LEFT


class TestTimes:
    async def test_when_the_time_is_over_its_step_is_done(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            assert (await ended_after(run, 3600.0)).words == ["ask", "remind"]
            assert "timed_out remind" in await names(run)

    async def test_it_is_over_though_no_system_runs_meanwhile(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            await Invoice.start(s, Job(), id="o")
            await advance(1.0)
        await asyncio.sleep(10_000.0)
        async with running(system, world, Invoice, store=stores()) as s:
            assert (await ended(Invoice.run(s, "o"))).words == ["ask", "remind"]

    async def test_it_begins_anew_each_time_that_the_state_is_entered(self, system: Systems, stores: Stores) -> None:
        world = World()
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            await advance(3000.0)
            await run.signal(Invoice.nudge)
            await advance(3000.0)
            assert await run.status() == "waiting"
            assert (await ended_after(run, 600.0)).words == ["ask", "nudge", "remind"]

    async def test_its_step_is_tried_again_as_others_are(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("remind", *oops(5))
        async with running(system, world, Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            with pytest.raises(RunFailed, match="number 3"):
                await ended_after(run, 3603.0)
            await run.redrive()
            assert (await ended(run)).words == ["ask", "remind"]
            assert world.attempts("remind") == [1, 2, 3] * 2

    async def test_one_whose_guard_is_false_then_is_over_for_this_time(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("branch", sleep(100.0))
        async with running(system, world, Patient, store=stores()) as s:
            run = await Patient.start(s, Job(way="stuck"), id="o")
            await advance(1000.0)
            assert (await run.status(), await run.state()) == ("waiting", Slow.LATE)
            await run.signal(Patient.unstick)
            await ended(run)

    async def test_it_ends_the_waiting_for_branches_that_failed_too(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("branch", *oops(3))
        async with running(system, world, Patient, store=stores()) as s:
            run = await Patient.start(s, Job(), id="o")
            await advance(10.0)
            assert await run.status() == "failed"
            await advance(60.0)
            assert (await ended(run)).words == ["begin", "too_late", "end"]

    @pytest.mark.parametrize("first", ["signal", "time"])
    async def test_of_a_signal_and_a_time_at_one_instant_one_counts(
        self, system: Systems, stores: Stores, first: str
    ) -> None:
        world, store = World(), stores()
        async with running(system, world, Invoice, store=store) as s:
            run = await Invoice.start(s, Job(), id="o")
            await advance(1.0)
            loop = asyncio.get_running_loop()
            entered = (await lines(run, "entered"))[-1].at
            await asyncio.sleep(entered + 3600.0 - store.now() - (0.001 if first == "signal" else 0.0))
            await run.signal(Invoice.pay, 5)
            job = await ended(run)
            assert job.words in (["ask", "pay 5 card"], ["ask", "remind"])
            assert len(world.done) == 2
            assert loop.time() < 4000.0


class TestQueries:
    async def test_a_plain_method_of_the_machine_answers_from_the_data(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            await advance(1.0)
            assert await run.query(Invoice.total) == 1
            assert await run.query(Invoice.total, factor=3) == 3
            await run.cancel()
            await ended(run)
            assert await run.query(Invoice.total) == 2

    async def test_of_a_run_that_is_not_there_nothing_is_known(self, system: Systems, stores: Stores) -> None:
        async with running(system, World(), Invoice, store=stores()) as s:
            run = Invoice.run(s, "nobody")
            for look in (run.data(), run.query(Invoice.total), run.redrive()):
                with pytest.raises(RunNotFound, match="expected a run 'nobody' of machine/m: there is none yet"):
                    await look
            assert await run.state() is Desk.OPEN
            assert await run.history() == []


async def ended_after(run: Any, seconds: float) -> Any:
    """Its data, when so much time has passed, and not before."""
    await advance(seconds - 1.0)
    assert await run.status() in ("waiting", "retrying")
    await advance(2.0)
    return await ended(run)
