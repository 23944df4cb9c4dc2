"""The laws of timers: when they tick, what replaces them, and that none outlives its incarnation."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Narrow,
    Systems,
    crash,
    hang,
    quiet,
    sleep,
    stop,
    wait_for,
)
from upright.actors import Ref, Timer
from upright.actors.testing import advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Clock(Diary):
    """A diary that notes when each word was said, in seconds since it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.times: list[float] = []

    def add(self, word: str) -> None:
        super().add(word)
        self.times.append(self.loop.time() - self.began)


def now(act: Callable[[Doer], Any]) -> Deed:
    async def deed(me: Doer) -> Any:
        return act(me)

    return deed


async def test_after_sends_one_message_after_that_time(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.after(2.5, Doer.note, "tick")))
        await advance(10)
        assert (clock.words, clock.times) == (["tick 1"], [2.5])


async def test_every_ticks_at_a_fixed_rate_from_one_period_on(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.every(2.0, Doer.note, word="tick")))
        await advance(9)
        assert clock.times == [2.0, 4.0, 6.0, 8.0]


async def test_the_rate_does_not_drift_with_the_time_that_its_handler_takes(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()

        async def tick(me: Doer) -> None:
            me.diary.add("tick")
            await asyncio.sleep(0.7)

        ref = await s.spawn("a", Doer, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.every(1.0, Doer.do, tick)))
        await advance(5.5)
        assert clock.times == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_ticks_that_find_the_last_one_still_waiting_are_one_with_it(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.every(1.0, Doer.note, "tick")))
        await ref.tell(Doer.do, sleep(10.5))
        await advance(10.2)
        assert [message.handler for message in s.peek(ref)] == ["note"]
        await advance(2)
        assert clock.times == [10.5, 11.0, 12.0]


async def test_a_tick_in_hand_does_not_swallow_the_next_one(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()

        async def tick(me: Doer) -> None:
            me.diary.add("tick")
            await asyncio.sleep(1.5)

        ref = await s.spawn("a", Doer, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.every(1.0, Doer.do, tick)))
        await advance(6)
        assert clock.times == [1.0, 2.5, 4.0, 5.5]


async def test_after_the_loop_was_blocked_missed_ticks_are_skipped_and_the_rhythm_is_kept(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()
        loop: Any = asyncio.get_running_loop()
        ref = await s.spawn("a", Doer, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.every(1.0, Doer.note, "tick")))
        await advance(1.5)
        loop._jump(loop.time() + 4.2)  # as if something had held the loop for so long
        await settle()
        assert clock.times == pytest.approx([1.0, 5.7]), "one late tick, not four"
        await advance(1.5)
        assert clock.times[2:] == [6.0, 7.0]


async def test_starting_a_timer_under_a_key_replaces_the_one_that_runs_under_it(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)

        def set_twice(me: Doer) -> None:
            me.ctx.timer("key").every(1.0, Doer.note, "old")
            me.ctx.timer("key").after(3.0, Doer.note, "new")
            me.ctx.timer("other").after(2.0, Doer.note, "other")

        await ref.ask(Doer.do, now(set_twice))
        await advance(10)
        assert (clock.words, clock.times) == (["other 1", "new 1"], [2.0, 3.0])


@pytest.mark.parametrize("verb", ["after", "every"])
async def test_the_tick_of_a_replaced_timer_is_not_run_though_it_already_waits(system: Systems, verb: str) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)

        async def replace_late(me: Doer) -> None:
            getattr(me.ctx.timer("key"), verb)(1.5, Doer.note, "old")
            await asyncio.sleep(2)
            me.ctx.timer("key").after(1.0, Doer.note, "new")

        await ref.tell(Doer.do, replace_late)
        await advance(10)
        assert (clock.words, clock.times) == (["new 1"], [3.0])


@pytest.mark.parametrize("verb", ["after", "every"])
async def test_cancel_by_key_takes_back_a_tick_that_already_waits(system: Systems, verb: str) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)

        async def cancel_late(me: Doer) -> None:
            getattr(me.ctx.timer("key"), verb)(1.5, Doer.note, "old")
            await asyncio.sleep(2)
            me.ctx.timer("key").cancel()

        await ref.tell(Doer.do, cancel_late)
        await advance(10)
        assert clock.words == []


