"""The laws of a restart: what it keeps, what it ends, and that nothing of an old incarnation reaches a new one."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Oops,
    Starter,
    Systems,
    crash,
    hang,
    quiet,
    rest,
    sleep,
    stop,
    wait_for,
)
from upright.actors import ActorError, ActorFailed, ActorGone, Killed
from upright.actors.events import ActorRestarted, ActorRestarting, ActorStopped
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restart_keeps_the_ref_the_name_and_what_waits_in_order_and_ends_only_the_ask_in_hand(
    system: Systems, recorders: list[Recorder], kind: type[Doer]
) -> None:
    diary, gate = Diary(), asyncio.Event()

    async def wait_and_crash(me: Doer) -> None:
        await gate.wait()
        await crash(me)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        async with asyncio.TaskGroup() as group:
            in_hand = group.create_task(outcome(ref.ask(Doer.do, wait_and_crash)))
            waiting = [group.create_task(ref.ask(Doer.note, word)) for word in ("one", "two")]
            await settle()
            await ref.tell(Doer.note, "three")
            gate.set()
        assert isinstance(in_hand.result(), ActorFailed)
        assert [task.result() for task in waiting] == ["one", "two"]
        await s.idle()
        assert [word for word in diary.words if word[-1] == "2" and "start" not in word] == [
            "one 2",
            "two 2",
            "three 2",
        ]
        assert s.ref("/a", kind) == ref
        assert [event.incarnation for event in recorders[0].of(ActorRestarting, "/a")] == [2]
        assert [event.waiting for event in recorders[0].of(ActorRestarted, "/a")] == [3]
        assert not recorders[0].of(ActorStopped, "/a"), "it has not ended for good"


async def outcome(work: Any) -> Any:
    try:
        return await work
    except ActorError as error:
        return error


async def test_the_new_instance_is_made_with_the_same_arguments_and_remembers_nothing(system: Systems) -> None:
    async def remember(me: Doer) -> None:
        me.memory["key"] = "value"

    async def recall(me: Doer) -> Any:
        return me.memory, me.plans

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, None, started=rest)
        await ref.ask(Doer.do, remember)
        await ref.tell(Doer.do, crash)
        assert await ref.ask(Doer.do, recall) == ({}, {"started": rest})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restart_puts_the_stash_back_in_front_of_the_mailbox_in_its_order(
    system: Systems, kind: type[Doer]
) -> None:
    diary = Diary()

    async def set_aside(me: Doer, word: str) -> str:
        if me.life == 1:
            me.ctx.stash()
        return await me.note(word)

    def stashing(word: str) -> Deed:
        async def deed(me: Doer) -> str:
            return await set_aside(me, word)

        return deed

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        asked = asyncio.create_task(ref.ask(Doer.do, stashing("first")))
        await settle()
        await ref.tell(Doer.do, stashing("second"))
        await ref.tell(Doer.do, crash)
        await ref.tell(Doer.note, "third")
        assert await asked == "first", "an ask that was stashed is still answered"
        await s.idle()
    assert [word for word in diary.words if word.endswith(" 2") and "st" not in word[:2]] == [
        "first 2",
        "second 2",
        "third 2",
    ]


async def test_the_previous_stopping_has_ended_before_the_next_started_begins(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary, stopping=[sleep(2), rest])
        await ref.tell(Doer.do, crash)
        await ref.ask(Doer.note, "again")
    assert diary.words[2:6] == ["stopping 1", "stopped 1", "starting 2", "started 2"]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_timer_of_an_old_incarnation_ticks_in_the_new_one(system: Systems, kind: type[Doer]) -> None:
    diary = Diary()

    async def set_timers(me: Doer) -> None:
        me.ctx.after(5.0, Doer.note, "after")
        me.ctx.every(1.0, Doer.note, "every")
        me.ctx.timer("key").every(1.0, Doer.note, "keyed")

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        await ref.ask(Doer.do, set_timers)
        await ref.tell(Doer.do, crash)
        await advance(30)
    assert not {"after", "every", "keyed"} & {word.split()[0] for word in diary.words}


async def test_neither_a_tick_nor_a_piped_result_that_already_waits_reaches_the_new_one(system: Systems) -> None:
    diary = Diary()

    async def set_up(me: Doer) -> None:
        me.ctx.after(1.0, Doer.note, "tick")
        me.ctx.pipe(asyncio.sleep(1, "piped"), Doer.result)
        await asyncio.sleep(2)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        await ref.tell(Doer.do, set_up)
        await settle()
        await ref.tell(Doer.do, crash)
        await ref.tell(Doer.note, "mail")
        await advance(1.5)
        assert [message.handler for message in s.peek(ref)] == ["do", "note", "note", "result"]
        await advance(10)
    assert diary.words == ["mail 2"]


async def test_no_piped_result_and_no_background_work_of_an_old_incarnation_goes_on(system: Systems) -> None:
    diary = Diary()

    async def set_up(me: Doer) -> None:
        async def work() -> None:
            await asyncio.sleep(3)
            me.diary.add("background")

        me.ctx.pipe(asyncio.sleep(3, "piped"), Doer.result)
        me.ctx.background(work())

    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary)
        await ref.ask(Doer.do, set_up)
        await ref.tell(Doer.do, crash)
        await advance(10)
    assert diary.words[2:6] == ["stopping 1", "stopped 1", "starting 2", "started 2"]
    assert not {"background", "result piped 1", "result piped 2"} & set(diary.words)


async def test_a_watch_of_an_old_incarnation_ends_with_it_and_its_waiting_notice_is_not_given_to_the_new_one(
    system: Systems,
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        early, late = await s.spawn("early", Doer), await s.spawn("late", Doer)

        async def watch_both_and_crash(me: Doer) -> None:
            me.ctx.watch(early, Doer.down)
            me.ctx.watch(late, Doer.down)
            await early.tell(Doer.do, stop)
            await early.ended()  # its Down waits now, in front of everything
            raise Oops("with a notice waiting")

        ref = await s.spawn("a", Doer, diary)
        await ref.tell(Doer.do, watch_both_and_crash)
        assert await ref.ask(Doer.note, "again") == "again"
        assert not any(watcher for watcher in s.ref("/late", Doer).recipient.watchers)  # type: ignore[union-attr]  # a Cell has them
        await late.tell(Doer.do, stop)
        await s.idle()
    assert diary.words == ["again 2"]


@pytest.mark.parametrize("kind", KINDS)
async def test_code_that_outlives_its_incarnation_sets_no_timer_in_the_new_one(
    system: Systems, kind: type[Doer]
) -> None:
    diary, gate = Diary(), asyncio.Event()
    errors: list[BaseException] = []

    async def act_late(me: Doer) -> None:
        await gate.wait()
        try:
            me.ctx.after(1.0, Doer.note, "late tick")
        except ActorError as error:
            errors.append(error)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        tasks: list[asyncio.Task[None]] = []

        async def leave_a_task(me: Doer) -> None:
            tasks.append(asyncio.create_task(act_late(me)))

        await ref.ask(Doer.do, leave_a_task)
        await ref.tell(Doer.do, crash)
        await ref.ask(Doer.note, "again")
        gate.set()
        await tasks[0]
        await advance(5)
    assert not [word for word in diary.words if word.startswith("late")]


async def test_code_that_outlives_its_incarnation_makes_no_child_of_the_new_one_and_does_not_stop_it(
    system: Systems,
) -> None:
    gate = asyncio.Event()
    errors: list[BaseException] = []

    async def act_late(me: Doer) -> None:
        await gate.wait()
        me.ctx.stop()
        try:
            await me.ctx.spawn("child", Doer)
        except ActorError as error:
            errors.append(error)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        tasks: list[asyncio.Task[None]] = []

        async def leave_a_task(me: Doer) -> None:
            tasks.append(asyncio.create_task(act_late(me)))

        await ref.ask(Doer.do, leave_a_task)
        await ref.tell(Doer.do, crash)
        await ref.ask(Doer.note, "again")
        gate.set()
        await tasks[0]
        assert await ref.ask(Doer.note, "unharmed") == "unharmed"
        assert [type(error) for error in errors] == [ActorGone]
        assert s.ref("/a/child", Doer).recipient is None


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_ends_it_at_once_without_stopping_keeps_its_mail_and_the_root_restarts_it(
    system: Systems, dead_letters: Any, kind: type[Doer], busy: bool
) -> None:
    diary = Diary()
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        in_hand = asyncio.create_task(ref.ask(Doer.do, hang if busy else rest))
        await settle()
        if busy:
            await ref.tell(Doer.note, "mail")
        began = loop.time()
        await s.kill(ref)
        assert loop.time() == began
        assert await ref.ask(Doer.note, "again") == "again"
        if busy:
            with pytest.raises(ActorGone) as caught:
                await in_hand
            assert caught.value.handled
            assert dead_letters.reasons() == ["killed"]
            assert "mail 2" in diary.words
        else:
            assert await in_hand is None
            assert dead_letters.reasons() == []
    assert "stopping 1" not in diary.words
    assert diary.lives == 2


async def test_two_who_kill_the_same_actor_both_return_and_it_dies_once(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary)
        await ref.tell(Doer.do, hang)
        await settle()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(s.kill(ref))
            group.create_task(s.kill(ref))
        await s.idle()
        assert diary.lives == 2


async def test_an_actor_may_kill_itself(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, diary)
        asked = asyncio.create_task(outcome(ref.ask(Doer.do, lambda _: s.kill(ref))))
        assert isinstance(await asked, ActorGone)
        assert await ref.ask(Doer.note, "again") == "again"
        assert s.zombies == 0


async def test_a_kill_while_it_starts_fails_the_start_and_a_kill_while_it_stops_ends_the_stopping(
    system: Systems,
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        spawning = asyncio.create_task(outcome(s.spawn("a", Starter, None, started=wait_for(gate))))
        await settle()
        await s.kill(s.ref("/a", Doer))
        assert "did not start" in str(await spawning)

        parent = await s.spawn("p", Doer)
        child = await parent.ask(Doer.do, lambda me: me.ctx.spawn("c", Closer, diary, stopping=hang))
        await child.tell(Doer.do, stop)
        await settle()
        await s.kill(child)
        assert isinstance(await child.ended(), Killed)
    assert diary.words[-1] == "stopping 1"
