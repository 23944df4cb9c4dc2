"""The laws of steps that go wrong: where a run resumes, what an attempt leaves behind, what follows the last one."""

import asyncio
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
    Witness,
    World,
    ended,
    lines,
    oops,
    running,
    sleep,
)
from upright.actors.testing import advance
from upright.persistence import Reject, Retry, RunFailed, discard, quarantine, retry_after, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class TestErrors:
    async def test_a_step_that_fails_is_tried_again_from_exactly_there(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", *oops(2))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert world.tried == ["pay", "pack", "pack", "pack", "send"]
            assert world.attempts("pack") == [1, 2, 3]
            assert len(set(world.keys("pack"))) == 1
            failed = await lines(run, "failed")
            assert [(one.step, one.attempt, one.error) for one in failed] == [
                ("pack", 1, "Oops: number 1"), ("pack", 2, "Oops: number 2"),
            ]  # fmt: skip
            assert [round(one.at - failed[0].at) for one in failed] == [0, 1]

    @pytest.mark.parametrize("first", ["pay", "pack"])
    async def test_an_attempt_that_fails_leaves_no_change_in_the_data(
        self, system: Systems, stores: Stores, first: str
    ) -> None:
        world, gate = World(), asyncio.Event()
        seen: list[list[str]] = []

        async def look(me: Deeds) -> None:
            seen.append((await run.data()).words)
            assert await run.status() == "retrying"

        world.plan(first, *oops(1), look)
        async with running(system, world, Order, store=stores()) as s:
            run = Order.run(s, "o")
            await Order.start(s, Job(), id="o")
            await ended(run)
        gate.set()
        assert seen == [[] if first == "pay" else ["pay"]]

    async def test_what_the_step_makes_of_the_data_must_fit_their_type_or_it_has_failed(
        self, system: Systems, stores: Stores
    ) -> None:
        async def spoil(me: Deeds) -> None:
            spoiled.append(1)
            jobs[-1].items = "no list"

        spoiled: list[int] = []
        jobs: list[Any] = []

        class Spoils(Order):
            @step(Line.NEW, to=Line.PAID, retry=QUICK)
            async def pay(self, job: Job) -> None:
                jobs.append(job)
                await self.do(job, "pay")

        world = World()
        world.plan("pay", spoil)
        async with running(system, world, Spoils, store=stores()) as s:
            run = await Spoils.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "send"]
            assert world.tried == ["pay", "pay", "pack", "send"]
            assert [one.attempt for one in await lines(run, "failed")] == [1]

    async def test_what_a_step_tells_is_sent_with_its_end_or_never(self, system: Systems, stores: Stores) -> None:
        async def tell(me: Deeds) -> None:
            await me.ctx.ref("witness", Witness).tell(Witness.hear, f"of {me.ctx.attempt}")

        async def tell_and_fail(me: Deeds) -> None:
            await tell(me)
            raise Oops("on purpose")

        async def tell_and_reject(me: Deeds) -> None:
            await tell(me)
            raise Reject("no")

        world = World()
        world.plan("pay", tell_and_fail, tell)
        world.plan("pack", tell_and_reject)
        async with running(system, world, Order, store=stores()) as s:
            await ended(await Order.start(s, Job(), id="o"))
            await advance(10.0)
        assert [word for word in world.tried if word.startswith("heard")] == ["heard of 2"]

    async def test_without_an_attempt_left_it_waits_in_quarantine_with_its_story(
        self, system: Systems, stores: Stores
    ) -> None:
        world, store = World(), stores()
        world.plan("pack", *oops(3))
        async with running(system, world, Order, store=store) as s:
            run = await Order.start(s, Job(), id="o")
            with pytest.raises(RunFailed, match="run o has failed in state paid: Oops: number 3") as failed:
                await ended(run)
            (letter,) = await letters(store)
            assert (letter.id, letter.reason, len(letter.attempts)) == (failed.value.letter, "attempts", 3)
            assert await run.status() == "failed"
            assert await run.state() is Line.PAID
            assert (await run.data()).words == ["pay"]

    async def test_on_failure_leads_elsewhere_when_no_attempt_is_left(self, system: Systems, stores: Stores) -> None:
        world, store = World(), stores()
        world.plan("send", *oops(3))
        async with running(system, world, Order, store=store) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await ended(run)).words == ["pay", "pack", "bury"]
            assert [one.attempt for one in await lines(run, "failed")] == [1, 2, 3]
            assert await run.status() == "completed"
            assert await letters(store) == []

    @pytest.mark.parametrize(
        "policy",
        [
            Retry(max_attempts=100, base=1.0, jitter="full", deadline=10.0),
            Retry(classify=lambda _: quarantine("bad")),
            Retry(classify=lambda _: discard()),
            Retry(max_attempts=3, classify=lambda _: retry_after(3.0)),
        ],
    )
    async def test_on_failure_counts_however_the_policy_comes_to_its_end(
        self, system: Systems, stores: Stores, policy: Retry
    ) -> None:
        class Given(Order):
            @step(Line.PACKED, to=Line.AWAY, retry=policy, on_reject=Line.LATER, on_failure=Line.BROKEN)
            async def send(self, job: Job) -> None:
                raise Oops("for ever")

        async with running(system, world := World(), Given, store=stores()) as s:
            runs = [await Given.start(s, Job(), id=f"o{number}") for number in range(8)]
            for run in runs:
                assert (await ended(run)).words == ["pay", "pack", "bury"]
        assert len(world.done) == 24

    async def test_a_step_that_is_discarded_waits_in_quarantine_all_the_same(
        self, system: Systems, stores: Stores
    ) -> None:
        """Nobody could go on with a run whose message is gone."""

        class Given(Order):
            @step(Line.NEW, to=Line.PAID, retry=Retry(classify=lambda _: discard()))
            async def pay(self, job: Job) -> None:
                await self.do(job, "pay")

        world = World()
        world.plan("pay", *oops(1))
        async with running(system, world, Given, store=stores()) as s:
            run = await Given.start(s, Job(), id="o")
            with pytest.raises(RunFailed):
                await ended(run)
            await run.redrive()
            assert (await ended(run)).words == ["pay", "pack", "send"]

    async def test_a_step_that_takes_too_long_has_failed(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", sleep(100.0), sleep(9.0))
        async with running(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            await ended(run)
            assert [one.error for one in await lines(run, "failed")] == ["TimeoutError"]
            assert world.attempts("pack") == [1, 2]

    async def test_the_policys_own_time_for_an_attempt_counts_too(self, system: Systems, stores: Stores) -> None:
        class Given(Order):
            @step(Line.NEW, to=Line.PAID, retry=Retry(max_attempts=2, attempt_timeout=3.0), timeout=50.0)
            async def pay(self, job: Job) -> None:
                await self.do(job, "pay")

        world = World()
        world.plan("pay", sleep(4.0), sleep(2.0))
        async with running(system, world, Given, store=stores()) as s:
            await ended(await Given.start(s, Job(), id="o"))
        assert world.attempts("pay") == [1, 2]

    @pytest.mark.parametrize("elsewhere", [False, True])
    async def test_no_attempt_begins_after_the_deadline_though_the_system_was_down_meanwhile(
        self, system: Systems, stores: Stores, elsewhere: bool
    ) -> None:
        class Given(Order):
            @step(
                Line.PACKED, to=Line.AWAY, retry=Retry(base=5.0, jitter="none", deadline=60.0), on_reject=Line.LATER,
                on_failure=Line.BROKEN if elsewhere else None,
            )  # fmt: skip
            async def send(self, job: Job) -> None:
                await self.do(job, "send")

            if not elsewhere:

                @signal(Line.LATER, to=Line.BROKEN)
                async def give_up(self, job: Job) -> None: ...

        world, store = World(), stores()
        world.plan("send", *oops(1))
        async with running(system, world, Given, store=store) as s:
            await Given.start(s, Job(), id="o")
            await world.until("send")
            await advance(1.0)
        await asyncio.sleep(100.0)
        async with running(system, world, Given, store=stores()) as s:
            run = Given.run(s, "o")
            if elsewhere:
                assert (await ended(run)).words == ["pay", "pack", "bury"]
            else:
                with pytest.raises(RunFailed, match="its time was up"):
                    await ended(run)
                assert [letter.reason for letter in await letters(store)] == ["deadline"]
                await run.redrive()
                assert (await ended(run)).words == ["pay", "pack", "send"]

    @pytest.mark.parametrize("error", [asyncio.CancelledError("uninvited"), BaseExceptionGroup("all", [Oops()])])
    async def test_what_is_raised_beside_exceptions_is_an_error_of_the_step_too(
        self, system: Systems, stores: Stores, error: BaseException
    ) -> None:
        world = World()
        world.plan("send", error, error, error)
        async with running(system, world, Order, store=stores()) as s:
            assert (await ended(await Order.start(s, Job(), id="o"))).words == ["pay", "pack", "bury"]

    async def test_a_run_that_fails_holds_no_other_up(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", *oops(1))
        async with running(system, world, Order, store=stores()) as s:
            first = await Order.start(s, Job(), id="first")
            await advance(0.5)
            await ended(await Order.start(s, Job(), id="second"))
            assert await first.status() == "retrying"
            assert world.tried == ["pay", "pack", "pay", "pack", "send"]
            await ended(first)
