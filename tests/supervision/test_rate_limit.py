"""The laws of rate limits: no more in any window than was agreed, first in first out, and nothing lost or won."""

import asyncio
import math
from copy import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors.guards import Guards
from upright.actors.policies import RATE, House, Machine, Policy
from upright.supervision.errors import RateLimited
from upright.supervision.rate_limit import REMEMBERED, Gcra, RateLimit, Visit

HOUSE: House = Guards()
STEPS = st.one_of(st.just(0.0), st.floats(0.0, 3.0), st.sampled_from((1e-9, 60.0, 1e9)))
EXACT = st.sampled_from((0.0, 0.125, 0.25, 1.0, 1.5, 64.0))
"""Steps that floats add without an error, as long as the rate is a power of two."""
WEIGHTS = st.integers(1, 4)


def gcra(rate: float = 1.0, burst: int | None = None, per: float = 1.0) -> Gcra:
    return opened(RateLimit("x", rate, per=per, burst=burst))


def opened(limit: RateLimit) -> Gcra:
    bucket = limit.open(HOUSE)
    assert isinstance(bucket, Gcra)
    return bucket


def taken(bucket: Gcra, now: float, weight: int = 1) -> Visit:
    token = bucket.enter(now, True, weight)
    assert token is not None
    return token


def missing(calls: list[tuple[float, int]], rate: float, burst: int, now: float) -> float:
    """What is missing from the bucket after these calls, counted the plain way: a level, and what comes in by time."""
    level, at = float(burst), 0.0
    for time, weight in calls:
        level = min(burst, level + (time - at) * rate) - weight
        at = time
    return burst - min(burst, level + (now - at) * rate)


class TestWindows:
    @given(
        st.floats(0.01, 1000.0),
        st.floats(0.01, 100.0),
        st.integers(1, 6),
        st.floats(0.0, 1e7),
        st.lists(st.tuples(STEPS, WEIGHTS, st.one_of(st.none(), st.integers(0, 30))), max_size=40),
    )
    def test_no_window_ever_has_more_calls_than_burst_and_rate_allow_refunds_included(
        self, rate: float, per: float, burst: int, now: float, deeds: list[tuple[float, int, int | None]]
    ) -> None:
        bucket = gcra(rate, burst, per)
        visits: list[Visit] = []
        gone: set[int] = set()
        for step, weight, back in deeds:
            now += step
            token = bucket.enter(now, True, weight)
            if token is not None:
                visits.append(token)
            if back is not None and back < len(visits) and back not in gone:
                gone.add(back)
                bucket.give_back(visits[back], now)
        calls = [(time, weight) for nth, (weight, time, _) in enumerate(visits) if nth not in gone]
        for first in range(len(calls)):
            total = 0
            for time, weight in calls[first:]:
                total += weight
                # Floats: the clock at 1e9 s knows 1e-7 s, and refunds are cut at a millionth of a call.
                assert total <= burst + (time - calls[first][0] + 4e-7) * rate / per + 1e-6

    @given(st.sampled_from((0.5, 1.0, 4.0)), st.integers(1, 5), st.lists(st.tuples(EXACT, WEIGHTS), max_size=40))
    def test_a_call_goes_exactly_when_a_bucket_counted_the_plain_way_has_enough(
        self, rate: float, burst: int, deeds: list[tuple[float, int]]
    ) -> None:
        bucket, now, calls = gcra(rate, burst), 0.0, list[tuple[float, int]]()
        for step, weight in deeds:
            now += step
            there = burst - missing(calls, rate, burst, now)
            assert bucket.room(now) == math.floor(there)
            assert bucket.is_idle(now) == (there == burst)
            token = bucket.enter(now, True, weight)
            assert (token is not None) == (weight <= there)
            if token is not None:
                calls.append((now, weight))

    @pytest.mark.parametrize("burst", [1, 3])
    def test_a_million_calls_one_after_the_other_drift_by_nothing(self, burst: int) -> None:
        bucket, start = gcra(10.0, burst), 1e6 + 0.3
        now = start
        for _ in range(1_000_000):
            assert bucket.enter(now, True, 1) is not None
            if not bucket.room(now):
                now = bucket.opens_at(now)
        assert now == pytest.approx(start + (1_000_000 - burst + 1) / 10.0, rel=0, abs=1e-9)

    def test_a_clock_that_stands_still_gives_the_burst_and_no_more(self) -> None:
        bucket = gcra(5.0)
        assert [bucket.enter(7.0, True, 1) is not None for _ in range(8)] == [True] * 5 + [False] * 3

    def test_a_clock_that_makes_a_huge_step_gives_the_burst_and_no_more(self) -> None:
        bucket = gcra(1.0, 3)
        taken(bucket, 0.0)
        assert [bucket.enter(1e12, True, 1) is not None for _ in range(5)] == [True] * 3 + [False] * 2

    def test_what_weighs_more_than_the_burst_never_goes_however_long_it_was_quiet(self) -> None:
        bucket = gcra(1.0, 2)
        assert [bucket.enter(now, True, 3) for now in (0.0, 1.0, 1e6)] == [None] * 3
        assert bucket.room(1e6) == 2


