"""The laws of bulkheads: never more at once than may, first in first out, and every place comes back."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.supervision.calls import Calls
from upright.actors.guards import Guards
from upright.actors.policies import BULKHEAD, Machine, Policy
from upright.actors.testing import advance
from upright.supervision.bulkhead import ASK_AGAIN, Bulkhead, Places
from upright.supervision.errors import BulkheadFull

INF = float("inf")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def places(running: int) -> Places:
    return Bulkhead("x", running).open(Guards())


@given(st.integers(1, 6), st.lists(st.tuples(st.sampled_from(("enter", "leave", "give back")), st.integers(1, 7))))
def test_it_lets_in_exactly_those_for_whom_there_is_place(running: int, deeds: list[tuple[str, int]]) -> None:
    machine, inside = places(running), list[int]()
    for deed, number in deeds:
        if deed == "enter":
            token = machine.enter(0.0, True, number)
            assert (token is not None) == (sum(inside) + number <= running)
            inside += [] if token is None else [token]
        elif inside and deed == "leave":
            machine.leave(inside.pop(number % len(inside)), OSError() if number % 2 else None, 1.0, 0.0)
        elif inside:
            machine.give_back(inside.pop(number % len(inside)), 0.0)
        assert (machine.taken, machine.room(0.0)) == (sum(inside), running - sum(inside))
        assert machine.is_idle(0.0) == (not inside)


def test_time_opens_nothing() -> None:
    machine = places(1)
    machine.enter(0.0, True, 1)
    assert (machine.opens_at(0.0), machine.room(1e9)) == (INF, 0)


def test_a_refusal_names_the_bulkhead_and_how_full_it_is() -> None:
    machine = Bulkhead("reports", running=3).of("acme").open(Guards())
    machine.enter(0.0, True, 2)
    error = machine.refusal(0.0)
    assert isinstance(error, BulkheadFull)
    assert (error.guard, error.retry_after) == ("reports", ASK_AGAIN)
    assert str(error) == "bulkhead reports[acme] is full: 2 of 3 running"


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", 1), ("key", 1)]
    + [("running", value) for value in (0, -1, 1.5, "2", True)]
    + [("waiting", value) for value in (-1, 2.5, math.nan, None)]
    + [("longest_wait", value) for value in (-0.5, math.nan, None)]
    + [("weight", value) for value in (0, 1.5, 6)],
)
def test_each_wrong_field_is_refused_by_name_with_the_value(field: str, value: Any) -> None:
    right: dict[str, Any] = {"name": "x", "running": 5}
    with pytest.raises(ValueError, match=rf"^expected {field} to be ") as raised:
        Bulkhead(**(right | {field: value}))
    assert str(raised.value).endswith(f"got {value!r}")


def test_without_key_and_weight_it_is_the_plain_policy() -> None:
    bulkhead = Bulkhead("x", 4, waiting=3, longest_wait=2.0)
    assert bulkhead.of("acme").costing(2) == Bulkhead("x", 4, 3, 2.0, "acme", 2)
    assert bulkhead.of("acme").plain == bulkhead.costing(2).plain == bulkhead.plain == bulkhead


def test_it_fulfils_the_protocols_with_the_numbers_of_its_policy() -> None:
    policy: Policy = Bulkhead("x", 4, waiting=3, longest_wait=2.0)
    machine = policy.open(Guards())
    assert isinstance(machine, Machine)
    assert (policy.rank, machine.most_waiting, machine.longest_wait) == (BULKHEAD, 3, 2.0)
    assert (machine.is_shut, machine.setback()) == (False, 0.0)


@pytest.mark.anyio
class TestLine:
    async def test_never_more_run_at_once_than_may_and_all_go_in_order(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=2)
        for name in "abcdef":
            await calls.begin(name, bulkhead, took=1.0)
        await advance(10.0)
        assert list(calls.went.items()) == [("a", 0.0), ("b", 0.0), ("c", 1.0), ("d", 1.0), ("e", 2.0), ("f", 2.0)]
        assert calls.most == 2

    async def test_a_heavy_call_is_passed_by_nobody_who_came_later(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=3)
        await calls.begin("a", bulkhead, took=1.0)
        await calls.begin("b", bulkhead, took=2.0)
        await calls.begin("heavy", bulkhead.costing(3), took=1.0)
        await calls.begin("c", bulkhead)
        await advance(10.0)
        assert list(calls.went.items()) == [("a", 0.0), ("b", 0.0), ("heavy", 2.0), ("c", 3.0)]

    async def test_a_call_that_fails_and_one_that_is_cancelled_leave_their_places(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=1, waiting=0)
        with pytest.raises(OSError, match="gone"):
            await calls.call("a", bulkhead, error=OSError("gone"))
        running = await calls.begin("b", bulkhead, took=9.0)
        running.cancel()
        await advance(1.0)
        await calls.call("c", bulkhead)
        assert list(calls.went) == ["a", "b", "c"]

    async def test_one_that_is_cancelled_in_line_takes_no_place(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=1)
        await calls.begin("a", bulkhead, took=1.0)
        gone = await calls.begin("b", bulkhead)
        await calls.begin("c", bulkhead)
        gone.cancel()
        await advance(5.0)
        assert list(calls.went.items()) == [("a", 0.0), ("c", 1.0)]
        assert calls.guards.gate(bulkhead).machine.is_idle(calls.now)

    async def test_one_that_is_cancelled_at_its_turn_leaves_it_to_the_next(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=1)
        async with calls.guards.guard(bulkhead):
            gone = await calls.begin("a", bulkhead)
            await calls.begin("b", bulkhead)
        gone.cancel()
        await advance(0)
        assert gone.cancelled()
        assert list(calls.went) == ["b"]

    async def test_no_more_wait_than_may(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=1, waiting=1)
        await calls.begin("a", bulkhead, took=1.0)
        await calls.begin("b", bulkhead)
        with pytest.raises(BulkheadFull):
            await calls.call("c", bulkhead)
        assert calls.now == 0.0
        await advance(5.0)
        assert calls.went == {"a": 0.0, "b": 1.0}

    async def test_nobody_waits_longer_than_the_longest_wait_and_then_takes_no_place(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=1, longest_wait=4.0)
        await calls.begin("a", bulkhead, took=5.0)
        with pytest.raises(BulkheadFull):
            await calls.call("b", bulkhead)
        assert calls.now == pytest.approx(4.0)
        await calls.call("c", bulkhead)
        assert calls.went == {"a": 0.0, "c": 5.0}

    async def test_a_place_comes_back_when_a_later_guard_refuses(self) -> None:
        calls, wide, narrow = Calls(), Bulkhead("wide", running=2), Bulkhead("narrow", running=1, waiting=0)
        async with calls.guards.guard(narrow):
            for name in "abc":
                with pytest.raises(BulkheadFull):
                    await calls.call(name, wide, narrow)
        assert calls.guards.gate(wide).room() == 2

    async def test_each_key_has_places_and_a_line_of_its_own(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=1)
        for name in ("a1", "a2", "b1"):
            await calls.begin(name, bulkhead.of(name[0]), took=1.0)
        await advance(5.0)
        assert calls.went == {"a1": 0.0, "a2": 1.0, "b1": 0.0}

    async def test_a_hundred_workers_that_come_again_and_again_leave_no_place_unused(self) -> None:
        calls, bulkhead = Calls(), Bulkhead("x", running=10, longest_wait=INF)

        async def worker(number: int) -> None:
            for turn in range(10):
                await calls.call(f"{number}.{turn}", bulkhead, took=1.0)

        await asyncio.gather(*map(worker, range(100)))
        assert (calls.most, len(calls.went), round(calls.now)) == (10, 1000, 100)
