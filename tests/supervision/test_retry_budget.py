"""The laws of retry budgets: retries are a share of the calls, and those above it are put off one by one."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.supervision.calls import Calls
from upright.actors.errors import GuardRefused
from upright.actors.events import Event
from upright.actors.guards import Guards
from upright.actors.policies import BUDGET, Machine, Policy
from upright.actors.testing import advance
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.errors import BulkheadFull
from upright.supervision.events import RetryBudgetSpent
from upright.supervision.retry_budget import Deposits, RetryBudget, RetryPermit, Withdrawals

STEPS = st.sampled_from((0.0, 0.25, 1.0, 2.5, 1e6))


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def opened(
    ratio: float = 0.25, per_second: float = 0.5, most: float = 4.0, told: list[Event] | None = None
) -> Deposits:
    return RetryBudget("x", ratio, per_second, most).open(Guards(None if told is None else told.append))


class TestDeposits:
    @given(
        st.sampled_from((0.0, 0.25, 0.5)),
        st.lists(st.tuples(STEPS, st.sampled_from(("call", "retry"))), max_size=60),
    )
    def test_retries_of_any_time_are_at_most_what_was_saved_paid_and_came_in_by_time(
        self, ratio: float, deeds: list[tuple[float, str]]
    ) -> None:
        budget, now, calls, retries = opened(ratio), 0.0, list[float](), list[float]()
        for step, deed in deeds:
            now += step
            if deed == "call":
                budget.enter(now, True, 1)
                calls.append(now)
            else:
                retries.append(now + budget.put_off(now))
        for first in retries:
            for last in (retry for retry in retries if retry >= first):
                paid = ratio * sum(1 for call in calls if call <= last)
                made = sum(1 for retry in retries if first <= retry <= last)
                assert made <= 4.0 + paid + 0.5 * (last - first) + 1e-6

    @given(st.lists(st.tuples(STEPS, st.booleans()), max_size=60))
    def test_a_retry_is_put_off_exactly_when_there_is_no_whole_token(self, deeds: list[tuple[float, bool]]) -> None:
        budget, now, tokens = opened(), 0.0, 4.0
        for step, is_retry in deeds:
            now, tokens = now + step, min(4.0, tokens + step * 0.5)
            if is_retry:
                assert budget.put_off(now) == (0.0 if tokens >= 1.0 else (1.0 - tokens) / 0.5)
                tokens -= 1.0
            else:
                budget.enter(now, True, 1)
                tokens = min(4.0, tokens + 0.25)
            assert budget.tokens(now) == tokens

    def test_it_begins_with_the_most_and_then_puts_off_each_behind_the_one_before(self) -> None:
        budget = opened(per_second=0.5, most=2.0)
        assert [budget.put_off(7.0) for _ in range(5)] == [0.0, 0.0, 2.0, 4.0, 6.0]
        assert budget.put_off(9.0) == 6.0

    def test_ten_calls_pay_for_a_retry_at_a_tenth(self) -> None:
        budget = opened(ratio=0.1, most=1.0)
        budget.put_off(0.0)
        waits = list[bool]()
        for _ in range(10):
            waits.append(budget.has_one(0.0))
            budget.enter(0.0, True, 1)
        assert not any(waits)
        assert budget.put_off(0.0) == 0.0

    def test_calls_bring_those_forward_that_come_later(self) -> None:
        budget = opened(per_second=0.5, most=1.0)
        assert [budget.put_off(0.0) for _ in range(3)] == [0.0, 2.0, 4.0]
        for _ in range(8):
            budget.enter(0.0, True, 1)
        assert budget.put_off(0.0) == 2.0

    def test_without_calls_no_more_is_saved_than_the_most(self) -> None:
        budget = opened(most=2.0)
        assert [budget.put_off(1e9) for _ in range(3)] == [0.0, 0.0, 2.0]

    def test_a_call_is_always_let_through_and_needs_no_line(self) -> None:
        budget = opened()
        for _ in range(9):
            budget.put_off(0.0)
        assert budget.enter(0.0, False, 1) is not None
        assert (budget.room(0.0), budget.opens_at(0.0), budget.longest_wait) == (math.inf, math.inf, 0.0)

    def test_a_call_that_was_not_made_pays_nothing_and_one_that_failed_does(self) -> None:
        budget = opened(most=4.0)
        budget.put_off(0.0)
        budget.give_back(budget.enter(0.0, True, 1), 0.0)
        assert budget.tokens(0.0) == 3.0
        budget.leave(budget.enter(0.0, True, 1), OSError(), 1.0, 0.0)
        assert budget.tokens(0.0) == 3.25

    def test_a_call_that_found_the_budget_full_takes_nothing_out_when_it_was_not_made(self) -> None:
        budget = opened(most=4.0)
        budget.give_back(budget.enter(0.0, True, 1), 0.0)
        assert budget.tokens(0.0) == 4.0

    def test_it_tells_once_each_time_that_it_runs_out(self) -> None:
        told = list[Event]()
        budget = opened(per_second=0.5, most=2.0, told=told)
        for _ in range(5):
            budget.put_off(0.0)
        assert told == [RetryBudgetSpent("/", "x", 2.0)]
        assert budget.put_off(7.0) > 0  # there was never a whole token in between
        assert len(told) == 1
        assert [budget.put_off(100.0) for _ in range(3)] == [0.0, 0.0, 2.0]
        assert len(told) == 2

    def test_it_is_idle_when_it_is_full(self) -> None:
        budget = opened(per_second=0.5)
        assert budget.is_idle(0.0)
        budget.put_off(0.0)
        assert [budget.is_idle(now) for now in (0.0, 1.9, 2.0)] == [False, False, True]


class TestPolicy:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("name", ""), ("name", 1)]
        + [("ratio", value) for value in (-0.1, 1.5, math.nan, "1")]
        + [("per_second", value) for value in (0, -1.0, math.nan, math.inf)]
        + [("most", value) for value in (0.5, math.nan, math.inf)]
        + [("longest_wait", value) for value in (-0.5, math.nan)],
    )
    def test_each_wrong_field_is_refused_by_name_with_the_value(self, field: str, value: Any) -> None:
        right: dict[str, Any] = {"name": "x"}
        with pytest.raises(ValueError, match=rf"^expected {field} to be ") as raised:
            RetryBudget(**(right | {field: value}))
        assert str(raised.value).endswith(f"got {value!r}")

    def test_both_fulfil_the_protocols(self) -> None:
        budget, guards = RetryBudget("x", longest_wait=7.0), Guards()
        for policy in (budget, budget.retry):
            as_policy: Policy = policy
            assert (as_policy.name, as_policy.rank, as_policy.plain) == ("x", BUDGET, policy)
            machine = guards.gate(as_policy).machine
            assert isinstance(machine, Machine)
            assert (machine.is_shut, machine.setback()) == (False, 0.0)
        assert guards.gate(budget.retry).machine.longest_wait == 7.0
        assert not hasattr(guards.gate(budget.retry).machine, "put_off"), "a budget has a say in retries, a permit none"

    def test_a_permit_of_another_budget_of_that_name_is_refused(self) -> None:
        guards = Guards()
        guards.of(RetryBudget("x"))
        with pytest.raises(ValueError, match="expected one RetryBudget of the name 'x'"):
            guards.of(RetryBudget("x", ratio=0.2).retry)

    def test_a_house_that_does_not_know_its_budget_is_refused(self) -> None:
        house: Any = object()
        with pytest.raises(TypeError, match="expected a house that knows its policies"):
            RetryBudget("x").retry.open(house)


def permits(per_second: float = 1.0, most: float = 1.0) -> tuple[Deposits, Withdrawals]:
    guards, budget = Guards(), RetryBudget("x", 0.25, per_second, most)
    deposits, withdrawals = guards.gate(budget).machine, guards.gate(budget.retry).machine
    assert isinstance(deposits, Deposits)
    assert isinstance(withdrawals, Withdrawals)
    return deposits, withdrawals


class TestWithdrawals:
    def test_they_take_from_the_budget_of_that_name(self) -> None:
        deposits, withdrawals = permits(most=2.0)
        assert withdrawals.enter(0.0, True, 1)
        assert deposits.put_off(0.0) == 0.0
        assert withdrawals.enter(0.0, True, 1) is None

    def test_one_that_cannot_wait_takes_nothing_and_the_budget_tells(self) -> None:
        deposits, withdrawals = permits()
        assert withdrawals.enter(0.0, False, 1)
        assert withdrawals.enter(0.0, False, 1) is None
        assert (deposits.tokens(0.0), deposits._is_spent) == (0.0, True)

    def test_the_first_in_line_does_not_wait_for_those_that_are_put_off_after_it(self) -> None:
        deposits, withdrawals = permits()
        assert [deposits.put_off(0.0), deposits.put_off(0.0)] == [0.0, 1.0]
        assert withdrawals.enter(0.0, True, 1) is None
        assert deposits.put_off(0.0) == 3.0
        assert [withdrawals.room(now) for now in (1.9, 2.0)] == [0, 1]
        assert withdrawals.opens_at(0.5) == 2.0
        assert withdrawals.enter(2.0, True, 1)

    def test_calls_that_pay_for_all_that_was_promised_let_it_go_before(self) -> None:
        deposits, withdrawals = permits(per_second=0.001)
        deposits.put_off(0.0)
        assert withdrawals.enter(0.0, True, 1) is None
        for _ in range(4):
            assert withdrawals.room(0.0) == 0
            deposits.enter(0.0, True, 1)
        assert withdrawals.room(0.0) == 1
        assert withdrawals.enter(0.0, True, 1)
        assert deposits.tokens(0.0) == 0.0

    def test_a_token_that_nobody_fetched_is_none_beside_a_full_budget(self) -> None:
        _, withdrawals = permits(most=2.0)
        assert [withdrawals.enter(0.0, True, 1) for _ in range(3)] == [True, True, None]
        assert not withdrawals.is_idle(100.0)
        assert [withdrawals.enter(100.0, True, 1) for _ in range(3)] == [True, True, None]

    def test_it_opens_later_than_now(self) -> None:
        deposits, withdrawals = permits(per_second=2.0, most=2.0)
        assert withdrawals.opens_at(3.0) == 3.5
        withdrawals.enter(3.0, True, 1)
        assert withdrawals.opens_at(3.0) == 3.5
        deposits.put_off(3.0)
        assert withdrawals.opens_at(3.25) == 3.5

    def test_a_refusal_names_the_budget_and_the_time_until_there_is_one(self) -> None:
        _, withdrawals = permits(per_second=0.5)
        withdrawals.enter(0.0, True, 1)
        error = withdrawals.refusal(0.5)
        assert (type(error), error.guard, error.retry_after) == (GuardRefused, "x", 1.5)
        assert str(error) == "retry budget x has no retry left for 1.5 s"


@pytest.mark.anyio
class TestLine:
    async def test_retries_wait_in_line_and_go_one_by_one_in_order(self) -> None:
        calls, budget = Calls(), RetryBudget("x", per_second=2.0, most=1.0)
        for name in "abcd":
            await calls.begin(name, budget.retry)
        await advance(9.0)
        assert list(calls.went.items()) == [("a", 0.0), ("b", 0.5), ("c", 1.0), ("d", 1.5)]
        assert calls.events == [RetryBudgetSpent("/", "x", 0.5)]

    async def test_calls_go_on_while_retries_wait(self) -> None:
        calls, budget = Calls(), RetryBudget("x", per_second=1.0, most=1.0)
        for name in ("r1", "r2"):
            await calls.begin(name, budget.retry)
        await calls.call("call", budget)
        assert calls.went == {"r1": 0.0, "call": 0.0}

    async def test_one_that_gives_up_leaves_its_token_to_the_next(self) -> None:
        calls, budget = Calls(), RetryBudget("x", per_second=1.0, most=1.0)
        await calls.begin("a", budget.retry)
        gone = await calls.begin("b", budget.retry)
        await calls.begin("c", budget.retry)
        await advance(0.5)
        gone.cancel()
        await advance(5.0)
        assert calls.went == {"a": 0.0, "c": 1.0}

    async def test_a_token_goes_back_when_a_later_guard_refuses(self) -> None:
        calls, budget, full = Calls(), RetryBudget("x", most=2.0), Bulkhead("x", running=1, waiting=0)
        async with calls.guards.guard(full):
            for name in "abc":
                with pytest.raises(BulkheadFull):
                    await calls.call(name, budget.retry, full)
        assert calls.guards.gate(budget.retry).room() == 2

    async def test_nobody_waits_longer_than_the_longest_wait(self) -> None:
        calls, budget = Calls(), RetryBudget("x", per_second=0.1, most=1.0, longest_wait=4.0)
        await calls.call("a", budget.retry)
        with pytest.raises(GuardRefused):
            await calls.call("b", budget.retry)
        assert calls.now == pytest.approx(4.0)

    async def test_retries_within_calls_and_those_put_off_share_what_there_is(self) -> None:
        calls, budget = Calls(), RetryBudget("x", per_second=1.0, most=1.0)
        deposits = calls.guards.gate(budget).machine
        assert isinstance(deposits, Deposits)
        times = [deposits.put_off(deposits._house.now()) for _ in range(3)]
        for name in "abc":
            await calls.begin(name, budget.retry)
        await advance(20.0)
        times = sorted(times + list(calls.went.values()))
        assert all(after - before >= 1.0 - 1e-6 for before, after in pairwise(times))
        assert times == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_permit_is_made_by_its_budget() -> None:
    assert RetryBudget("x").retry == RetryPermit(RetryBudget("x"))
