"""The simulation behind docs/jitter.md is true to its source, and shows what the page says of our jitters."""

import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.jitter import Delay, at_once, contention, outage, peak, per_second, policies

OURS = ("equal", "full", "decorrelated")
CALLERS = policies(1.0, 30.0)
EVERYBODY = sorted(CALLERS)


def cut_off(delay: Delay, seed: int = 1) -> list[float]:
    """The calls of a hundred clients at the cap, after a restart of a second that cut all off at once."""
    course = outage(100, delay, random.Random(seed), down=1.0, capacity=5.0, failures=10)
    return [call for call in course.calls if call >= 1.0]


@pytest.mark.parametrize("name", EVERYBODY)
def test_the_same_dice_give_the_same_course(name: str) -> None:
    delay = CALLERS[name]
    assert contention(20, delay, random.Random(3)) == contention(20, delay, random.Random(3))
    once, again = (outage(20, delay, random.Random(3), down=20.0, capacity=5.0) for _ in range(2))
    assert once == again


def test_one_who_is_alone_writes_once_and_at_once() -> None:
    course = contention(1, CALLERS["full"], random.Random(1))
    assert len(course.calls) == 1
    assert course.done < 0.1


@pytest.mark.parametrize(
    ("name", "base", "calls"),
    [("none", 0.010, 619), ("equal", 0.010, 348), ("full", 0.010, 332), ("decorrelated, clamped", 0.005, 376)],
)
def test_fifty_contenders_make_as_many_calls_as_in_brooker_s_own_program(name: str, base: float, calls: int) -> None:
    """Means of 100 runs of his event loop: 5 ms, cap 2 s; all but the decorrelated double that before the first try."""
    delay = policies(base, 2.0)[name]
    found = statistics.mean(len(contention(50, delay, random.Random(seed)).calls) for seed in range(40))
    assert found == pytest.approx(calls, rel=0.05)


def test_fifty_contenders_without_back_off_make_as_many_calls_as_in_brooker_s_own_program() -> None:
    found = statistics.mean(len(contention(50, at_once, random.Random(seed)).calls) for seed in range(20))
    assert found == pytest.approx(691, rel=0.05)


@pytest.mark.parametrize("name", OURS)
def test_each_jitter_spares_contenders_half_of_the_calls_and_most_of_the_time(name: str) -> None:
    contenders = policies(0.005, 2.0)
    spread, unspread = (contention(200, contenders[one], random.Random(1)) for one in (name, "none"))
    assert len(spread.calls) < len(unspread.calls) / 1.8
    assert spread.done < unspread.done / 5


@pytest.mark.parametrize("name", EVERYBODY)
def test_an_outage_ends_for_nobody_before_it_is_over_and_for_all_no_faster_than_the_dependency_works(name: str) -> None:
    course = outage(100, CALLERS[name], random.Random(1), down=60.0, capacity=5.0)
    assert course.done >= 60.0 + 100 / 5.0
    assert len(course.calls) > 100 * 5  # nobody has waited 60 s before his fifth failure
    assert all(before <= after for before, after in pairwise(course.calls))


@pytest.mark.parametrize("name", OURS)
def test_whom_one_instant_cuts_off_at_the_cap_comes_back_spread_with_cap_then_jitter(name: str) -> None:
    assert peak(cut_off(CALLERS[name]), 0.010) <= 5


@pytest.mark.parametrize(
    ("name", "least"), [("none", 70), ("equal, clamped", 70), ("full, clamped", 65), ("decorrelated, clamped", 20)]
)
def test_whom_one_instant_cuts_off_at_the_cap_comes_back_in_one_wave_where_the_spread_is_clamped(
    name: str, least: int
) -> None:
    assert peak(cut_off(CALLERS[name]), 0.010) >= least


@given(st.sampled_from(EVERYBODY), st.integers(1, 10**6), st.floats(0, 30), st.integers())
def test_no_form_ever_waits_longer_than_the_cap(name: str, attempt: int, previous: float, seed: int) -> None:
    assert 0 <= CALLERS[name](attempt, previous, random.Random(seed)) <= 30.0


@given(st.lists(st.floats(0, 10), max_size=40).map(sorted), st.floats(0.001, 5))
def test_a_peak_is_the_most_calls_that_any_window_holds(calls: list[float], window: float) -> None:
    held = (sum(first <= call <= last for call in calls) for first in calls for last in calls if last - first <= window)
    assert peak(calls, window) == max(held, default=0)


def test_seconds_count_each_call_up_to_the_end_once() -> None:
    assert per_second([0.0, 0.9, 1.0, 2.5, 9.0], 3) == [2, 1, 1]
