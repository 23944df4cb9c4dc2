"""The laws of back-off: it grows, is capped, then spread, and begins anew after a quiet time."""

import math
import random
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.supervision import Backoff
from upright.supervision.backoff import JITTERS, Jitter

FIRSTS = st.floats(0.001, 100.0)
GROWTHS = st.floats(1.0, 1_000.0)
FACTORS = st.floats(1.0, 10.0)
NTHS = st.integers(1, 10**12)


def made(first: float, growth: float, factor: float, jitter: Jitter) -> Backoff:
    return Backoff(first, first * growth, factor, jitter)


@given(FIRSTS, GROWTHS, FACTORS, st.integers(1, 60))
def test_without_jitter_a_delay_is_what_has_grown_up_to_the_cap(
    first: float, growth: float, factor: float, nth: int
) -> None:
    grown = first
    for _ in range(nth - 1):
        grown *= factor
    delay = made(first, growth, factor, "none").delay(nth, random.Random(0))
    assert delay == pytest.approx(min(grown, first * growth))


def test_the_first_delay_is_first() -> None:
    assert Backoff(0.25, 60.0, 3.0, "none").delay(1, random.Random(0)) == 0.25


def test_the_defaults_are_to_double_and_to_spread_the_upper_half() -> None:
    assert Backoff(1.0, 60.0) == Backoff(1.0, 60.0, 2.0, "equal", None)


@given(FIRSTS, GROWTHS, FACTORS, NTHS)
def test_the_cap_never_falls_as_tries_go_on(first: float, growth: float, factor: float, nth: int) -> None:
    backoff = made(first, growth, factor, "none")
    rng = random.Random(0)
    assert backoff.delay(nth, rng) <= backoff.delay(nth + 1, rng) <= backoff.cap


@given(FIRSTS, GROWTHS, FACTORS, NTHS, st.integers())
def test_each_jitter_keeps_its_bounds(first: float, growth: float, factor: float, nth: int, seed: int) -> None:
    whole = made(first, growth, factor, "none").delay(nth, random.Random(0))
    least: dict[Jitter, float] = {"none": whole, "equal": whole / 2, "full": 0.0}
    for jitter in JITTERS:
        assert least[jitter] <= made(first, growth, factor, jitter).delay(nth, random.Random(seed)) <= whole


@pytest.mark.parametrize(("jitter", "low", "high"), [("equal", 5.0, 10.0), ("full", 0.0, 10.0)])
def test_those_who_wait_longest_are_spread_over_all_of_it_and_do_not_all_wait_the_cap(
    jitter: Jitter, low: float, high: float
) -> None:
    rng = random.Random(7)
    delays = [Backoff(1.0, 10.0, jitter=jitter).delay(1_000, rng) for _ in range(2_000)]
    width = high - low
    assert low <= min(delays) < low + width / 20
    assert high - width / 20 < max(delays) <= high
    assert sum(delays) / len(delays) == pytest.approx((low + high) / 2, rel=0.05)
    assert len(set(delays)) > 1_900


@given(FIRSTS, GROWTHS, FACTORS, NTHS, st.sampled_from(JITTERS), st.integers())
def test_the_same_dice_give_the_same_delay(
    first: float, growth: float, factor: float, nth: int, jitter: Jitter, seed: int
) -> None:
    backoff = made(first, growth, factor, jitter)
    assert backoff.delay(nth, random.Random(seed)) == backoff.delay(nth, random.Random(seed))


@pytest.mark.parametrize("nth", [1_025, 10**6, 10**12, 10**400])
@pytest.mark.parametrize("factor", [1.5, 2.0, 1e300])
def test_a_number_of_tries_that_overflows_waits_the_cap(nth: int, factor: float) -> None:
    assert Backoff(0.5, 30.0, factor, "none").delay(nth, random.Random(0)) == 30.0


def test_a_factor_of_one_never_grows() -> None:
    assert Backoff(0.5, 30.0, 1.0, "none").delay(10**9, random.Random(0)) == 0.5


def test_whole_numbers_cost_no_memory_however_many_tries_there_were() -> None:
    backoff, rng = Backoff(1, 30, 2, "none"), random.Random(0)
    backoff.delay(2, rng)
    tracemalloc.start()
    try:
        assert backoff.delay(8_000_000, rng) == 30
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nth", [0, -1])
def test_tries_count_from_one(nth: int) -> None:
    with pytest.raises(ValueError, match=rf"nth.*{nth}"):
        Backoff(1.0, 2.0).delay(nth, random.Random(0))


@given(st.floats(0.001, 1_000.0), st.floats(0, 10_000.0))
def test_it_begins_anew_after_twice_the_cap_unless_told_otherwise(cap: float, since: float) -> None:
    assert Backoff(0.001, cap).is_quiet(since) == (since >= 2 * cap)


@given(st.floats(0.001, 1_000.0), st.floats(0, 10_000.0))
def test_it_begins_anew_after_its_own_quiet_time(quiet: float, since: float) -> None:
    assert Backoff(1.0, 2.0, quiet=quiet).is_quiet(since) == (since >= quiet)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first", 0.0),
        ("first", -1.5),
        ("first", math.nan),
        ("cap", 0.5),
        ("cap", -1.0),
        ("cap", math.nan),
        ("factor", 0.9),
        ("factor", -2.0),
        ("factor", math.nan),
        ("jitter", "half"),
        ("jitter", None),
        ("quiet", 0.0),
        ("quiet", -3.0),
        ("quiet", math.nan),
    ],
)
def test_each_wrong_field_is_refused_by_name_with_the_value(field: str, value: Any) -> None:
    right: dict[str, Any] = {"first": 1.0, "cap": 10.0}
    with pytest.raises(ValueError, match=rf"^expected {field} to be ") as raised:
        Backoff(**(right | {field: value}))
    assert str(raised.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("field", ["first", "cap", "factor", "quiet"])
@pytest.mark.parametrize("value", ["2"])
def test_a_field_of_a_wrong_type_is_refused_by_name_with_the_value(field: str, value: Any) -> None:
    right: dict[str, Any] = {"first": 1.0, "cap": 10.0}
    with pytest.raises((TypeError, ValueError)) as raised:
        Backoff(**(right | {field: value}))
    assert field in str(raised.value)
    assert repr(value) in str(raised.value)


def test_it_is_a_value_that_nobody_changes() -> None:
    backoff: Any = Backoff(1.0, 2.0)
    assert backoff == Backoff(1.0, 2.0)
    assert hash(backoff) == hash(Backoff(1.0, 2.0))
    with pytest.raises(AttributeError):
        backoff.first = 3.0
    assert msgspec.structs.replace(backoff, cap=4.0) == Backoff(1.0, 4.0)