async def test_timers_without_a_key_never_replace_each_other(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()
        ref = await s.spawn("a", Doer, clock)

        def set_both(me: Doer) -> None:
            for word in ("one", "two"):
                me.ctx.after(1.0, Doer.note, word)

        await ref.ask(Doer.do, now(set_both))
        await advance(2)
        assert clock.words == ["one 1", "two 1"]


@pytest.mark.parametrize("waits", [True, False])
async def test_cancel_ends_a_timer_also_when_its_tick_already_waits_and_twice_does_no_harm(
    system: Systems, waits: bool
) -> None:
    async with quiet(system) as s:
        clock = Clock()
        states: list[bool] = []

        async def cancel(me: Doer) -> None:
            one: Timer = me.ctx.after(1.0, Doer.note, "after")
            many: Timer = me.ctx.every(1.0, Doer.note, "every")
            await asyncio.sleep(1.5 if waits else 0.5)
            for timer in (one, many, one, many):
                timer.cancel()
                states.append(timer.active)

        ref = await s.spawn("a", Doer, clock)
        await ref.tell(Doer.do, cancel)
        await advance(10)
        assert clock.words == []
        assert states == [False] * 4


async def test_cancel_by_key_says_whether_there_was_one(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()

        def cancel(me: Doer) -> list[bool]:
            key = me.ctx.timer(("any", 1))
            key.after(1.0, Doer.note, "tick")
            return [key.cancel(), key.cancel()]

        ref = await s.spawn("a", Doer, clock)
        assert await ref.ask(Doer.do, now(cancel)) == [True, False]
        await advance(5)
        assert clock.words == []


async def test_a_full_mailbox_holds_no_tick_back(system: Systems) -> None:
    async with quiet(system) as s:
        clock, gate = Clock(), asyncio.Event()
        ref = await s.spawn("a", Narrow, clock)
        await ref.ask(Doer.do, now(lambda me: me.ctx.after(1.0, Doer.note, "tick")))
        await ref.tell(Doer.do, wait_for(gate))
        await settle()
        while ref.try_tell(Doer.note, "filler"):
            pass
        await advance(2)
        gate.set()
        await s.idle()
        assert clock.words[2:] == ["filler 1", "filler 1", "tick 1"]


async def end_by_stop(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, stop)


async def end_by_crash(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, crash)


async def end_by_kill(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, hang)
    await settle()
    await s.kill(ref)


@pytest.mark.parametrize("end", [end_by_stop, end_by_crash, end_by_kill])
@pytest.mark.parametrize("kind", KINDS)
async def test_timers_end_with_the_incarnation_and_leave_nothing_in_the_loop(
    system: Systems, kind: type[Doer], end: Any
) -> None:
    async with quiet(system) as s:
        clock = Clock()
        loop: Any = asyncio.get_running_loop()
        before = len([handle for handle in loop._scheduled if not handle.cancelled()])

        def set_many(me: Doer) -> None:
            for number in range(20):
                me.ctx.after(1_000.0 + number, Doer.note, "after")
                me.ctx.timer(number).every(1_000.0, Doer.note, "every")

        ref = await s.spawn("a", kind, clock)
        await ref.tell(Doer.do, now(set_many))
        await end(s, ref)
        await s.idle()
        assert len([handle for handle in loop._scheduled if not handle.cancelled()]) <= before
        await advance(3_000)
        assert not {"after 1", "every 1", "after 2", "every 2"} & set(clock.words)


async def test_a_timer_may_be_set_in_the_constructor_and_in_started(system: Systems) -> None:
    async with quiet(system) as s:
        clock = Clock()

        async def set_one(me: Doer) -> None:
            me.ctx.after(1.0, Doer.note, "started")

        def set_other(me: Doer) -> Any:
            me.ctx.after(2.0, Doer.note, "made")
            return None

        await s.spawn("a", Closer, clock, started=set_one, init=set_other)
        await advance(3)
        assert clock.times[-2:] == [1.0, 2.0]
        assert clock.words[-2:] == ["started 1", "made 1"]


@pytest.mark.parametrize(("verb", "value"), [("after", -1.0), ("after", float("nan")), ("every", 0.0), ("every", -2.0)])
async def test_a_wrong_duration_is_refused_with_the_value_seen(system: Systems, verb: str, value: float) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)

        async def try_it(me: Doer) -> None:
            for start in (getattr(me.ctx, verb), getattr(me.ctx.timer("key"), verb)):
                with pytest.raises(ValueError, match=f"got {value!r}"):
                    start(value, Doer.note, "tick")

        await ref.ask(Doer.do, try_it)
