"""The laws of an open circuit: how long it waits, whom it lets through then, and what becomes of it by them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.supervision.circuits import DOWN, PlainHouse, Trial
from upright.actors.errors import GuardRefused, Refuse
from upright.supervision.backoff import Backoff
from upright.supervision.breaker import Mode
from upright.supervision.errors import CircuitOpen, RateLimited
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerOpened
from upright.supervision.retry import RetryAfter
from upright.supervision.window import Tally

INF = float("inf")
SPREAD = Backoff(5.0, 300.0)
TELLING_NOTHING = [
    asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1), GeneratorExit(), Refuse("no such user"),
    GuardRefused("full", "db", 1.0), RateLimited("not now", "smtp", 1.0), CircuitOpen("open", "other", 1.0),
    BaseExceptionGroup("two", [asyncio.CancelledError()]),
]  # fmt: skip
TELLS_NOTHING = pytest.mark.parametrize("error", TELLING_NOTHING, ids=lambda error: type(error).__name__)


class TestWait:
    def test_nobody_enters_until_it_is_over_and_then_somebody_does(self) -> None:
        trial = Trial().trip()
        assert (trial.room, trial.breaker.is_shut, trial.breaker.opens_at(0.0)) == (0.0, True, 5.0)
        trial.after(4.999)
        assert (trial.enter(), trial.enter(patient=True)) == (None, None)
        trial.after(0.001)
        assert trial.room == 3
        assert trial.enter() is not None
        assert trial.house.told[-1] == BreakerHalfOpened("/", "smtp", 3)

    def test_a_refusal_names_the_circuit_and_the_rest_of_the_wait(self) -> None:
        refusal = Trial().trip().after(1.5).breaker.refusal(1.5)
        assert isinstance(refusal, CircuitOpen)
        assert (refusal.guard, refusal.retry_after) == ("smtp", 3.5)
        assert str(refusal) == "circuit smtp is open for 3.5 s more"

    def test_it_rises_from_5_to_300_seconds_with_each_opening_that_follows_another(self) -> None:
        trial = Trial()
        for _ in range(9):
            trial.half_opened()
        assert trial.waits == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
        assert [event.openings for event in trial.openings] == list(range(1, 10))

    def test_it_rises_so_by_default_and_is_spread_by_the_dice_of_the_house(self) -> None:
        def waits(seed: int) -> list[float]:
            trial = Trial(PlainHouse(seed=seed), wait=SPREAD)
            for _ in range(8):
                trial.half_opened()
            return trial.waits

        assert Trial().policy.__class__("smtp").wait == SPREAD
        for wait, most in zip(waits(1), [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0], strict=True):
            assert most / 2 <= wait < most
        assert waits(1) == waits(1) != waits(2)

    def test_it_begins_anew_after_it_has_closed(self) -> None:
        trial = Trial().half_opened().half_opened().closed_again().trip()
        assert trial.waits == [5.0, 10.0, 20.0, 5.0]

    @given(st.floats(0.0, 1e6))
    def test_a_retry_after_sets_it_exactly(self, seconds: float) -> None:
        trial = Trial().calls("x" * 9)
        trial.call(RetryAfter(seconds))
        assert trial.waits == [seconds]
        assert trial.breaker.opens_at(0.0) == seconds

    def test_a_retry_after_within_a_group_sets_it_too_and_the_longest_wins(self) -> None:
        trial = Trial(minimum_calls=1)
        trial.call(ExceptionGroup("both", [RetryAfter(7.0), ExceptionGroup("in", [RetryAfter(9.0)]), DOWN]))
        assert trial.waits == [9.0]

    def test_a_retry_after_of_a_probe_sets_the_next_one_and_leaves_the_back_off_as_it_is(self) -> None:
        trial = Trial().half_opened().calls("xx")
        trial.call(RetryAfter(77.0))
        assert trial.waits == [5.0, 77.0]
        assert trial.half_opened().trip().waits == [5.0, 77.0, 20.0]

    def test_a_retry_after_that_does_not_open_it_is_no_matter(self) -> None:
        trial = Trial()
        trial.call(RetryAfter(1000.0))
        assert trial.trip().waits == [5.0]

    def test_an_endless_wait_lets_nobody_through_and_breaks_nothing(self) -> None:
        trial = Trial(minimum_calls=1)
        trial.call(RetryAfter(1e300))
        assert (trial.after(1e9).enter(), trial.breaker.opens_at(1e9)) == (None, 1e300)


class TestPermits:
    @pytest.mark.parametrize("permits", [1, 3, 7])
    def test_exactly_so_many_are_let_through_at_once(self, permits: int) -> None:
        trial = Trial(permits=permits).trip().after(5.0)
        entered = [trial.enter(patient) for patient in (True, False) * permits]
        assert [token is not None for token in entered] == [True] * permits + [False] * permits
        assert trial.room == 0

    def test_one_that_has_ended_leaves_no_room_for_another(self) -> None:
        trial = Trial().half_opened()
        for left in (2, 1):
            trial.calls("o")
            assert trial.room == left
        trial.begin()
        assert (trial.room, trial.enter(), trial.state) == (0, None, "half-open")

    def test_one_that_finds_none_is_told_to_come_again_soon(self) -> None:
        trial = Trial().half_opened()
        trial.begin(3)
        refusal = trial.breaker.refusal(trial.now)
        assert 0 < refusal.retry_after <= 1.0
        assert str(refusal) == "circuit smtp is half-open and all permits are taken"

    @pytest.mark.parametrize(
        ("outcomes", "state"), [("ooo", "closed"), ("oox", "closed"), ("xxo", "open"), ("oxx", "open"), ("xxx", "open")]
    )
    def test_it_is_judged_by_all_of_them_and_by_nothing_before(self, outcomes: str, state: str) -> None:
        trial = Trial(minimum_calls=100, window_calls=100, consecutive=2).half_opened()
        assert trial.breaker.tally() == Tally()
        trial.calls(outcomes[:2])
        assert trial.state == "half-open"
        assert trial.calls(outcomes[2]).state == state

    def test_it_is_judged_in_whatever_order_they_end(self) -> None:
        trial = Trial().half_opened()
        first, second, third = trial.begin(3)
        trial.end(third)
        trial.end(first, DOWN)
        assert trial.state == "half-open"
        trial.end(second)
        assert trial.state == "closed"

    @pytest.mark.parametrize(("slow", "state"), [(1, "closed"), (2, "open")])
    def test_slow_ones_open_it_again(self, slow: int, state: str) -> None:
        trial = Trial(slow_call=1.0).half_opened()
        for number in range(3):
            trial.call(took=9.0 if number < slow else 0.0)
        assert trial.state == state

    def test_a_rate_that_is_reached_opens_it_again(self) -> None:
        assert Trial(permits=4).half_opened().calls("ooxx").state == "open"

    def test_the_window_is_a_fresh_one_after_it_has_closed_too(self) -> None:
        trial = Trial().closed_again()
        assert (trial.breaker.tally(), trial.calls("x" * 9).state, trial.calls("x").state) == (
            Tally(), "closed", "open",
        )  # fmt: skip

    def test_it_tells_for_how_long_it_was_open_in_all(self) -> None:
        trial = Trial().after(3.0).half_opened().half_opened().calls("ooo")
        assert trial.house.told[-1] == BreakerClosed("/", "smtp", 15.0)
        assert trial.breaker.openings == 0


class TestLongestHalfOpen:
    def test_it_opens_again_when_a_probe_does_not_come_back(self) -> None:
        trial = Trial(half_open_max_wait=60.0).half_opened().calls("oo")
        (lost,) = trial.begin()
        assert trial.after(59.9).room == 0
        assert (trial.after(0.1).room, trial.state, trial.breaker.opens_at(trial.now)) == (0, "open", trial.now + 10.0)
        assert trial.openings[-1].why == "not all of 3 permits came back in time"
        trial.end(lost)
        assert trial.state == "open"

    def test_where_few_have_asked_it_closes_if_all_of_these_went_well(self) -> None:
        """A dependency that is asked once a minute would be cut off for ever longer otherwise, though it is well."""
        trial = Trial().half_opened().calls("o").after(60.0)
        assert (trial.room, trial.state) == (3, "closed"), "and gently at first"

    def test_where_few_have_asked_it_opens_again_if_one_of_these_failed(self) -> None:
        trial = Trial().half_opened().calls("ox").after(60.0)
        assert (trial.enter(), trial.state) == (None, "open")

    def test_while_nobody_has_asked_nothing_has_failed(self) -> None:
        trial = Trial().half_opened().after(1e6)
        assert (trial.room, trial.state, len(trial.openings)) == (3, "half-open", 1)
        assert trial.calls("ooo").state == "closed"

    def test_a_result_that_comes_at_the_end_of_the_time_comes_too_late(self) -> None:
        trial = Trial().half_opened()
        tokens = trial.begin(3)
        trial.after(60.0)
        for token in tokens:
            trial.end(token)
        assert (trial.state, trial.waits) == ("open", [5.0, 10.0])

    def test_the_permits_are_there_again_after_the_wait_that_follows(self) -> None:
        trial = Trial().half_opened()
        trial.begin(3)
        assert trial.after(60.0).room == 0
        assert trial.after(10.0).room == 3
        assert trial.calls("ooo").state == "closed"

    def test_without_end_it_waits_for_its_probes(self) -> None:
        trial = Trial(half_open_max_wait=INF).half_opened()
        tokens = trial.begin(3)
        assert (trial.after(1e9).room, trial.breaker.opens_at(trial.now)) == (0, INF)
        for token in tokens:
            trial.end(token)
        assert trial.state == "closed"


class TestThirdOutcome:
    @TELLS_NOTHING
    def test_in_half_open_the_permit_goes_back_and_nothing_is_counted(self, error: BaseException) -> None:
        trial = Trial().half_opened()
        for back, token in enumerate(trial.begin(3)):
            assert trial.room == back
            trial.end(token, error, took=1e6)
        assert (trial.state, trial.room, trial.breaker.tally()) == ("half-open", 3, Tally())
        assert trial.calls("ooo").state == "closed"

    @TELLS_NOTHING
    def test_in_a_closed_one_nothing_is_counted(self, error: BaseException) -> None:
        trial = Trial(consecutive=1, slow_call=1.0)
        for _ in range(100):
            trial.call(error, took=2.0)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally())

    def test_a_permit_that_was_not_used_goes_back(self) -> None:
        trial = Trial(permits=1).half_opened()
        for _ in range(10):
            trial.breaker.give_back(trial.begin()[0], trial.now)
        assert (trial.state, trial.room) == ("half-open", 1)


class TestGenerations:
    @pytest.mark.parametrize("error", [None, DOWN, asyncio.CancelledError()])
    def test_what_began_in_the_closed_circuit_is_no_probe_and_gives_back_no_permit(
        self, error: BaseException | None
    ) -> None:
        trial = Trial()
        early = trial.begin(5)
        trial.half_opened().begin(2)
        for token in early:
            trial.end(token, error)
        assert (trial.state, trial.room, trial.breaker.tally()) == ("half-open", 1, Tally())
        for token in early:
            trial.breaker.give_back(token, trial.now)
        assert trial.room == 1

    def test_what_began_in_the_closed_circuit_changes_nothing_while_it_is_open(self) -> None:
        trial = Trial()
        early = trial.begin(20)
        trial.trip()
        for token in early:
            trial.end(token, RetryAfter(1000.0))
        assert (trial.waits, trial.breaker.opens_at(0.0)) == ([5.0], 5.0)

    def test_a_probe_of_an_earlier_time_is_none_of_a_later_one(self) -> None:
        trial = Trial().half_opened()
        early = trial.begin(3)
        trial.after(60.0)
        assert trial.room == 0
        trial.after(10.0).calls("oo")
        for token in early:
            trial.end(token, DOWN)
        assert (trial.state, trial.breaker.tally(), trial.room) == ("half-open", Tally(2, 0, 0), 1)

    def test_what_began_before_it_opened_does_not_count_after_it_has_closed(self) -> None:
        trial = Trial(consecutive=1)
        early = trial.begin(20)
        trial.closed_again()
        for token in early:
            trial.end(token, DOWN)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally())


class TestSlowStart:
    def test_mailboxes_have_as_many_under_way_as_there_were_permits_and_one_more_for_each_that_succeeds(self) -> None:
        trial = Trial(minimum_calls=100).closed_again()
        assert trial.room == 3
        tokens = [trial.enter(patient=True) for _ in range(4)]
        assert [token is not None for token in tokens] == [True, True, True, False]
        trial.end(tokens[0] or 0)
        assert trial.room == 2
        trial.end(tokens[1] or 0, DOWN)
        assert trial.room == 3
        trial.end(tokens[2] or 0, asyncio.CancelledError())
        assert trial.room == 4

    def test_a_call_that_cannot_wait_is_let_through_meanwhile(self) -> None:
        trial = Trial().closed_again()
        assert len(trial.begin(20)) == 20
        assert (trial.room, trial.enter(patient=True)) == (0, None)

    def test_after_that_all_are_let_through(self) -> None:
        trial = Trial(slow_start=10.0).closed_again()
        trial.begin(20)
        assert trial.breaker.opens_at(trial.now) == trial.now + 10.0
        assert trial.after(9.9).room == 0
        assert trial.after(0.2).room == INF
        assert trial.enter(patient=True) is not None

    def test_of_no_time_there_is_none(self) -> None:
        assert Trial(slow_start=0.0).closed_again().room == INF

    @pytest.mark.parametrize("mode", ["disabled", "metrics-only"])
    def test_one_that_an_operator_closes_lets_all_through_at_once(self, mode: Mode) -> None:
        trial = Trial().closed_again()
        trial.breaker.set_mode(mode, "ada", "to see")
        trial.breaker.set_mode("automatic", "ada", "seen")
        assert trial.room == INF
        assert [trial.enter(patient=True) for _ in range(20)].count(None) == 0

    def test_failures_open_it_again_meanwhile(self) -> None:
        trial = Trial().closed_again().trip()
        assert (trial.room, trial.openings[-1]) == (
            0, BreakerOpened("/", "smtp", "10 of 10 calls failed", 5.0, 1),
        )  # fmt: skip


class TestSetback:
    def test_it_is_nothing_closed_the_rest_of_the_wait_open_and_the_next_wait_half_open(self) -> None:
        trial = Trial()
        assert trial.breaker.setback() == 0
        assert trial.trip().after(2.0).breaker.setback() == 3.0
        assert trial.after(9.0).breaker.setback() == 0
        trial.begin()
        assert trial.breaker.setback() == 10.0

    @pytest.mark.parametrize("factor", [1.0, 1e10, 1e300])
    def test_it_is_never_more_than_the_cap_however_steep_and_however_often(self, factor: float) -> None:
        trial = Trial(wait=Backoff(5.0, 300.0, factor, jitter="none"))
        for _ in range(70):
            trial.half_opened()
        assert trial.breaker.setback() == (5.0 if factor == 1 else 300.0)
