"""The laws of a mailbox that pauses while a policy of its actor lets nobody through."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import KINDS, Diary, Doer, Systems, quiet, rest, sleep, wait_for
from tests.actors.outage import BY, HOUR, LATER, SMTP, Dependency, inside, loop_turns, trip, using
from upright.actors import ActorSystem, AskTimedOut, Bounded, Down
from upright.actors.events import ActorPaused, ActorResumed, AskExpired
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import CircuitBreaker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def state(system: ActorSystem, name: str = "a") -> str:
    return next(node.state for node in system.tree().children if node.path == f"/{name}")


class TestOpen:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_no_handler_runs_nothing_is_dropped_and_the_order_is_kept(
        self, system: Systems, dead_letters: Any, kind: type[Doer]
    ) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(kind, SMTP), diary)
            await ref.tell(Doer.note, "before")
            await settle()
            await trip(s)
            diary.words.clear()
            for word in "abcdef":
                await ref.tell(Doer.note, word)
            await advance(4.9)
            assert diary.words == []
            await advance(0.1)
            assert diary.words == [f"{word} 1" for word in "abcdef"]
            assert dead_letters.all == []
            assert inside(s, SMTP) == 0

    async def test_what_is_in_hand_when_it_opens_is_not_disturbed(self, system: Systems) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP), diary)
            asked = asyncio.create_task(ref.ask(Doer.do, sleep(1.0)))
            await settle()
            await ref.tell(Doer.note, "next")
            await trip(s)
            await asked
            await advance(2.0)
            assert diary.words == []

    async def test_the_bound_pushes_back_on_senders(self, system: Systems, dead_letters: Any) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP, mailbox=Bounded(2)), diary)
            await trip(s)
            assert ref.try_tell(Doer.note, "a")
            assert ref.try_tell(Doer.note, "b")
            assert not ref.try_tell(Doer.note, "lost")
            waiting = [asyncio.create_task(ref.tell(Doer.note, word)) for word in "cd"]
            await advance(4.0)
            assert not any(task.done() for task in waiting)
            await advance(1.0)
            assert all(task.done() for task in waiting)
            assert diary.words == ["a 1", "b 1", "c 1", "d 1"]
            assert dead_letters.all == []

    async def test_asks_that_time_out_meanwhile_are_dropped_when_it_resumes_and_use_no_permit(
        self, system: Systems, recorders: list[Recorder]
    ) -> None:
        diary, gate = Diary(), asyncio.Event()
        one = CircuitBreaker("one", consecutive=1, wait=LATER, permits=1, slow_start=0)
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, one), diary)
            await trip(s, one)
            for _ in range(3):
                with pytest.raises(AskTimedOut) as caught:
                    await ref.within(1.0).ask(Doer.note, "late")
                assert not caught.value.handled
            await ref.tell(Doer.do, wait_for(gate))
            await advance(1.0)
            await advance(1.0)
            assert inside(s, one) == 1
            assert one.on(s).state == "half-open"
            gate.set()
            await s.idle()
            assert diary.words == []
            assert len(recorders[0].of(AskExpired)) == 3
            assert one.on(s).state == "closed"

    async def test_an_actor_left_with_nothing_but_late_asks_resumes_and_rests(self, system: Systems) -> None:
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP))
            await trip(s)
            with pytest.raises(AskTimedOut):
                await ref.within(1.0).ask(Doer.note, "late")
            assert state(s) == "paused"
            await s.idle()
            assert state(s) == "running"
            assert SMTP.on(s).waiting == 0

    async def test_it_shows_in_the_tree_and_is_told_once_each_time(
        self, system: Systems, recorders: list[Recorder]
    ) -> None:
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP))
            assert state(s) == "running"
            await trip(s)
            assert state(s) == "running"  # it has nothing to do
            for _ in range(3):
                await ref.tell(Doer.do, rest)
                await settle()
            assert state(s) == "paused"
            assert SMTP.on(s).waiting == 1
            assert recorders[0].of(ActorPaused) == [ActorPaused("/a", "Doer", "smtp")]
            assert recorders[0].of(ActorResumed) == []
            await s.idle()
            assert state(s) == "running"
            resumed = recorders[0].of(ActorResumed)
            assert [(event.path, event.kind, event.paused_s) for event in resumed] == [("/a", "Doer", 5.0)]
            assert len(recorders[0].of(ActorPaused)) == 1

    async def test_an_hour_with_much_in_the_mailboxes_keeps_nobody_busy(self, system: Systems) -> None:
        dependency = Dependency()
        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, SMTP)) for number in range(20)]
            SMTP.on(s).force_open(**BY)
            for ref in refs:
                for _ in range(100):
                    await ref.tell(Doer.do, dependency.deed())
            await settle()
            with loop_turns() as turns:
                await advance(HOUR)
            assert turns[0] < 10
            assert dependency.calls == []
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert len(dependency.calls) == 2000

    async def test_an_hours_outage_costs_a_few_probes_and_few_turns_of_the_loop(self, system: Systems) -> None:
        dependency = Dependency()
        dependency.is_down = True

        async def carefully(_: Any) -> None:
            await dependency.call()

        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, SMTP)) for number in range(20)]
            for ref in refs:
                for _ in range(10):
                    await ref.tell(Doer.do, carefully)
            with loop_turns() as turns:
                await advance(HOUR)
            # 5, 10, 20, 40, 80, 160, and every 300 seconds, two each time; one in the beginning, as each actor finds
            # the circuit closed until the first has failed.
            assert len(dependency.calls) <= 2 * (6 + 12) + 20
            assert turns[0] < 1000
            dependency.is_down = False
            await s.idle()
            assert inside(s, SMTP) == 0


class TestIdle:
    async def test_it_waits_behind_an_open_circuit_and_returns_when_all_is_done(self, system: Systems) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP), diary)
            SMTP.on(s).force_open(**BY)
            await ref.tell(Doer.note, "x")
            idle = asyncio.create_task(s.idle())
            await advance(HOUR)
            assert not idle.done()
            SMTP.on(s).automatic(**BY)
            await idle
            assert diary.words == ["x 1"]

    async def test_it_returns_at_once_when_nothing_waits_though_the_circuit_is_open(self, system: Systems) -> None:
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP))
            SMTP.on(s).force_open(**BY)
            await s.idle()
            await ref.tell(Doer.do, rest)
            await settle()
            await s.kill(ref)
            await s.end(ref)
            await s.idle()


async def test_an_actor_that_uses_nothing_never_pauses_and_has_no_passage(
    system: Systems, recorders: list[Recorder]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        actor: Any = ref.recipient
        assert actor.passage is None
        SMTP.on(s).force_open(**BY)
        await ref.tell(Doer.note, "x")
        await s.idle()
        assert not actor.life.attention
        assert diary.words == ["x 1"]
        assert recorders[0].of(ActorPaused) == []


async def test_ticks_and_piped_results_wait_and_notices_do_not(system: Systems) -> None:
    diary = Diary()

    async def prepare(me: Doer) -> None:
        me.ctx.after(1.0, Doer.note, "tick")
        me.ctx.every(1.0, Doer.note, "again")
        me.ctx.pipe(asyncio.sleep(1.0, "slow"), Doer.result)
        me.ctx.watch(me.ctx.ref("/b", Doer), Doer.down)

    async with quiet(system) as s:
        ref, other = await s.spawn("a", using(Doer, SMTP), diary), await s.spawn("b", Doer)
        await ref.ask(Doer.do, prepare)
        await trip(s)
        await advance(3.0)
        assert diary.words == []
        assert state(s) == "paused"
        await s.end(other)
        await settle()
        assert diary.words == ["down /b"]
        assert isinstance(diary.downs[0], Down)
        assert state(s) == "paused"
        await advance(1.9)
        assert diary.words == ["down /b"]
        await advance(0.1)
        assert sorted(diary.words[1:4]) == ["again 1", "result slow 1", "tick 1"]
