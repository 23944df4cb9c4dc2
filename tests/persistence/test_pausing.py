"""The laws of a durable mailbox whose actor uses policies: it asks them first, and an outage costs it nothing."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems
from tests.actors.outage import BY, HOUR, LATER, SMTP, inside, loop_turns
from tests.persistence.jobs import Stores, Worker, letters, story
from tests.persistence.outages import Outage, at, calls, claimed, failures, running
from upright.actors.testing import advance, settle
from upright.persistence import Retry
from upright.supervision import Backoff, Bulkhead, CircuitBreaker, RateLimit, RetryBudget

pytestmark = pytest.mark.anyio
MANY = 10_000
USUAL = CircuitBreaker("usual", minimum_calls=3)
"""With all usual values but one: it opens before any message has had three attempts."""
SHAPES: list[dict[str, Any]] = [
    {"order": "strict"},
    {"order": "free"},
    {"order": "keyed"},
    {"order": "free", "size": 4},
]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class TestAnHour:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    async def test_forced_open_with_ten_thousand_nothing_is_claimed_tried_or_lost(
        self, system: Systems, stores: Stores, shape: dict[str, Any]
    ) -> None:
        outage, store = Outage(), stores()
        async with running(system, outage.spec(SMTP, **shape), store=store) as s:
            SMTP.on(s).force_open(**BY)
            ids = await calls(at(s), MANY)
            await settle()
            with loop_turns() as turns:
                await advance(HOUR)
            assert turns[0] < 300  # once a minute a store looks whether it is to do anything
            assert outage.tried == []
            assert await claimed(store) == 0
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert sorted(outage.done) == ids
            if "size" not in shape:
                assert outage.done == ids
            assert set(outage.attempts.values()) == {1}
            assert await letters(store) == []

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    async def test_one_long_wait_and_then_exactly_the_permits_go_first(
        self, system: Systems, stores: Stores, shape: dict[str, Any]
    ) -> None:
        outage, store = Outage(), stores()
        long = CircuitBreaker("long", consecutive=1, wait=Backoff(HOUR, HOUR, jitter="none"), slow_start=0)
        async with running(system, outage.spec(long, **shape), store=store) as s:
            with pytest.raises(Oops):
                async with s.guards.guard(long):
                    raise Oops("down")
            ids = await calls(at(s), MANY)
            await settle()
            with loop_turns() as turns:
                await advance(HOUR - 1.0)
            assert turns[0] < 300
            assert outage.tried == []
            assert await claimed(store) == 0
            outage.dependency.takes = 1.0
            await advance(1.5)
            most = 3 if "size" in shape else 1
            assert len(outage.tried) == most
            assert await claimed(store) == 3
            outage.dependency.takes = 0.0
            await s.idle()
            assert sorted(outage.done) == ids
            assert set(outage.attempts.values()) == {1}
            assert await letters(store) == []

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    async def test_a_dependency_that_fails_for_the_whole_hour_uses_up_nothing(
        self, system: Systems, stores: Stores, shape: dict[str, Any]
    ) -> None:
        outage, store = Outage(), stores()
        outage.dependency.is_down = True
        async with running(system, outage.spec(USUAL, **shape), store=store) as s:
            ids = await calls(at(s), MANY)
            await settle()
            with loop_turns() as turns:
                await advance(HOUR)
            assert len(outage.tried) < 100
            assert turns[0] < 5_000
            assert await letters(store) == []
            assert await claimed(store) <= 3
            outage.dependency.is_down = False
            await s.idle()
            assert sorted(set(outage.done)) == ids
            assert len(outage.done) == MANY
            assert await letters(store) == []
            assert sum(attempt > 1 for attempt in outage.attempts.values()) <= 3  # those before it opened
            assert inside(s, USUAL) == 0

    @pytest.mark.parametrize("order", ["strict", "free", "keyed"])
    async def test_not_even_of_messages_that_have_one_attempt_only(
        self, system: Systems, stores: Stores, order: str
    ) -> None:
        outage, store = Outage(), stores()
        one = CircuitBreaker("one", minimum_calls=1)
        async with running(system, outage.spec(one, order=order, retry=Retry(max_attempts=1)), store=store) as s:
            outage.dependency.is_down = True
            ids = await calls(at(s), 100)
            await advance(HOUR)
            assert await letters(store) == []
            outage.dependency.is_down = False
            await s.idle()
            assert sorted(outage.done) == ids


class TestClaims:
    @pytest.mark.parametrize("order", ["strict", "free", "keyed"])
    async def test_what_was_claimed_and_not_begun_goes_back_when_it_opens(
        self, system: Systems, stores: Stores, order: str
    ) -> None:
        outage, store = Outage(), stores()
        outage.dependency.takes = 1.0
        async with running(system, outage.spec(SMTP, order=order), store=store) as s:
            ids = await calls(at(s), 50)
            await advance(0.5)
            assert await claimed(store) == 50
            SMTP.on(s).force_open(**BY)
            await settle()
            assert await claimed(store) == 1
            await advance(HOUR)
            assert await claimed(store) == 0
            assert outage.tried == ids[:1]
            SMTP.on(s).automatic(**BY)
            outage.dependency.takes = 0.0
            await s.idle()
            assert outage.done == ids
            assert await failures(store, ids) == 0

    async def test_those_of_a_pool_go_back_too(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        outage.dependency.takes = 1.0
        async with running(system, outage.spec(SMTP, size=4, order="free"), store=store) as s:
            ids = await calls(at(s), 50)
            await advance(0.5)
            SMTP.on(s).force_open(**BY)
            await settle()
            assert await claimed(store) == 4
            await advance(HOUR)
            assert await claimed(store) == 0
            assert len(outage.tried) == 4
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert sorted(outage.done) == ids

    async def test_those_behind_a_probe_that_hangs_go_back_when_it_opens_again(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store, gate = Outage(), stores(), asyncio.Event()

        @outage.book.deed
        async def hold(_: Worker) -> None:
            await gate.wait()

        specs = [outage.spec(SMTP, name=name, address=name, order="free") for name in "abc"]
        async with running(system, *specs, store=store) as s:
            SMTP.on(s).force_open(**BY)
            for name in "ab":
                await at(s, name).tell(Worker.do, hold)
                await calls(at(s, name), 10)
            SMTP.on(s).automatic(**BY)
            with pytest.raises(Oops):
                async with s.guards.guard(SMTP):
                    raise Oops("down")
            await advance(5.5)
            assert await claimed(store, "a") + await claimed(store, "b") >= 3
            await calls(at(s, "c"), 10)
            await advance(60.0)
            assert SMTP.on(s).state == "open"
            assert [await claimed(store, name) for name in "abc"] == [1, 1, 0]
            gate.set()
            await s.idle()
            assert len(outage.done) == 30

    async def test_of_a_bulkhead_no_more_are_claimed_than_let_through(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        outage.dependency.takes = 1.0
        pair = Bulkhead("pair", running=2)
        async with running(system, outage.spec(pair, size=5, order="free"), store=store) as s:
            ids = await calls(at(s), 20)
            await advance(0.5)
            for _ in range(5):
                assert await claimed(store) == 2
                await advance(1.0)
            await s.idle()
            assert sorted(outage.done) == ids
            assert outage.dependency.most == 2
            assert inside(s, pair) == 0

    async def test_of_a_rate_limit_no_more_are_claimed_than_let_through(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        slowly = RateLimit("slowly", 1, per=10.0, burst=2)
        async with running(system, outage.spec(slowly, size=5, order="free"), store=store) as s:
            ids = await calls(at(s), 12)
            with loop_turns() as turns:
                await advance(1.0)
                assert len(outage.done) == 2
                assert await claimed(store) == 0
                await s.idle()
            assert turns[0] < 10_000
            assert sorted(outage.done) == ids
            assert outage.dependency.calls[2:] == [10.0 * number for number in range(1, 11)]
            assert {name for one in ids for name in await story(store, one)} == {"stored", "claimed", "acked"}

    async def test_one_that_expires_before_its_turn_makes_room_for_another(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store, gate = Outage(), stores(), asyncio.Event()
        one = CircuitBreaker("one", consecutive=1, wait=LATER, permits=2, slow_start=0)

        @outage.book.deed
        async def hold(_: Worker) -> None:
            await gate.wait()

        async with running(system, outage.spec(one), store=store) as s:
            one.on(s).force_open(**BY)
            await at(s).tell(Worker.do, hold)
            await at(s).expiring(20.0).tell(Worker.do, "call")
            await calls(at(s), 3)
            one.on(s).automatic(**BY)
            with pytest.raises(Oops):
                async with s.guards.guard(one):
                    raise Oops("down")
            await advance(5.5)
            assert await claimed(store) == 2
            await advance(20.0)
            gate.set()
            await s.idle()
            assert len(outage.done) == 3
            assert [letter.reason for letter in await letters(store)] == ["expired"]
            assert inside(s, one) == 0

    async def test_a_budget_puts_retries_off_and_drops_none(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        outage.dependency.is_down = True
        budget = RetryBudget("smtp", ratio=0.0, per_second=0.1, most=1.0)
        quick = Retry(max_attempts=2, base=0.1, cap=0.1, jitter="none")
        async with running(system, outage.spec(budget, order="free", retry=quick), store=store) as s:
            ids = await calls(at(s), 8)
            await settle()
            outage.dependency.is_down = False
            await s.idle()
            assert sorted(outage.done) == ids
            retried = outage.dependency.calls[8:]
            assert retried == pytest.approx([0.1, *[10.0 * number for number in range(1, 8)]], abs=0.2)

    @pytest.mark.parametrize("order", ["strict", "free"])
    async def test_higher_priorities_go_first_after_it(self, system: Systems, stores: Stores, order: str) -> None:
        outage, store = Outage(), stores()
        async with running(system, outage.spec(SMTP, order=order), store=store) as s:
            SMTP.on(s).force_open(**BY)
            low = await calls(at(s), 5)
            high = await calls(at(s).priority(5), 5)
            await advance(10.0)
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert outage.done == high + low

    async def test_several_that_share_a_breaker_let_no_more_through_than_its_permits(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store = Outage(), stores()
        outage.dependency.takes = 1.0
        three = CircuitBreaker("three", consecutive=1, wait=LATER, permits=3, slow_start=0)
        orders = ["strict", "free", "keyed"] * 2
        specs = [
            outage.spec(three, name=f"w{number}", address=f"w{number}", order=order)
            for number, order in enumerate(orders)
        ]
        async with running(system, *specs, store=store) as s:
            three.on(s).force_open(**BY)
            for number in range(6):
                await calls(at(s, f"w{number}"), 20)
            three.on(s).automatic(**BY)
            with pytest.raises(Oops):
                async with s.guards.guard(three):
                    raise Oops("down")
            await advance(5.5)
            assert outage.dependency.now == 3
            outage.dependency.is_down = True
            await advance(1.0)
            assert three.on(s).state == "open"
            await settle()
            assert sum([await claimed(store, f"w{number}") for number in range(6)]) == 0
            assert outage.dependency.most == 3
            outage.dependency.is_down = False
            await s.idle()
            assert len(outage.done) == 120
            assert inside(s, three) == 0
