"""The rules of schedules, without a loop: when a tick comes, and what becomes of those that were missed."""

import sys
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from upright.persistence import cron, every
from upright.persistence.schedule import LATE, MISSED, MOST, Due, Rule, due, latest

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
# Around these the clocks are changed: forward and back, in either zone.
CHANGES = {
    BERLIN: [datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC)],
    NEW_YORK: [datetime(2024, 3, 10, 7, tzinfo=UTC), datetime(2024, 11, 3, 6, tzinfo=UTC)],
}
ZONES = st.sampled_from([BERLIN, NEW_YORK])
TIMES = st.floats(0.0, 4_000_000_000.0)
PERIODS = st.one_of(st.integers(1, 10_000_000), st.floats(0.01, 1e7))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """One field of an expression."""
    numbers = st.integers(low, high)
    pairs = st.tuples(numbers, numbers)
    return st.one_of(
        st.just("*"),
        numbers.map(str),
        pairs.map(lambda pair: f"{min(pair)}-{max(pair)}"),
        pairs.map(lambda pair: f"{pair[0]},{pair[1]}"),
        st.sampled_from(["*/2", "*/5", "*/7"]),
    )


EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)
OFTEN = st.tuples(field(0, 59), field(0, 5)).map(lambda fields: f"{fields[0]} {fields[1]} * * *")


@st.composite
def near_a_change(draw: st.DrawFn) -> tuple[str, float]:
    """A zone, and a time about a day around a change of its clocks."""
    zone = draw(ZONES)
    change = draw(st.sampled_from(CHANGES[zone]))
    return zone, change.timestamp() + draw(st.floats(-90_000.0, 20_000.0))


RULES = st.one_of(
    PERIODS.map(lambda period: every(period, name="x")),
    st.tuples(EXPRESSIONS, ZONES).map(lambda given: cron(given[0], name="x", tz=given[1])),
)


def ticks(rule: Rule, first: str, last: str, tz: str = BERLIN) -> list[str]:
    """The ticks after one wall time and up to another, as wall times with their offsets."""
    zone = ZoneInfo(tz)
    tick = rule.next_after(datetime.fromisoformat(first).replace(tzinfo=zone).timestamp())
    end = datetime.fromisoformat(last).replace(tzinfo=zone, fold=1).timestamp()
    found: list[str] = []
    while tick <= end:
        found.append(datetime.fromtimestamp(tick, zone).strftime("%d %H:%M %z"))
        tick = rule.next_after(tick)
    return found


def daily(expression: str, tz: str = BERLIN) -> Rule:
    return cron(expression, name="x", tz=tz)


class TestEvery:
    @given(PERIODS, TIMES)
    def test_ticks_are_multiples_of_the_period_since_the_epoch(self, period: float, when: float) -> None:
        tick = every(period, name="x").next_after(when)
        assert tick > when
        assert tick == round(tick / period) * period

    @given(PERIODS, TIMES, st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))
    def test_with_a_start_they_are_counted_from_there_and_none_is_before(
        self, period: float, when: float, start: datetime
    ) -> None:
        tick = every(period, name="x", start=start).next_after(when)
        count = round((tick - start.timestamp()) / period)
        assert tick > when
        assert count >= 0
        assert tick == start.timestamp() + count * period

    @given(PERIODS, TIMES)
    def test_no_tick_is_passed_over_whatever_the_rounding(self, period: float, when: float) -> None:
        rule = every(period, name="x")
        first = rule.next_after(when)
        second = rule.next_after(first)
        assert round(second / period) == round(first / period) + 1

    def test_the_start_itself_is_the_first_tick(self) -> None:
        start = datetime(2024, 5, 1, 12, tzinfo=ZoneInfo(BERLIN))
        rule = every(3600.0, name="x", start=start)
        assert rule.next_after(0.0) == start.timestamp()
        assert rule.next_after(start.timestamp()) == start.timestamp() + 3600.0


