"""The laws of permits under bad luck: none is lost, nobody sleeps for ever, and nobody is kept waiting by one who
cannot come.
"""

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Oops, Systems, crash, hang, note, quiet, rest, sleep, swallow, wait_for
from tests.actors.outage import BY, LATER, SMTP, Dependency, inside, loop_turns, trip, using
from upright.actors import Bounded, Refuse
from upright.actors.seat import TURN
from upright.actors.testing import advance, settle
from upright.supervision import CircuitBreaker
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.events import BreakerOpened
from upright.supervision.rate_limit import RateLimit

pytestmark = pytest.mark.anyio
ONE = CircuitBreaker("one", consecutive=1, wait=LATER, permits=1, slow_start=0)
SINGLE = Bulkhead("single", running=1)
PAIR = Bulkhead("pair", running=2)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class TestPermits:
    async def test_none_is_lost_when_a_drain_has_used_up_its_budget(self, system: Systems) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SINGLE, mailbox=Bounded(5_000)), diary)
            for _ in range(3_000):
                assert ref.try_tell(Doer.note, "x")
            await s.idle()
            assert len(diary.words) == 3_000
            assert inside(s, SINGLE) == 0

    async def test_none_is_lost_when_its_message_makes_place_for_another(self, system: Systems) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SINGLE, mailbox=Bounded(1_500, "drop_old")), diary)

            async def flood(_: Doer) -> None:
                for _number in range(1_500):
                    assert ref.try_tell(Doer.note, "y")

            for _ in range(999):
                await ref.tell(Doer.note, "x")
            await ref.tell(Doer.do, flood)
            await s.idle()
            assert len(diary.words) == 2_499
            assert inside(s, SINGLE) == 0

    @pytest.mark.parametrize("deed", [rest, crash, sleep(1.0)])
    async def test_each_comes_back_whatever_its_handler_did(self, system: Systems, deed: Any) -> None:
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SINGLE))
            await ref.tell(Doer.do, deed)
            await ref.tell(Doer.do, rest)
            await s.idle()
            assert inside(s, SINGLE) == 0

    async def test_it_comes_back_from_a_handler_that_was_killed(self, system: Systems) -> None:
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SINGLE))
            await ref.tell(Doer.do, hang)
            await settle()
            assert inside(s, SINGLE) == 1
            await s.kill(ref)
            assert inside(s, SINGLE) == 0

    async def test_it_comes_back_from_overlapping_handlers_that_were_killed_before_their_first_step(
        self, system: Systems
    ) -> None:
        diary = Diary()

        async def fall(me: Doer) -> None:
            for _ in range(3):
                assert me.ctx.self_ref.try_tell(Doer.overlap, "w", rest)

        async with quiet(system) as s:
            three = Bulkhead("three", running=3)
            ref = await s.spawn("a", using(Doer, three), diary)
            await ref.tell(Doer.do, fall)
            for _ in range(20):
                await asyncio.sleep(0)
                await s.kill(ref)
                for _ in range(3):
                    ref.try_tell(Doer.overlap, "w", rest)
            await s.idle()
            assert inside(s, three) == 0

    async def test_a_zombie_has_none(self, system: Systems) -> None:
        gate = asyncio.Event()
        async with quiet(system, grace=0.5) as s:
            ref = await s.spawn("a", using(Doer, SINGLE))
            other = await s.spawn("b", using(Doer, SINGLE))
            await ref.tell(Doer.do, swallow(gate))
            await settle()
            await other.tell(Doer.do, rest)
            await s.kill(ref)
            assert s.zombies == 1
            assert inside(s, SINGLE) == 0
            await s.idle()
            gate.set()
            await settle()
            assert inside(s, SINGLE) == 0

    async def test_a_zombie_that_raises_later_is_no_failure_of_the_dependency(self, system: Systems) -> None:
        gate = asyncio.Event()

        async def late(me: Doer) -> None:
            await swallow(gate)(me)
            raise Oops("late")

        async with quiet(system, grace=0.5) as s:
            ref = await s.spawn("a", using(Doer, SMTP))
            await ref.tell(Doer.do, late)
            await settle()
            await s.kill(ref)
            gate.set()
            await settle()
            assert SMTP.on(s).state == "closed"

    async def test_what_was_stashed_and_comes_back_needs_another_one(self, system: Systems) -> None:
        diary = Diary()

        async def set_aside(me: Doer) -> None:
            if not me.memory.get("ready"):
                me.ctx.stash()
            else:
                diary.add("done")

        async def ready(me: Doer) -> None:
            me.memory["ready"] = True
            me.ctx.unstash_all()

        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, ONE), diary)
            for _ in range(3):
                await ref.tell(Doer.do, set_aside)
            await s.idle()
            assert inside(s, ONE) == 0
            ONE.on(s).force_open(**BY)
            await ref.tell(Doer.do, ready)
            await advance(10.0)
            ONE.on(s).automatic(**BY)
            await s.idle()
            assert diary.words == ["done"] * 3
            assert inside(s, ONE) == 0

    async def test_what_was_forwarded_takes_that_of_the_next_actor(self, system: Systems) -> None:
        diary = Diary()

        async def pass_on(me: Doer) -> Any:
            return await me.ctx.forward(me.ctx.ref("/b", Doer), Doer.note, "there")

        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, PAIR), diary)
            _ = await s.spawn("b", using(Doer, SINGLE), diary)
            assert await ref.ask(Doer.do, pass_on) == "there"
            assert (inside(s, PAIR), inside(s, SINGLE)) == (0, 0)

    async def test_a_refusal_of_a_handler_tells_nothing_of_the_dependency(self, system: Systems) -> None:
        async def refuse(_: Any) -> None:
            raise Refuse("no")

        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP))
            with pytest.raises(Refuse):
                await ref.ask(Doer.do, refuse)
            wrong: Any = Doer.do
            with pytest.raises(TypeError):
                await ref.ask(wrong)
            assert SMTP.on(s).state == "closed"
            assert inside(s, SMTP) == 0


