"""The laws of schedules: each tick is fired once and on time, and what was missed by its policy."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.actors.lives import Systems, no_trace, quiet
from tests.persistence.jobs import Stores
from tests.persistence.shop import HOUR, NOON, Heard, Mailer, Wall, on, poll, shop, told
from upright.actors import Actor, ActorGone, NotDurable, StartFailed, UnknownHandler, WrongArguments
from upright.persistence import (
    Schedule,
    ScheduleClock,
    ScheduleFired,
    ScheduleLate,
    ScheduleRecord,
    cron,
    every,
    schedules,
)
from upright.persistence.schedule import MOST
from upright.supervision import NotStarted, Supervisor, child, pool, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def heard(wall: Wall) -> Heard:
    return Heard(wall)


class TestTicks:
    async def test_an_hours_ticks_pass_at_once_and_each_is_on_time(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, stores(), heard, poll()):
            await asyncio.sleep(HOUR + 1)
        assert heard.times == [60 * number for number in range(1, 61)]

    async def test_several_schedules_go_side_by_side_with_the_arguments_that_were_given(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        lunch = cron("30 14 * * *", name="lunch", tz="Europe/Berlin").tell("mailer", Mailer.poll, "lunch", loud=True)
        tea = every(HOUR, name="tea", start=datetime(2024, 5, 1, 12, 10, tzinfo=UTC))
        async with shop(system, stores(), heard, lunch, tea.tell("/shop/mailer", Mailer.poll, "tea")):
            await asyncio.sleep(2 * HOUR)
        assert heard.told == [("tea", 600), ("LUNCH", 1800), ("tea", 4200)]

    async def test_ticks_before_it_was_known_are_none_that_it_missed(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, stores(), heard, poll(7.0, missed="all")):
            await asyncio.sleep(12)
        first = round(7 - NOON % 7)
        assert heard.times == [time for time in (first, first + 7) if time < 12]

    async def test_a_pool_is_told_as_one(self, system: Systems, stores: Stores, heard: Heard) -> None:
        class Member(Mailer):
            def __init__(self) -> None:
                super().__init__(heard)

        tree = supervisor("shop", pool("mailer", Member, size=2), schedules("clock", poll()))
        async with quiet(system, tree=tree, store=on(heard.wall, stores())):
            await asyncio.sleep(130)
        assert heard.times == [60, 120]

    async def test_a_restart_of_the_clock_fires_nothing_twice_and_forgets_nothing(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        tree = supervisor("shop", child("mailer", Mailer, heard), schedules("clock", poll()), max_restarts=99)
        async with quiet(system, tree=tree, store=on(heard.wall, stores())) as s:
            for _ in range(20):
                await s.kill(s.ref("/shop/clock", ScheduleClock))
                await asyncio.sleep(17)
        assert heard.times == [60, 120, 180, 240, 300]

    async def test_what_is_told_while_its_actor_is_down_waits_for_it(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        store = stores()
        async with shop(system, store, heard, poll()) as s:
            s._root.runtime.actors["/shop/mailer"].mailbox.keeper.leave()  # type: ignore[union-attr]
            await asyncio.sleep(130)
            assert heard.times == []
        async with shop(system, store, heard, poll()):
            await asyncio.sleep(1)
        assert heard.times == [130, 130]


class TestMissed:
    @pytest.mark.parametrize(("missed", "expected"), [("once", [7300]), ("all", [7300] * 2), ("skip", [])])
    async def test_after_a_restart_the_policy_says_what_becomes_of_what_was_missed(
        self, system: Systems, stores: Stores, heard: Heard, missed: Any, expected: list[int]
    ) -> None:
        hourly = cron("0 * * * *", name="hourly", tz="UTC", missed=missed).tell("/shop/mailer", Mailer.poll)
        async with shop(system, stores(), heard, hourly):
            await asyncio.sleep(60)
        await asyncio.sleep(7240)
        store = stores()
        async with shop(system, store, heard, hourly) as s:
            late = told(s, ScheduleLate)
            await s.idle()
            assert heard.times == expected
            assert [(event.schedule, event.missed, round(event.late_s)) for event in late] == [("hourly", missed, 3700)]
            await asyncio.sleep(HOUR)
            assert heard.times == [*expected, 10_800]

    async def test_skip_fires_one_that_is_a_minute_late_at_most(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, stores(), heard, poll(HOUR, missed="skip")):
            await asyncio.sleep(60)
        await asyncio.sleep(HOUR - 30)
        async with shop(system, stores(), heard, poll(HOUR, missed="skip")) as s:
            await s.idle()
        assert heard.times == [HOUR + 30]

    async def test_more_than_a_hundred_are_fired_a_hundred_at_a_time(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, stores(), heard, poll(missed="all")):
            pass
        await asyncio.sleep(60.0 * (2 * MOST + 50))
        async with shop(system, stores(), heard, poll(missed="all")) as s:
            fired = told(s, ScheduleFired)
            await asyncio.sleep(1)
            assert len(heard.told) == 2 * MOST + 50
            assert [event.ticks for event in fired] == [MOST, MOST, 50]

    async def test_a_changed_rule_goes_on_from_the_last_tick_and_another_name_begins_anew(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, stores(), heard, poll(600.0)):
            await asyncio.sleep(1300)
        changed = every(100.0, name="poll", missed="all").tell("/shop/mailer", Mailer.poll, "changed")
        renamed = every(100.0, name="other", missed="all").tell("/shop/mailer", Mailer.poll, "renamed")
        async with shop(system, stores(), heard, changed, renamed):
            await asyncio.sleep(150)
        assert heard.told[:2] == [("poll", 600), ("poll", 1200)]
        assert sorted(heard.told[2:]) == [("changed", 1300), ("changed", 1400), ("renamed", 1400)]


class TestIdle:
    async def test_a_schedule_that_waits_keeps_no_system_busy(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, stores(), heard, poll()) as s:
            await asyncio.sleep(61)
            before = asyncio.get_running_loop().time()
            await s.idle()
            assert asyncio.get_running_loop().time() == before
        assert no_trace()


class TestStart:
    @pytest.mark.parametrize(
        ("given", "cause", "words"),
        [
            (every(1.0, name="x").tell("/shop/nobody", Mailer.poll), ActorGone, "where nobody lives: put schedules"),
            (every(1.0, name="x").tell("/shop/plain", Mailer.poll), NotDurable, "has its mailbox in memory"),
            (every(1.0, name="x").tell("/shop/mailer", ScheduleClock.look), UnknownHandler, "expected a handler of"),
            (every(1.0, name="x").tell("/shop/mailer", Mailer.poll, 5), WrongArguments, "Mailer.poll"),  # type: ignore[arg-type]
        ],
    )  # fmt: skip
    async def test_a_schedule_that_can_tell_nobody_refuses_the_start(
        self, system: Systems, stores: Stores, heard: Heard, given: Schedule, cause: type[Exception], words: str
    ) -> None:
        class Plain(Actor):
            poll = Mailer.poll

        tree = supervisor(
            "shop", child("plain", Plain), child("mailer", Mailer, heard), schedules("clock", given)
        )  # fmt: skip
        with pytest.raises(StartFailed) as caught:
            await quiet(system, tree=tree, store=stores()).start()
        root: BaseException | None = caught.value
        while root is not None and not isinstance(root, cause):
            root = root.__cause__
        assert root is not None
        assert words in str(root)

    async def test_one_name_in_two_places_of_a_system_refuses_the_start(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        """Each fires what it finds due, and of one name only one would ever find anything."""
        twice = schedules("first", poll()), schedules("second", poll())
        tree = supervisor("shop", child("mailer", Mailer, heard), *twice)
        with pytest.raises(StartFailed, match="'poll' in /shop/second and in /shop/first"):
            await quiet(system, tree=tree, store=stores()).start()

    async def test_a_name_is_free_again_when_the_other_has_ended(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        tree = supervisor("shop", child("mailer", Mailer, heard), schedules("first", poll()))
        async with quiet(system, tree=tree, store=stores()) as s:
            shop = s.ref("/shop", Supervisor)
            await shop.ask(Supervisor.terminate_child, "first")
            await shop.ask(Supervisor.start_child, schedules("second", poll()))
            with pytest.raises(NotStarted, match="'poll' in /shop/first and in /shop/second"):
                await shop.ask(Supervisor.restart_child, "first")

    def test_names_are_unique(self) -> None:
        with pytest.raises(ValueError, match="expected names that are unique among schedules, got 'poll' twice"):
            schedules("clock", poll(), poll(5.0))

    def test_what_tells_nobody_is_no_schedule(self) -> None:
        rule: Any = every(1.0, name="x")
        with pytest.raises(
            TypeError, match=r"expected a schedule, such as every\(60\.0, name='poll'\)\.tell\(…\), got"
        ):
            schedules("clock", rule)

    def test_there_is_at_least_one(self) -> None:
        with pytest.raises(ValueError, match="expected at least one schedule for 'clock', got none"):
            schedules("clock")


class TestRecords:
    async def test_they_say_when_each_was_fired_last_and_comes_next(
        self, system: Systems, stores: Stores, heard: Heard, wall: Wall
    ) -> None:
        yearly = cron("0 0 1 1 *", name="yearly", tz="UTC").tell("/shop/mailer", Mailer.poll)
        async with shop(system, stores(), heard, poll(), yearly) as s:
            await asyncio.sleep(61)
            records = await s.ref("/shop/clock", ScheduleClock).ask(ScheduleClock.records)
        assert records == [
            ScheduleRecord("poll", at(NOON + 60), at(NOON + 120)),
            ScheduleRecord("yearly", None, datetime(2025, 1, 1, tzinfo=UTC)),
        ]


def at(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)