class TestRefunds:
    @given(
        st.integers(1, 5),
        st.lists(st.tuples(EXACT, WEIGHTS), min_size=1, max_size=REMEMBERED),
        st.integers(0, REMEMBERED),
        EXACT,
    )
    def test_after_a_refund_the_bucket_is_as_if_the_call_had_never_come(
        self, burst: int, deeds: list[tuple[float, int]], which: int, wait: float
    ) -> None:
        bucket, now, visits = gcra(1.0, burst), 0.0, list[Visit]()
        for step, weight in deeds:
            now += step
            token = bucket.enter(now, True, weight)
            visits += [] if token is None else [token]
        now += wait
        if which < len(visits):
            bucket.give_back(visits.pop(which), now)
        assert burst - bucket._debt(now) == burst - missing([(at, weight) for weight, at, _ in visits], 1.0, burst, now)

    @given(
        st.integers(1, 40),
        st.lists(st.tuples(EXACT, WEIGHTS, st.booleans(), st.integers(0, 9)), max_size=60),
    )
    def test_however_many_refunds_there_are_the_bucket_is_never_fuller_than_if_those_had_never_come(
        self, burst: int, deeds: list[tuple[float, int, bool, int]]
    ) -> None:
        bucket, now, visits = gcra(1.0, burst), 0.0, list[Visit]()
        for step, weight, back, which in deeds:
            now += step
            if back and visits:
                bucket.give_back(visits.pop(-1 - which % len(visits)), now)
            elif (token := bucket.enter(now, True, weight)) is not None:
                visits.append(token)
            assert bucket._debt(now) >= missing([(at, weight) for weight, at, _ in visits], 1.0, burst, now)

    @pytest.mark.parametrize("turn", [1, -1])
    def test_refunds_at_once_give_back_all_in_whatever_order_and_however_many(self, turn: int) -> None:
        bucket = gcra(1.0, 500)
        tokens = [taken(bucket, 0.0, weight) for weight in (1, 3, 1) * 100]
        assert bucket.room(0.0) == 0
        for token in tokens[::turn]:
            bucket.give_back(token, 0.0)
        assert bucket.room(0.0) == 500

    @pytest.mark.parametrize("which", range(24))
    def test_a_refund_is_never_too_much_where_more_low_points_were_met_than_are_remembered(self, which: int) -> None:
        bucket = gcra(1.0, 40)
        calls = [(nth * 31 / 32, 1) for nth in range(24)]
        visits = [taken(bucket, now) for now, _ in calls]
        (now, _), _ = calls[-1], calls.pop(which)
        bucket.give_back(visits[which], now)
        assert bucket._debt(now) >= missing(calls, 1.0, 40, now)

    def test_a_late_refund_gives_back_all_of_it_where_others_spent_all_along(self) -> None:
        bucket = gcra(1.0, 2)
        mine, _ = taken(bucket, 0.0), taken(bucket, 0.0)
        for now in (1.0, 2.0, 3.0, 4.0):
            taken(bucket, now)
        assert bucket.room(4.0) == 0
        bucket.give_back(mine, 4.0)
        assert bucket.room(4.0) == 1

    def test_a_late_refund_gives_back_nothing_that_would_have_overflowed_in_the_meantime(self) -> None:
        bucket = gcra(1.0, 1)
        mine = taken(bucket, 0.0)
        taken(bucket, 1.0)
        bucket.give_back(mine, 1.0)
        assert bucket.room(1.0) == 0

    def test_a_refund_never_makes_more_than_the_burst(self) -> None:
        bucket = gcra(1.0, 3)
        mine = taken(bucket, 0.0, 3)
        bucket.give_back(mine, 100.0)
        assert bucket.room(100.0) == 3
        assert [bucket.enter(100.0, True, 1) is not None for _ in range(4)] == [True] * 3 + [False]

    def test_a_call_that_was_made_counts_whatever_became_of_it(self) -> None:
        bucket = gcra(1.0, 2)
        for error in (None, asyncio.CancelledError()):
            bucket.leave(taken(bucket, 0.0), error, 0.0, 0.0)
        assert bucket.room(0.0) == 0

    def test_however_many_calls_there_were_a_bounded_number_of_low_points_is_remembered(self) -> None:
        bucket = gcra(1.0, 1000)
        for _ in range(1000):
            taken(bucket, 0.0)
        assert len(bucket._lows) == REMEMBERED