class TestCron:
    @given(EXPRESSIONS, ZONES, TIMES)
    def test_a_tick_is_later_and_there_is_none_between(self, expression: str, tz: str, when: float) -> None:
        rule = cron(expression, name="x", tz=tz)
        tick = rule.next_after(when)
        assert tick > when
        assert rule.next_after((when + tick) / 2) == tick

    @given(OFTEN, near_a_change(), st.floats(0.0, 1.0))
    def test_so_it_is_around_the_change_of_clocks(
        self, expression: str, change: tuple[str, float], part: float
    ) -> None:
        """Whoever asks, at whatever time, hears of the same ticks; in the hour that comes twice too."""
        tz, when = change
        rule = cron(expression, name="x", tz=tz)
        tick = rule.next_after(when)
        between = when + (tick - when) * part
        assume(between < tick)
        assert rule.next_after(between) == tick > when

    def test_a_time_that_is_left_out_in_spring_is_made_up_for_at_once(self) -> None:
        assert ticks(daily("30 2 * * *"), "2024-03-30T12:00", "2024-04-01T12:00") == [
            "31 03:00 +0200",
            "01 02:30 +0200",
        ]

    def test_a_time_that_comes_twice_in_autumn_counts_the_first_time(self) -> None:
        assert ticks(daily("30 2 * * *"), "2024-10-26T12:00", "2024-10-28T12:00") == [
            "27 02:30 +0200",
            "28 02:30 +0100",
        ]

    def test_so_it_does_when_asked_in_the_second_pass(self) -> None:
        second = datetime(2024, 10, 27, 2, 10, tzinfo=ZoneInfo(BERLIN), fold=1).timestamp()
        assert daily("30 2 * * *").next_after(second) == datetime(2024, 10, 28, 1, 30, tzinfo=UTC).timestamp()

    def test_what_comes_each_hour_or_more_often_keeps_its_pace_through_both(self) -> None:
        spring = ticks(daily("15 * * * *"), "2024-03-31T00:30", "2024-03-31T04:30")
        assert spring == ["31 01:15 +0100", "31 03:15 +0200", "31 04:15 +0200"]
        autumn = ticks(daily("*/30 * * * *"), "2024-10-27T01:59", "2024-10-27T03:00")
        assert autumn == [
            "27 02:00 +0200", "27 02:30 +0200", "27 02:00 +0100", "27 02:30 +0100", "27 03:00 +0100",
        ]  # fmt: skip

    def test_so_it_is_in_new_york(self) -> None:
        rule = daily("30 2 * * *", NEW_YORK)
        assert ticks(rule, "2024-03-09T12:00", "2024-03-10T12:00", NEW_YORK) == ["10 03:00 -0400"]
        rule = daily("30 1 * * *", NEW_YORK)
        assert ticks(rule, "2024-11-02T12:00", "2024-11-04T12:00", NEW_YORK) == ["03 01:30 -0400", "04 01:30 -0500"]

    def test_a_leap_day_comes_in_leap_years(self) -> None:
        rule, days = daily("0 0 29 2 *", "UTC"), list[str]()
        tick = datetime(2021, 1, 1, tzinfo=UTC).timestamp()
        for _ in range(3):
            tick = rule.next_after(tick)
            days.append(datetime.fromtimestamp(tick, UTC).date().isoformat())
        assert days == ["2024-02-29", "2028-02-29", "2032-02-29"]

    def test_the_thirty_first_comes_in_months_that_have_one_and_the_last_day_in_all(self) -> None:
        assert ticks(daily("0 9 31 * *"), "2024-01-01T00:00", "2024-05-01T00:00") == [
            "31 09:00 +0100", "31 09:00 +0200",
        ]  # fmt: skip
        last = ticks(daily("0 9 L * *"), "2024-01-01T00:00", "2024-05-01T00:00")
        assert [tick[:2] for tick in last] == ["31", "29", "31", "30"]


def late(period: float = 60.0, missed: Any = "once") -> Rule:
    return every(period, name="x", missed=missed)