class TestLine:
    async def test_one_who_handles_a_long_notice_keeps_nobody_waiting(self, system: Systems) -> None:
        diary = Diary()

        async def watch(me: Doer) -> None:
            me.ctx.watch(me.ctx.ref("/w", Doer), Doer.down)

        async with quiet(system) as s:
            watched = await s.spawn("w", Doer)
            first = await s.spawn("a", using(Doer, ONE), diary, down=sleep(60.0))
            second, third = [await s.spawn(name, using(Doer, ONE), diary) for name in "bc"]
            await first.ask(Doer.do, watch)
            await trip(s, ONE)
            for ref in (first, second, third):
                await ref.tell(Doer.do, note(diary, "met"))
                await settle()
            await s.end(watched)
            with loop_turns() as turns:
                await advance(59.0)
            assert diary.words == ["down /w", "met of /b", "met of /c"]
            assert turns[0] < 50
            await s.idle()
            assert diary.words[-1] == "met of /a"

    async def test_one_who_waits_for_its_own_overlapping_handlers_keeps_nobody_waiting(self, system: Systems) -> None:
        diary, gate = Diary(), asyncio.Event()

        async def watch(me: Doer) -> None:
            me.ctx.watch(me.ctx.ref("/w", Doer), Doer.down)

        async with quiet(system) as s:
            watched = await s.spawn("w", Doer)
            first, second = [await s.spawn(name, using(Doer, PAIR), diary) for name in "ab"]
            await first.ask(Doer.do, watch)
            await first.tell(Doer.overlap, "w0", wait_for(gate))
            await second.tell(Doer.do, sleep(1.0))
            await settle()
            await first.tell(Doer.overlap, "w1", rest)  # waits for a permit
            await second.tell(Doer.do, note(diary, "met"))
            await settle()
            await s.end(watched)  # and now it waits for its own first handler
            await advance(2.0)
            assert "met of /b" in diary.words
            gate.set()
            await s.idle()
            assert inside(s, PAIR) == 0

    async def test_a_call_that_counts_for_much_and_gives_up_lets_those_behind_it_go(self, system: Systems) -> None:
        diary, gate = Diary(), asyncio.Event()
        wide = Bulkhead("wide", running=3, longest_wait=1.0)

        async def call() -> None:
            async with s.guards.guard(wide.costing(3)):
                pass

        async with quiet(system) as s:
            refs = [await s.spawn(name, using(Doer, wide), diary) for name in "ab"]
            await refs[0].tell(Doer.do, wait_for(gate))
            await settle()
            heavy = asyncio.create_task(call())
            await settle()
            await refs[1].tell(Doer.do, note(diary, "met"))
            await advance(0.9)
            assert diary.words == []
            await advance(0.1)
            with pytest.raises(Refuse):
                await heavy
            await settle()
            assert diary.words == ["met of /b"]
            gate.set()
            await s.idle()

    async def test_many_share_a_policy_first_in_first_out(self, system: Systems) -> None:
        diary = Diary()
        async with quiet(system) as s:
            refs = [await s.spawn(f"{number}", using(Doer, PAIR), diary) for number in range(50)]
            for ref in refs:
                await ref.tell(Doer.do, note(diary, "met"))
                await ref.tell(Doer.do, sleep(1.0))
            await s.idle()
            assert [word for word in diary.words if word.startswith("met")] == [f"met of /{n}" for n in range(50)]

    async def test_thousands_wait_in_a_line_without_slowing_each_other_down(self, system: Systems) -> None:
        dependency = Dependency()
        async with quiet(system) as s:
            SMTP.on(s).force_open(**BY)
            refs = [await s.spawn(f"{number}", using(Doer, SMTP)) for number in range(5_000)]
            began = time.perf_counter()
            for ref in refs:
                await ref.tell(Doer.do, dependency.deed())
            await settle()
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert len(dependency.calls) == 5_000
            assert time.perf_counter() - began < 3.0  # it takes 0.2 s; each looking at all others took 10

    async def test_several_policies_are_passed_together_or_not_at_all(self, system: Systems) -> None:
        dependency = Dependency()
        dependency.takes = 1.0
        rate = RateLimit("rate", 1, per=10.0, burst=1)
        async with quiet(system) as s:
            refs = [await s.spawn(f"{number}", using(Doer, rate, SINGLE)) for number in range(4)]
            beside = await s.spawn("beside", using(Doer, SINGLE))
            for ref in refs:
                await ref.tell(Doer.do, dependency.deed("limited"))
            for _ in range(5):
                await beside.tell(Doer.do, dependency.deed("beside"))
            await s.idle()
            limited = [at for at, word in zip(dependency.calls, dependency.words, strict=True) if word == "limited"]
            assert all(after - before >= 10.0 for before, after in pairwise(limited))
            assert dependency.most == 1
            assert dependency.calls[-1] <= 32.0  # who waits for the limit does not hold the one place
            assert inside(s, SINGLE) == 0

    async def test_what_time_alone_does_belongs_to_no_message(self, system: Systems) -> None:
        """A subscriber that is called by a timer is not inside the turn in which that timer was set."""
        seats: list[Any] = []
        gate = asyncio.Event()
        async with quiet(system) as s:
            s.subscribe(lambda _: seats.append(TURN.get()), BreakerOpened)
            refs = [await s.spawn(name, using(Doer, ONE)) for name in "ab"]
            await trip(s, ONE)
            for ref in refs:
                await ref.tell(Doer.do, wait_for(gate))
            await advance(5.0 + 60.0)
            assert seats == [None, None]
            gate.set()
            await s.idle()
