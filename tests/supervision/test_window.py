"""The laws of windows: what counts is what the plainest list would count, whatever the clock does."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from upright.supervision.window import BUCKETS, CountWindow, Tally, TimeWindow

OUTCOMES = st.tuples(st.booleans(), st.booleans())
# In tenths of a window of ten seconds, so that a bucket is exactly one second. Standing, far ahead, and back.
STEPS = st.one_of(st.just(0.0), st.floats(0.0, 3.0), st.floats(8.5, 11.5), st.just(1e7), st.floats(-30.0, 0.0))


def summed(outcomes: list[tuple[bool, bool]]) -> Tally:
    return Tally(len(outcomes), sum(failed for failed, _ in outcomes), sum(slow for _, slow in outcomes))


class TestTime:
    @given(st.lists(st.tuples(STEPS, OUTCOMES | st.sampled_from(("look", "clear")))), st.sampled_from((0.0, 1e6)))
    def test_it_counts_what_a_list_of_all_outcomes_with_their_seconds_would(
        self, deeds: list[tuple[float, Any]], start: float
    ) -> None:
        window, noted, now, newest = TimeWindow(10.0), list[tuple[int, bool, bool]](), start, 0
        for step, deed in deeds:
            now += step
            newest = max(newest, int(now // 1))
            if deed == "clear":
                window.clear()
                noted.clear()
            elif deed != "look":
                failed, slow = deed
                window.record(failed, slow, now)
                noted.append((newest, failed, slow))
            counted = [(failed, slow) for second, failed, slow in noted if newest - second < BUCKETS]
            assert window.tally(now) == summed(counted)

    @given(st.floats(0.05, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 2.0))
    @example(60.0, 0.0, 0.9)
    @example(60.0, 0.0, 1.0)
    def test_an_outcome_counts_for_nine_tenths_of_the_window_and_for_no_more_than_all_of_it(
        self, seconds: float, began: float, share: float
    ) -> None:
        window = TimeWindow(seconds)
        window.record(True, True, began)
        counts = window.tally(began + share * seconds).calls
        if share < 0.899:
            assert counts == 1
        if share > 1.001:
            assert counts == 0

    @pytest.mark.parametrize("step", [0.3, 1.0, 2.7, 9.9])
    def test_however_often_it_has_turned_it_counts_the_last_ten_seconds(self, step: float) -> None:
        window, noted = TimeWindow(10.0), list[tuple[int, bool, bool]]()
        for number in range(500):
            now, failed, slow = number * step, number % 3 == 0, number % 5 == 0
            window.record(failed, slow, now)
            noted.append((int(now // 1), failed, slow))
            counted = [(failed, slow) for second, failed, slow in noted if noted[-1][0] - second < BUCKETS]
            assert window.tally(now) == summed(counted)

    def test_what_is_forgotten_never_comes_back_when_the_clock_goes_back(self) -> None:
        window = TimeWindow(10.0)
        window.record(True, False, 5.0)
        assert window.tally(15.0) == Tally()
        assert window.tally(5.0) == Tally()

    def test_what_comes_while_the_clock_is_back_counts_as_of_the_newest_time_known(self) -> None:
        window = TimeWindow(10.0)
        window.record(False, False, 100.0)
        window.record(True, False, 3.0)
        assert window.tally(109.9) == Tally(2, 1, 0)
        assert window.tally(110.0) == Tally()

    def test_a_clock_below_zero_is_one_that_went_back(self) -> None:
        window = TimeWindow(10.0)
        window.record(True, False, -1e6)
        assert window.tally(-5.0) == window.tally(9.9) == Tally(1, 1, 0)

    def test_a_standing_clock_forgets_nothing(self) -> None:
        window = TimeWindow(1.0)
        for _ in range(1000):
            window.record(True, True, 7.0)
        assert window.tally(7.0) == Tally(1000, 1000, 1000)

    def test_a_jump_over_years_takes_no_time(self) -> None:
        window = TimeWindow(0.001)
        window.record(True, False, 0.0)
        assert window.tally(3e9) == Tally()

    def test_one_bucket_is_forgotten_at_a_time(self) -> None:
        window = TimeWindow(10.0)
        for second in range(10):
            window.record(second % 2 == 0, second == 9, float(second))
        assert [window.tally(9.0 + later) for later in (0.0, 1.0, 2.0, 9.0, 10.0)] == [
            Tally(10, 5, 1), Tally(9, 4, 1), Tally(8, 4, 1), Tally(1, 0, 1), Tally(),
        ]  # fmt: skip


class TestCount:
    @given(st.integers(1, 12), st.lists(OUTCOMES | st.just("clear"), max_size=60), st.randoms())
    def test_it_counts_the_end_of_a_list_of_all_outcomes(self, size: int, deeds: list[Any], dice: Any) -> None:
        window, noted = CountWindow(size), list[tuple[bool, bool]]()
        for deed in deeds:
            if deed == "clear":
                window.clear()
                noted.clear()
            else:
                failed, slow = deed
                window.record(failed, slow, dice.uniform(-1e9, 1e9))
                noted.append((failed, slow))
            assert window.tally(dice.uniform(-1e9, 1e9)) == summed(noted[-size:])

    def test_time_makes_it_forget_nothing(self) -> None:
        window = CountWindow(3)
        window.record(True, True, 0.0)
        assert window.tally(1e12) == Tally(1, 1, 1)


@pytest.mark.parametrize("window", [TimeWindow(10.0), CountWindow(10)])
def test_looking_changes_nothing(window: TimeWindow | CountWindow) -> None:
    window.record(True, False, 1.0)
    assert [window.tally(1.0) for _ in range(5)] == [Tally(1, 1, 0)] * 5