class TestDue:
    @given(RULES, TIMES)
    def test_before_the_next_tick_nothing_is_due_and_at_it_it_is(self, rule: Rule, until: float) -> None:
        tick = rule.next_after(until)
        assert due(rule, until, until) is None
        assert due(rule, until, tick) == Due(tick, (tick,), tick)

    @given(RULES, st.floats(0.0, 4e9), st.floats(0.0, 4e9))
    def test_when_the_clock_was_set_back_nothing_is_due(self, rule: Rule, until: float, now: float) -> None:
        assume(now <= until)
        assert due(rule, until, now) is None

    @given(RULES, st.floats(0.0, 2e9), st.floats(0.0, 2e9))
    def test_the_latest_is_a_tick_and_the_next_one_is_still_to_come(
        self, rule: Rule, until: float, later: float
    ) -> None:
        now = until + later
        first = rule.next_after(until)
        assume(first <= now)
        last = latest(rule, first, now)
        assert first <= last <= now < rule.next_after(last)
        assert last == first or rule.next_after((last + rule.next_after(last)) / 2) == rule.next_after(last)

    @given(st.integers(0, 3 * MOST))
    def test_all_fires_each_in_order_a_hundred_at_a_time(self, missed: int) -> None:
        rule, until, fired = late(missed="all"), 0.0, list[float]()
        while (found := due(rule, until, missed * 60.0 + 1.0)) is not None:
            assert len(found.ticks) <= MOST
            fired += found.ticks
            until = found.until
        assert fired == [60.0 * (number + 1) for number in range(missed)]

    def test_once_fires_the_latest(self) -> None:
        assert due(late(), 60.0, 1_000.0) == Due(120.0, (960.0,), 960.0)

    def test_skip_fires_none_that_is_more_than_a_minute_late_and_settles_them(self) -> None:
        rule = late(3600.0, "skip")
        assert due(rule, 0.0, 7200.0 + LATE) == Due(3600.0, (7200.0,), 7200.0)
        assert due(rule, 0.0, 7200.1 + LATE) == Due(3600.0, (), 7200.0)

    @given(RULES, st.sampled_from(MISSED), st.lists(st.floats(-7200.0, 90_000.0), max_size=30))
    def test_whatever_the_clock_does_no_tick_is_fired_twice_and_all_fires_every_one(
        self, rule: Rule, missed: Any, jumps: list[float]
    ) -> None:
        assume(rule.next_after(1.7e9) - 1.7e9 > 600.0)
        rule = type(rule)(**{name: getattr(rule, name) for name in rule.__struct_fields__} | {"missed": missed})
        now = until = latest_now = 1.7e9
        fired: list[float] = []
        for jump in jumps:
            now += jump
            while (found := due(rule, until, now)) is not None:
                fired += found.ticks
                until = found.until
                assert found.until <= now
            latest_now = max(latest_now, now)
        assert fired == sorted(set(fired))
        if missed == "all":
            tick, expected = rule.next_after(1.7e9), list[float]()
            while tick <= latest_now:
                expected.append(tick)
                tick = rule.next_after(tick)
            assert fired == expected


class TestRefusals:
    @pytest.mark.parametrize("period", [0, -1, 0.001, float("nan"), "60", True])
    def test_a_period_that_is_none_is_refused(self, period: Any) -> None:
        with pytest.raises(ValueError, match=r"expected period of 'x' to be 0\.01 or more seconds, got "):
            every(period, name="x")

    def test_an_endless_period_is_refused(self) -> None:
        with pytest.raises(ValueError, match="expected period of 'x' to be a finite number of seconds, got inf"):
            every(float("inf"), name="x")

    @pytest.mark.parametrize("name", ["", None, "a\nb", 5])
    def test_a_name_that_is_none_is_refused(self, name: Any) -> None:
        with pytest.raises(ValueError, match="expected name to be a string that is not empty and can be printed, got"):
            every(1.0, name=name)

    def test_a_policy_that_is_none_is_refused(self) -> None:
        missed: Any = "never"
        with pytest.raises(ValueError, match="expected missed of 'x' to be one of once, all, skip, got 'never'"):
            cron("* * * * *", name="x", tz="UTC", missed=missed)

    @pytest.mark.parametrize("start", [datetime(2024, 1, 1), "2024-01-01", 5])
    def test_a_start_without_a_zone_is_refused(self, start: Any) -> None:
        with pytest.raises(ValueError, match="expected start of 'x' to be a time with a zone"):
            every(1.0, name="x", start=start)

    @pytest.mark.parametrize("tz", ["Mars/Base", "", "Europe", "../etc/passwd", "/etc/passwd", None, 5])
    def test_a_zone_that_is_none_is_refused(self, tz: Any) -> None:
        with pytest.raises(ValueError, match="expected tz to be a time zone such as 'Europe/Berlin', got"):
            cron("0 2 * * *", name="x", tz=tz)

    @pytest.mark.parametrize(
        "text", ["", "0 2 * *", "0 0 2 * * *", "@daily", "61 * * * *", "0 2 30 2 *", "a b c d e", 5]
    )
    def test_an_expression_that_is_none_is_refused(self, text: Any) -> None:
        with pytest.raises(ValueError, match=r"expected the five fields of cron \(minute, .*\), got ") as caught:
            cron(text, name="x", tz="UTC")
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_an_expression_that_never_comes_is_refused(self) -> None:
        with pytest.raises(ValueError, match="expected a cron expression whose time comes, got"):
            cron("0 0 */3 2 0#5", name="x", tz="UTC")

    def test_a_schedule_without_a_path_is_refused(self) -> None:
        with pytest.raises(ValueError, match="expected path of 'x' to be a path such as '/shop/mailer', got ''"):
            every(1.0, name="x").tell("", _nothing)

    def test_without_the_library_one_line_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cronsim", None)
        with pytest.raises(ImportError, match=r"pip install 'upright\[schedules\]'") as caught:
            cron("* * * * *", name="x", tz="UTC")
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__
        assert every(1.0, name="x").next_after(0.0) == 1.0, "who writes no cron needs no library"


async def _nothing(_: object) -> None: ...
