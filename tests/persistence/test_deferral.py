"""The laws of a guard that refuses within the handler of a durable message, which is put off as if it had not been
begun; and of what may happen to a permit.
"""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems, hang
from tests.actors.outage import BY, LATER, SMTP, inside
from tests.persistence.jobs import Book, Clerk, Stores, Worker, failing, kept, letters
from tests.persistence.outages import Outage, at, calls, claimed, failures, running
from upright.actors import AskTimedOut
from upright.actors.testing import advance, settle
from upright.persistence import MailboxOpened, MailboxParked, Retry
from upright.supervision import Bulkhead, CircuitBreaker, child

pytestmark = pytest.mark.anyio
ONE = CircuitBreaker("one", consecutive=1, wait=LATER, permits=1, slow_start=0)
SINGLE = Bulkhead("single", running=1)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def trip(system: Any, policy: CircuitBreaker) -> None:
    with pytest.raises(Oops):
        async with system.guards.guard(policy):
            raise Oops("down")


class TestPutOff:
    @pytest.mark.parametrize("order", ["strict", "free", "keyed"])
    async def test_it_uses_no_attempt_sends_nothing_and_keeps_the_order(
        self, system: Systems, stores: Stores, order: str
    ) -> None:
        outage, store = Outage(), stores()
        heard: list[str] = []

        @outage.book.deed
        async def send(me: Worker) -> None:
            await me.ctx.ref("b", Worker).tell(Worker.note, f"staged by {me.ctx.delivery.id}")
            async with me.ctx.guard(ONE):
                await outage.call(me)

        specs = outage.spec(order=order), outage.spec(name="b", address="b")
        async with running(system, *specs, store=store) as s:
            await trip(s, ONE)
            refs = at(s) if order != "keyed" else at(s).keyed("k")
            ids = [receipt.id for receipt in await refs.tell_many(Worker.do, [send] * 5)]
            await advance(4.9)
            assert outage.tried == []
            assert outage.book.words == heard
            assert await claimed(store) == 0
            await s.idle()
            assert sorted(outage.done) == ids
            if order != "free":
                assert outage.done == ids
            assert set(outage.attempts.values()) == {1}
            assert len(outage.book.words) == 5  # each once
            assert await failures(store, ids) == 0
            first = await store.story(ids[0])
            assert [event.name for event in first][-1] == "acked"
            assert outage.book.begun["send"] <= 5 + 5  # and not again and again

    async def test_the_state_is_as_before(self, system: Systems, stores: Stores) -> None:
        book, store = Book(), stores()

        class Guarded(Clerk):
            async def book_in(self, amount: int) -> int:
                self.state.total += amount
                async with self.ctx.guard(ONE):
                    return self.state.total

        async with running(system, child("a", kept(Guarded), book), store=store) as s:
            await trip(s, ONE)
            ref = s.ref("/top/a", Guarded)
            asked = asyncio.create_task(ref.within(100.0).ask(Guarded.book_in, 5))
            await advance(1.0)
            assert [one.state.total for one in book.made] == [0]  # no fresh instance either
            assert await asked == 5

    async def test_an_asker_waits_for_the_answer_or_for_its_deadline(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()

        @outage.book.deed
        async def answer(me: Worker) -> str:
            async with me.ctx.guard(ONE):
                return "done"

        async with running(system, outage.spec(), store=store) as s:
            await trip(s, ONE)
            with pytest.raises(AskTimedOut):
                await at(s).within(1.0).ask(Worker.do, answer)
            assert await at(s).within(30.0).ask(Worker.do, answer) == "done"

    async def test_a_mailbox_is_not_parked_by_what_was_put_off(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()

        @outage.book.deed
        async def guarded(me: Worker) -> None:
            async with me.ctx.guard(ONE):
                await outage.call(me)

        told: list[str] = []
        async with running(system, outage.spec(order="free"), store=store) as s:
            s.subscribe(lambda event: told.append(event.name), MailboxParked)
            await trip(s, ONE)
            await at(s).tell_many(Worker.do, ["guarded"] * 50)
            await s.idle()
            assert told == []
            assert len(outage.done) == 50


class TestParking:
    async def test_a_breaker_that_opens_late_and_a_parked_mailbox_come_to_the_same_end(
        self, system: Systems, stores: Stores
    ) -> None:
        late = CircuitBreaker("late", minimum_calls=15, slow_start=0)
        outage, store, told = Outage(), stores(), list[str]()
        outage.dependency.is_down = True
        often = Retry(max_attempts=10)  # each probe of a parked mailbox costs its message one
        async with running(system, outage.spec(late, order="free", retry=often), store=store) as s:
            s.subscribe(lambda event: told.append(event.name), MailboxParked, MailboxOpened)
            ids = await calls(at(s), 100)
            await advance(600.0)
            outage.dependency.is_down = False
            await s.idle()
            assert sorted(outage.done) == ids
            assert await letters(store) == []
            assert told[0] == "mailbox.parked"
            assert told[-1] == "mailbox.opened"

    async def test_a_parked_mailbox_whose_circuit_is_opened_probes_when_both_allow_it(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store = Outage(), stores()
        never = CircuitBreaker("never", minimum_calls=1_000)
        outage.dependency.is_down = True
        async with running(system, outage.spec(never, order="free"), store=store) as s:
            ids = await calls(at(s), 20)
            await settle()
            assert len(outage.tried) == 10
            never.on(s).force_open(**BY)
            await advance(600.0)
            assert len(outage.tried) == 10
            outage.dependency.is_down = False
            never.on(s).automatic(**BY)
            await s.idle()
            assert sorted(outage.done) == ids


class TestPermits:
    async def test_none_is_lost_when_handlers_raise_and_instances_are_renewed(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store = Outage(), stores()
        for number in range(20):
            outage.book.deeds[f"f{number}"] = failing(2)
        quick = Retry(max_attempts=3, base=0.1, cap=0.1)
        async with running(system, outage.spec(SINGLE, retry=quick, order="free"), store=store) as s:
            await at(s).tell_many(Worker.do, [f"f{number}" for number in range(20)])
            await s.idle()
            assert await letters(store) == []
            assert inside(s, SINGLE) == 0

    async def test_nor_when_one_takes_too_long(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        outage.book.deeds["hang"] = hang
        short = Retry(max_attempts=2, attempt_timeout=1.0)
        async with running(system, outage.spec(SINGLE, retry=short), store=store) as s:
            await at(s).tell(Worker.do, "hang")
            await calls(at(s), 3)
            await s.idle()
            assert len(outage.done) == 3
            assert inside(s, SINGLE) == 0

    async def test_nor_when_the_actor_is_killed(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        outage.dependency.takes = 1.0
        async with running(system, outage.spec(SINGLE), store=store, grace=0.5, max_restarts=9) as s:
            ids = await calls(at(s), 3)
            for _ in range(3):
                await advance(0.5)
                await s.kill(at(s))
            await s.idle()
            assert outage.done == ids
            assert inside(s, SINGLE) == 0

    async def test_nor_when_overlapping_handlers_fail(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        pair = Bulkhead("pair", running=2)
        for number in range(12):
            outage.book.deeds[f"f{number}"] = failing(number % 3)
        quick = Retry(max_attempts=4, base=0.1, cap=0.1)
        async with running(system, outage.spec(pair, retry=quick, order="free"), store=store) as s:
            await at(s).tell_many(Worker.overlap, [f"f{number}" for number in range(12)])
            await s.idle()
            assert await letters(store) == []
            assert inside(s, pair) == 0

    @pytest.mark.parametrize("order", ["strict", "free"])
    async def test_a_half_open_circuit_gets_its_permit_back_from_a_message_that_came_too_late(
        self, system: Systems, stores: Stores, order: str
    ) -> None:
        outage, store = Outage(), stores()
        async with running(system, outage.spec(ONE, order=order), store=store) as s:
            await trip(s, ONE)
            for _ in range(5):
                await at(s).expiring(1.0).tell(Worker.do, "call")
            ids = await calls(at(s), 3)
            await s.idle()
            assert outage.done == ids
            assert [letter.reason for letter in await letters(store)] == ["expired"] * 5

    async def test_a_whole_window_that_comes_too_late_makes_room_for_the_next(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store, gate = Outage(), stores(), asyncio.Event()

        @outage.book.deed
        async def hold(_: Worker) -> None:
            await gate.wait()

        async with running(system, outage.spec(window=4), store=store) as s:
            await at(s).tell(Worker.do, hold)
            for _ in range(8):
                await at(s).expiring(1.0).tell(Worker.do, "call")
            ids = await calls(at(s), 3)
            await advance(2.0)
            gate.set()
            await s.idle()
            assert outage.done == ids


class TestShutdown:
    async def test_what_a_shutdown_cut_off_is_no_failure_and_gives_its_permit_back(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store = Outage(), stores()
        outage.dependency.takes = 100.0
        async with running(system, outage.spec(SMTP), store=store) as s:
            ids = await calls(at(s), 3)
            await advance(1.0)
        outage.dependency.takes = 0.0
        async with running(system, outage.spec(SMTP), store=stores()) as s:
            assert SMTP.on(s).state == "closed"
            await s.idle()
            assert outage.done == ids
            assert set(outage.attempts.values()) == {1}
