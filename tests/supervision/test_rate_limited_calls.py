"""The laws of the line in front of a rate limit: first in, first out, and nothing lost with those who give up."""

import asyncio
from typing import Any

import pytest

from tests.supervision.calls import Calls
from upright.actors.guards import Guards
from upright.actors.testing import advance
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.errors import BulkheadFull, RateLimited
from upright.supervision.rate_limit import Gcra, RateLimit

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_those_who_wait_go_in_the_order_in_which_they_came_each_in_its_time() -> None:
    calls, limit = Calls(), RateLimit("x", 2, burst=1)
    for name in "abcde":
        await calls.begin(name, limit)
    await advance(10.0)
    assert list(calls.went.items()) == [("a", 0.0), ("b", 0.5), ("c", 1.0), ("d", 1.5), ("e", 2.0)]


async def test_a_heavy_call_is_passed_by_nobody_who_came_later(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, limit, asked = Calls(), RateLimit("x", 1, burst=5), list[float]()
    opens_at = Gcra.opens_at

    def counted(bucket: Gcra, now: float) -> float:
        asked.append(now)
        return opens_at(bucket, now)

    monkeypatch.setattr(Gcra, "opens_at", counted)
    await calls.begin("a", limit.costing(4))
    await calls.begin("heavy", limit.costing(5))
    await calls.begin("b", limit)
    await advance(2.0)
    await calls.begin("c", limit)
    await advance(10.0)
    assert list(calls.went.items()) == [("a", 0.0), ("heavy", 4.0), ("b", 5.0), ("c", 6.0)]
    assert len(asked) < 20, "the gate asks when a whole call has come in, and does not spin"


async def test_one_that_is_cancelled_in_line_costs_nothing() -> None:
    calls, limit = Calls(), RateLimit("x", 1)
    await calls.begin("a", limit)
    gone = await calls.begin("b", limit)
    await calls.begin("c", limit)
    await advance(0.5)
    gone.cancel()
    await advance(5.0)
    assert list(calls.went.items()) == [("a", 0.0), ("c", 1.0)]


async def test_one_that_is_cancelled_at_its_turn_leaves_it_to_the_next() -> None:
    calls, limit = Calls(), RateLimit("x", 1)
    await calls.begin("a", limit)
    gone = await calls.begin("b", limit)
    await calls.begin("c", limit)
    asyncio.get_running_loop().call_later(1.0, gone.cancel)
    await advance(5.0)
    assert gone.cancelled()
    assert list(calls.went.items()) == [("a", 0.0), ("c", 1.0)]


async def test_nobody_waits_longer_than_the_longest_wait_and_a_refusal_costs_nothing() -> None:
    calls, limit = Calls(), RateLimit("x", 1, per=10.0, longest_wait=4.0)
    await calls.begin("a", limit)
    with pytest.raises(RateLimited) as raised:
        await calls.call("b", limit)
    assert calls.now == pytest.approx(4.0)
    assert raised.value.retry_after == pytest.approx(6.0)
    await advance(3.0)
    await calls.call("c", limit)
    assert calls.went == {"a": 0.0, "c": 10.0}


async def test_without_a_wait_it_refuses_at_once() -> None:
    calls, limit = Calls(), RateLimit("x", 1, longest_wait=0)
    await calls.call("a", limit)
    with pytest.raises(RateLimited):
        await calls.call("b", limit)
    assert calls.now == 0.0


async def test_no_more_than_the_most_wait() -> None:
    calls, limit = Calls(), RateLimit("x", 1, most_waiting=1)
    await calls.begin("a", limit)
    await calls.begin("b", limit)
    with pytest.raises(RateLimited):
        await calls.call("c", limit)
    await advance(5.0)
    assert calls.went == {"a": 0.0, "b": 1.0}


async def test_what_a_later_guard_refuses_costs_nothing() -> None:
    calls, limit, bulkhead = Calls(), RateLimit("x", 1, burst=2), Bulkhead("x", running=1, waiting=0)
    async with calls.guards.guard(bulkhead):
        for name in "abc":
            with pytest.raises(BulkheadFull):
                await calls.call(name, bulkhead, limit)
    assert calls.guards.gate(limit).room() == 2


async def test_what_was_refused_after_a_wait_behind_it_costs_nothing_either() -> None:
    calls, limit = Calls(), RateLimit("x", 1, burst=2)
    bulkhead = Bulkhead("x", running=1, longest_wait=2.5)
    async with calls.guards.guard(bulkhead):
        waiting = await calls.begin("a", limit, bulkhead)
        for name in "bcd":
            await calls.begin(name, limit)
        await advance(2.5)
        assert isinstance(waiting.exception(), BulkheadFull)
    await advance(5.0)
    assert list(calls.went.items()) == [("b", 0.0), ("c", 1.0), ("d", 2.0)]


async def test_each_key_has_a_bucket_and_a_line_of_its_own() -> None:
    calls, limit = Calls(), RateLimit("x", 1)
    for name in ("a1", "a2", "b1"):
        await calls.begin(name, limit.of(name[0]))
    await calls.begin("all", limit)
    await advance(5.0)
    assert calls.went == {"a1": 0.0, "a2": 1.0, "b1": 0.0, "all": 0.0}


async def test_one_name_has_one_rate() -> None:
    guards = Guards()
    guards.of(RateLimit("x", 1))
    with pytest.raises(ValueError, match="expected one RateLimit of the name 'x'"):
        guards.of(RateLimit("x", 2))
