"""The laws of what opens a circuit: rates that are known, of failed or of slow calls, or failures in a row."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.supervision.circuits import DOWN, PlainHouse, Trial
from upright.actors.policies import Machine
from upright.supervision.events import BreakerOpened
from upright.supervision.window import Tally

INF = float("inf")


class Busy(Exception):
    """Not the fault of the dependency."""


def is_ours(error: BaseException) -> bool:
    return not isinstance(error, Busy)


def at_fault(error: BaseException) -> bool:
    raise ZeroDivisionError("by zero")


def test_it_begins_closed_and_lets_all_through_at_once() -> None:
    trial = Trial()
    assert (trial.state, trial.room, trial.breaker.is_shut) == ("closed", INF, False)
    assert len(trial.begin(1000)) == 1000


def test_it_is_a_machine_at_which_no_call_waits() -> None:
    breaker = Trial().breaker
    assert isinstance(breaker, Machine)
    assert (breaker.longest_wait, breaker.is_idle(0.0)) == (0.0, False)


class TestFailures:
    @pytest.mark.parametrize(("outcomes", "state"), [("oooooxxxxx", "open"), ("ooooooxxxx", "closed")])
    def test_a_rate_that_is_reached_opens_it(self, outcomes: str, state: str) -> None:
        assert Trial(failure_rate=0.5).calls(outcomes).state == state

    @pytest.mark.parametrize(("outcomes", "state"), [("x" * 9 + "o", "closed"), ("x" * 10, "open")])
    def test_a_rate_of_one_is_reached_by_failures_alone(self, outcomes: str, state: str) -> None:
        assert Trial(failure_rate=1.0).calls(outcomes).state == state

    def test_a_third_is_reached_by_one_of_three(self) -> None:
        assert Trial(failure_rate=1 / 3, minimum_calls=3).calls("oox").state == "open"

    def test_below_the_minimum_of_calls_nothing_is_known(self) -> None:
        trial = Trial(minimum_calls=10).calls("x" * 9)
        assert (trial.state, trial.breaker.rates(), trial.breaker.tally()) == ("closed", None, Tally(9, 9, 0))

    def test_the_call_that_reaches_the_minimum_opens_it_though_it_went_well(self) -> None:
        trial = Trial().calls("x" * 9)
        assert trial.calls("o").state == "open"

    def test_the_rates_are_told_as_soon_as_they_are_known(self) -> None:
        trial = Trial(slow_call=1.0).calls("xxoooooo")
        for _ in range(2):
            trial.call(took=2.0)
        assert trial.breaker.rates() == (0.2, 0.2)

    @given(st.text("ox", max_size=40), st.integers(1, 12), st.integers(1, 100))
    def test_it_opens_at_the_first_call_after_which_the_rate_is_reached(
        self, outcomes: str, least: int, percent: int
    ) -> None:
        trial, rate = Trial(minimum_calls=least, failure_rate=percent / 100), percent / 100
        for so_far in range(1, len(outcomes) + 1):
            trial.calls(outcomes[so_far - 1])
            opened = so_far >= least and outcomes[:so_far].count("x") / so_far >= rate
            assert trial.state == ("open" if opened else "closed")
            if opened:
                return

    def test_it_tells_why(self) -> None:
        trial = Trial().calls("oooooxxxxx")
        assert trial.house.told == [BreakerOpened("/", "smtp", "5 of 10 calls failed", 5.0, 1)]


class TestSlowCalls:
    def test_they_are_no_matter_by_default(self) -> None:
        trial = Trial()
        for _ in range(100):
            trial.call(took=1e9)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally(100, 0, 0))

    @pytest.mark.parametrize(("took", "slow"), [(2.0, 0), (2.0000001, 10)])
    def test_a_call_is_slow_that_took_more_than_the_threshold(self, took: float, slow: int) -> None:
        trial = Trial(slow_call=2.0, slow_rate=1.0)
        tally = Tally()
        for _ in range(10):
            tally = trial.breaker.tally()
            trial.call(took=took)
        assert (tally.slow, trial.state) == ((9, "open") if slow else (0, "closed"))

    @pytest.mark.parametrize(("took", "slow"), [(2.0, 0), (2.0000001, 1)])
    def test_so_is_one_that_has_failed(self, took: float, slow: int) -> None:
        trial = Trial(slow_call=2.0)
        trial.call(DOWN, took=took)
        assert trial.breaker.tally() == Tally(1, 1, slow)

    @pytest.mark.parametrize(("slow", "state"), [(3, "closed"), (4, "open")])
    def test_a_rate_that_is_reached_opens_it(self, slow: int, state: str) -> None:
        trial = Trial(slow_call=1.0, slow_rate=0.4)
        for number in range(10):
            trial.call(took=1.5 if number < slow else 0.1)
        assert trial.state == state

    def test_a_failure_that_was_slow_counts_as_both(self) -> None:
        trial = Trial(slow_call=1.0, failure_rate=1.0)
        trial.call(DOWN, took=3.0)
        assert trial.breaker.tally() == Tally(1, 1, 1)

    def test_it_tells_why(self) -> None:
        trial = Trial(slow_call=1.5, minimum_calls=2)
        for took in (2.0, 0.0):
            trial.call(took=took)
        assert trial.openings[0].why == "1 of 2 calls took more than 1.5 s"


class TestInARow:
    def test_so_many_failures_in_a_row_open_it_though_the_rates_are_not_known(self) -> None:
        trial = Trial(consecutive=3).calls("xx")
        assert trial.state == "closed"
        assert trial.calls("x").openings[0].why == "3 calls in a row failed"

    def test_a_call_that_went_well_ends_the_row(self) -> None:
        trial = Trial(consecutive=3, minimum_calls=100).calls("xxoxxoxx")
        assert (trial.state, trial.calls("x").state) == ("closed", "open")

    def test_a_slow_call_that_went_well_ends_the_row(self) -> None:
        trial = Trial(consecutive=2, minimum_calls=100, slow_call=1.0).calls("x")
        trial.call(took=5.0)
        assert trial.calls("x").state == "closed"

    def test_a_cancelled_call_neither_ends_nor_lengthens_it(self) -> None:
        trial = Trial(consecutive=3).calls("xx")
        trial.call(KeyboardInterrupt())
        assert (trial.state, trial.calls("x").state) == ("closed", "open")

    def test_off_by_default(self) -> None:
        assert Trial(minimum_calls=1000).calls("x" * 999).state == "closed"

    def test_the_row_begins_anew_after_it_has_closed(self) -> None:
        trial = Trial(consecutive=3, minimum_calls=100).closed_again()
        assert (trial.calls("xx").state, trial.calls("x").state) == ("closed", "open")


class TestWindows:
    def test_over_time_what_is_older_than_the_window_does_not_count(self) -> None:
        trial = Trial(window=60.0).calls("x" * 9).after(60.0).calls("x" * 9)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally(9, 9, 0))
        assert trial.calls("x").state == "open"

    def test_over_time_all_of_the_window_counts(self) -> None:
        trial = Trial(window=60.0)
        for _ in range(9):
            trial.calls("x").after(6.0)
        assert trial.calls("x").state == "open"

    def test_over_calls_the_last_ones_count_however_old_they_are(self) -> None:
        trial = Trial(window_calls=10, minimum_calls=10, failure_rate=0.6)
        trial.calls("xxxxx").after(1e6).calls("ooooo")
        assert trial.breaker.rates() == (0.5, 0.0)
        assert (trial.calls("oooooxxxxx").state, trial.calls("x").state) == ("closed", "open")

    def test_over_calls_it_judges_below_a_full_window(self) -> None:
        assert Trial(window_calls=100, minimum_calls=4).calls("xxxx").state == "open"

    def test_a_clock_that_goes_back_neither_opens_nor_breaks_it(self) -> None:
        trial = Trial().after(1000.0).calls("x" * 5).after(-900.0).calls("o" * 4)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally(9, 5, 0))


class TestWhatCounts:
    def test_a_function_of_the_error_says_whether_it_is_a_failure(self) -> None:
        trial = Trial(counts=is_ours, minimum_calls=4)
        for _ in range(4):
            trial.call(Busy())
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally(4, 0, 0))

    def test_an_error_that_is_none_of_its_failures_ends_a_row_and_may_be_slow(self) -> None:
        trial = Trial(counts=is_ours, consecutive=2, slow_call=1.0)
        trial.calls("x")
        trial.call(Busy(), took=3.0)
        assert (trial.calls("x").state, trial.breaker.tally()) == ("closed", Tally(3, 2, 1))

    def test_where_it_is_at_fault_itself_the_error_is_a_failure_and_says_so(self) -> None:
        error = Busy()
        trial = Trial(counts=at_fault)
        trial.call(error)
        assert trial.breaker.tally() == Tally(1, 1, 0)
        assert error.__notes__ == [
            "counts of circuit smtp raised ZeroDivisionError('by zero'): the error counts as a failure"
        ]

    def test_an_answer_that_is_no_bool_is_taken_for_one(self) -> None:
        answers: list[Any] = [[], "yes"]

        def counts(error: BaseException) -> bool:
            answer: bool = answers.pop()
            return answer

        trial = Trial(counts=counts)
        assert trial.calls("xx").breaker.tally() == Tally(2, 1, 0)

    def test_it_is_not_asked_of_what_tells_nothing(self) -> None:
        trial = Trial(counts=at_fault)
        error = GeneratorExit()
        trial.call(error)
        assert not hasattr(error, "__notes__")


def test_two_of_one_policy_in_two_houses_know_nothing_of_each_other() -> None:
    one, other = Trial(PlainHouse()), Trial(PlainHouse())
    one.trip()
    assert (one.state, other.state) == ("open", "closed")