class TestTimes:
    @given(st.floats(0.01, 1000.0), st.integers(1, 6), st.floats(0.0, 1e7), st.lists(st.tuples(STEPS, WEIGHTS)))
    def test_it_opens_later_than_now_and_then_one_more_goes(
        self, rate: float, burst: int, now: float, deeds: list[tuple[float, int]]
    ) -> None:
        bucket = gcra(rate, burst)
        for step, weight in deeds:
            now += step
            bucket.enter(now, True, weight)
            room, at = bucket.room(now), bucket.opens_at(now)
            assert at > now
            assert copy(bucket).room(math.nextafter(at, now)) == room
            assert copy(bucket).room(at) == min(room + 1, burst)
            entered = copy(bucket).enter(now, True, room + 1), room and copy(bucket).enter(now, True, room)
            assert (entered[0], entered[1] is None) == (None, False)

    def test_while_there_is_room_it_opens_when_the_next_whole_call_comes_in(self) -> None:
        bucket = gcra(2.0, 5)
        taken(bucket, 0.0, 4)
        assert (bucket.room(0.0), bucket.opens_at(0.0), bucket.opens_at(0.25)) == (1, 0.5, 0.5)

    def test_room_is_what_goes_one_after_the_other(self) -> None:
        bucket = gcra(3.0, 7, per=0.7)
        taken(bucket, 0.1, 5)
        room = bucket.room(0.9)
        assert [bucket.enter(0.9, True, 1) is not None for _ in range(room + 1)] == [True] * room + [False]

    def test_a_refusal_names_the_limit_and_the_time_until_one_goes(self) -> None:
        bucket = opened(RateLimit("geocoder", 2, per=60.0).of("acme"))
        taken(bucket, 0.0, 2)
        error = bucket.refusal(10.0)
        assert isinstance(error, RateLimited)
        assert (error.guard, error.retry_after) == ("geocoder", 20.0)
        assert str(error) == "rate limit geocoder[acme] has no room for 20 s: 2 calls in 60 s"

    def test_one_that_is_full_again_would_do_the_same_anew(self) -> None:
        bucket = gcra(1.0, 2)
        assert bucket.is_idle(0.0)
        taken(bucket, 0.0)
        assert [bucket.is_idle(now) for now in (0.0, 0.9, 1.0, 2.0)] == [False, False, True, True]


class TestPolicy:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("name", ""), ("name", None), ("key", None)]
        + [(field, value) for field in ("rate", "per") for value in (0, -1.5, math.nan, math.inf, "2", True)]
        + [("burst", 0), ("burst", 1.5), ("burst", True), ("longest_wait", -1.0), ("longest_wait", math.nan)]
        + [("most_waiting", -1), ("most_waiting", 2.5), ("most_waiting", math.nan)]
        + [("weight", 0), ("weight", 1.5), ("weight", 11)],
    )
    def test_each_wrong_field_is_refused_by_name_with_the_value(self, field: str, value: Any) -> None:
        right: dict[str, Any] = {"name": "x", "rate": 10.0}
        with pytest.raises(ValueError, match=rf"^expected {field} to be ") as raised:
            RateLimit(**(right | {field: value}))
        assert str(raised.value).endswith(f"got {value!r}")

    @pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (1, 1), (2.5, 3), (10, 10)])
    def test_by_default_as_many_go_at_once_as_the_rate_says(self, rate: float, burst: int) -> None:
        assert RateLimit("x", rate).at_once == burst == RateLimit("x", rate, per=60.0).open(HOUSE).room(0.0)

    def test_a_call_that_weighs_more_than_the_burst_is_refused_when_it_is_made(self) -> None:
        limit = RateLimit("x", 10, burst=4)
        assert limit.costing(4).weight == 4
        with pytest.raises(ValueError, match="expected weight to be 4 or less, the burst, got 5"):
            limit.costing(5)

    def test_without_key_and_weight_it_is_the_plain_policy(self) -> None:
        limit = RateLimit("x", 10, burst=4, most_waiting=3)
        assert limit.of("acme").costing(2) == RateLimit("x", 10, burst=4, most_waiting=3, key="acme", weight=2)
        assert limit.of("acme").plain == limit.costing(2).plain == limit.plain == limit

    def test_it_fulfils_the_protocols(self) -> None:
        policy: Policy = RateLimit("x", 10)
        assert isinstance(policy.open(HOUSE), Machine)
        assert (policy.rank, RateLimit("x", 10).open(HOUSE).is_shut) == (RATE, False)


def test_a_stream_of_calls_is_as_even_as_its_rate() -> None:
    bucket, times, now = gcra(4.0, 1), list[float](), 0.0
    for _ in range(10):
        taken(bucket, now)
        times.append(now)
        now = bucket.opens_at(now)
    assert {after - before for before, after in pairwise(times)} == {0.25}
