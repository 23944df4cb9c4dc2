"""The laws of restart intensity: OTP's `add_restart`, held against a list that does the same in the plainest way."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.supervision import Intensity
from upright.supervision.intensity import Restarts

# Quarters of seconds add up without rounding, so that the edge of the window is hit exactly, and often.
QUARTERS = st.integers(0, 40).map(lambda number: number / 4)
WINDOWS = st.integers(1, 40).map(lambda number: number / 4)


class Listed:
    """OTP's algorithm: keep what is not older than the window, add now, allowed if there are not too many."""

    def __init__(self, most: int, within: float) -> None:
        self.most, self.within = most, within
        self.times: list[float] = []

    def add_restart(self, now: float) -> bool:
        self.times = [now, *(time for time in self.times if time >= now - self.within)]
        return len(self.times) <= self.most


@given(st.integers(0, 6), WINDOWS, st.lists(QUARTERS, max_size=60), st.floats(0, 1_000))
def test_restarts_are_allowed_until_otp_would_give_up(
    most: int, within: float, pauses: list[float], begin: float
) -> None:
    restarts, model = Restarts(Intensity(most, within)), Listed(most, within)
    now = float(int(begin))
    for pause in pauses:
        now += pause
        allowed = model.add_restart(now)
        assert restarts.would_exceed(now) is not allowed
        if not allowed:
            return
        restarts.record(now)
        assert restarts.count(now) == len(model.times)


@given(st.integers(0, 6), WINDOWS, st.lists(QUARTERS, max_size=60))
def test_asking_records_nothing(most: int, within: float, pauses: list[float]) -> None:
    asked, silent = Restarts(Intensity(most, within)), Restarts(Intensity(most, within))
    now = 0.0
    for pause in pauses:
        now += pause
        for _ in range(3):
            asked.would_exceed(now)
        asked.record(now)
        silent.record(now)
    assert asked.count(now) == silent.count(now)


@given(st.integers(0, 100))
def test_exactly_so_many_restarts_are_allowed_at_one_moment(most: int) -> None:
    restarts = Restarts(Intensity(most, 1.0))
    for _ in range(most):
        assert not restarts.would_exceed(7.0)
        restarts.record(7.0)
    assert restarts.would_exceed(7.0)


@pytest.mark.parametrize("now", [0.0, 1.0, 1e9])
def test_a_limit_of_zero_forbids_every_restart(now: float) -> None:
    assert Restarts(Intensity(0, 5.0)).would_exceed(now)


def test_a_restart_counts_up_to_the_end_of_its_window_and_that_moment_is_in_it() -> None:
    restarts = Restarts(Intensity(1, 5.0))
    restarts.record(10.0)
    assert restarts.would_exceed(15.0)
    assert not restarts.would_exceed(15.001)


def test_the_window_slides_and_does_not_begin_anew_in_steps() -> None:
    restarts = Restarts(Intensity(2, 10.0))
    restarts.record(0.0)
    restarts.record(9.0)
    assert restarts.would_exceed(10.0)
    assert not restarts.would_exceed(10.5)
    restarts.record(10.5)
    assert restarts.would_exceed(19.0)
    assert not restarts.would_exceed(19.5)


def test_nothing_grows_with_the_number_of_restarts() -> None:
    restarts = Restarts(Intensity(3, 5.0))
    for number in range(10_000):
        restarts.record(number * 4.0)
    assert restarts.count(9_999 * 4.0) == 2
    assert len(restarts._times) == 2


def test_a_window_without_end_forgets_nothing() -> None:
    restarts = Restarts(Intensity(1, math.inf))
    restarts.record(0.0)
    assert restarts.would_exceed(1e12)


def test_the_defaults_are_three_restarts_within_five_seconds() -> None:
    assert Intensity() == Intensity(max_restarts=3, within=5.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_restarts", -1), ("max_restarts", -(10**9)), ("within", 0.0), ("within", -0.5), ("within", math.nan)],
)
def test_each_wrong_field_is_refused_by_name_with_the_value(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^expected {field} to be ") as raised:
        Intensity(**{field: value})
    assert str(raised.value).endswith(f"got {value!r}")


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_restarts", "3"), ("max_restarts", None), ("max_restarts", 2.5), ("within", "5"), ("within", None)],
)
def test_a_field_of_a_wrong_type_is_refused_by_name_with_the_value(field: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        Intensity(**{field: value})
    assert field in str(raised.value)
    assert repr(value) in str(raised.value)
