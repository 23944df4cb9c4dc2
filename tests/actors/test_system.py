"""The laws of a system: how it starts and stops, and that nothing of it is left."""

import asyncio
import gc
import threading
import weakref
from typing import Any

import anyio
import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Diary,
    Doer,
    Oops,
    Systems,
    crash,
    hang,
    quiet,
    rest,
    sleep,
    stop,
    wait_for,
)
from upright.actors import Actor, ActorError, ActorSystem, DeadLetter, DeadLetters, Ref, SystemNotRunning
from upright.actors.testing import VirtualTimeLoop, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_it_may_be_started_and_stopped_by_different_tasks(system: Systems) -> None:
    s = quiet(system)
    await asyncio.create_task(s.start())
    ref = await asyncio.create_task(s.spawn("a", Closer))
    assert await ref.ask(Doer.note, "here") == "here"
    await asyncio.create_task(s.stop())
    assert not s.running


async def test_stopping_twice_or_before_a_start_does_nothing_and_stopping_at_once_from_two_tasks_waits_in_both(
    system: Systems,
) -> None:
    s = quiet(system)
    await s.stop()
    await s.start()
    diary = Diary()
    await s.spawn("a", Closer, diary, stopping=sleep(1))
    await asyncio.gather(s.stop(), s.stop(), s.stop())
    assert diary.words[-1] == "stopped 1"
    await s.stop()


async def test_a_start_of_one_that_runs_is_refused_and_harms_it_not(system: Systems) -> None:
    async with quiet(system) as s:
        with pytest.raises(SystemNotRunning):
            await s.start()
        assert (await s.spawn("a", Doer)).path == "/a"


async def test_it_can_be_started_again_and_knows_nothing_of_before(system: Systems) -> None:
    s = quiet(system)
    diary = Diary()
    for round_number in range(1, 4):
        async with s:
            ref = await s.spawn("a", Closer, diary)
            assert await ref.ask(Doer.note, "here") == "here"
        assert diary.lives == round_number


async def test_a_ref_of_before_finds_nobody_until_the_system_runs_and_is_no_way_into_the_next(
    system: Systems,
) -> None:
    s = quiet(system)
    async with s:
        old = await s.spawn("a", Doer)
    with pytest.raises(SystemNotRunning):
        await old.tell(Doer.note, "x")
    async with s:
        await s.spawn("a", Doer)
        with pytest.raises(SystemNotRunning):
            await old.tell(Doer.note, "x")


async def test_before_a_start_and_after_a_stop_every_verb_says_so(system: Systems) -> None:
    s = quiet(system)

    async def try_all() -> None:
        with pytest.raises(SystemNotRunning):
            await s.spawn("a", Doer)
        with pytest.raises(SystemNotRunning):
            s.ref("/a", Doer)
        await s.idle()

    await try_all()
    async with s:
        ref = await s.spawn("a", Doer)
    await try_all()
    with pytest.raises(SystemNotRunning):
        await ref.ask(Doer.note, "x")
    with pytest.raises(SystemNotRunning):
        await ref.tell(Doer.note, "x")
    assert ref.try_tell(Doer.note, "x") is False
    with pytest.raises(SystemNotRunning):
        await s.kill(ref)
    assert "nobody" in repr(ref)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_stop_whose_caller_is_cancelled_still_ends_and_the_cancellation_is_raised_afterwards(
    system: Systems, times: int
) -> None:
    s = await quiet(system).start()
    diary = Diary()
    await s.spawn("a", Closer, diary, stopping=sleep(3))
    stopping = asyncio.create_task(s.stop())
    for _ in range(times):
        await advance(0.5)
        stopping.cancel()
    await advance(0.5)
    assert not stopping.done()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    assert diary.words[-1] == "stopped 1"
    assert not s.running
    assert no_trace()


async def test_a_stop_in_a_cancelled_scope_of_anyio_still_ends(system: Systems) -> None:
    diary = Diary()
    with anyio.move_on_after(1) as scope:
        async with quiet(system) as s:
            await s.spawn("a", Closer, diary, stopping=sleep(3))
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert diary.words[-1] == "stopped 1"
    assert no_trace()


async def test_an_error_in_the_body_stops_the_system_and_comes_out_as_it_was(system: Systems) -> None:
    diary = Diary()
    with pytest.raises(Oops):
        async with quiet(system) as s:
            await s.spawn("a", Closer, diary)
            raise Oops("in the body")
    assert diary.words[-1] == "stopped 1"


async def test_an_actor_may_stop_its_own_system_without_a_deadlock(system: Systems) -> None:
    s = await quiet(system).start()
    diary = Diary()
    tasks: list[asyncio.Task[None]] = []

    async def stop_system(_: Any) -> None:
        tasks.append(asyncio.create_task(s.stop()))

    ref = await s.spawn("a", Closer, diary)
    await ref.ask(Doer.do, stop_system)
    async with asyncio.timeout(10):
        await tasks[0]
    assert diary.words[-1] == "stopped 1"


async def test_two_systems_on_one_loop_never_see_each_other(system: Systems) -> None:
    diaries = [Diary(), Diary()]
    async with quiet(system) as one, quiet(system) as two:
        refs = [await s.spawn("a", Closer, diary) for s, diary in zip((one, two), diaries, strict=True)]
        assert refs[0] != refs[1]
        assert [await ref.ask(Doer.note, "here") for ref in refs] == ["here"] * 2
        await refs[0].tell(Doer.do, crash)
        await one.ref("/nobody", Doer).tell(Doer.note, "lost")
        await one.idle()
        assert [diary.lives for diary in diaries] == [2, 1]
        boxes = [s.ref("/dead-letters", DeadLetters) for s in (one, two)]
        assert [len(await box.ask(DeadLetters.latest)) for box in boxes] == [2, 0]
        await one.stop()
        assert await refs[1].ask(Doer.note, "still here") == "still here"


def no_trace(*but: asyncio.Task[Any]) -> bool:
    """Whether no task, timer or thread of a system is left."""
    loop: Any = asyncio.get_running_loop()
    tasks = [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith(("/", "upright")) and task not in but
    ]
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]
    threads = [thread.name for thread in threading.enumerate() if "upright" in thread.name]
    assert (tasks, timers, threads) == ([], [], [])
    return True


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stopped_system_leaves_no_task_timer_thread_or_actor_behind_whatever_its_actors_did(
    kind: type[Doer],
) -> None:
    """Without the recorder of the fixture: the errors in its events hold the frames that they came through."""
    made: list[weakref.ref[Doer]] = []

    def note_birth(me: Doer) -> Any:
        made.append(weakref.ref(me))

    async def do_much(me: Doer) -> None:
        me.ctx.after(1_000, Doer.note, "x")
        me.ctx.every(1_000, Doer.note, "x")
        me.ctx.background(hang(me))
        me.ctx.pipe(hang(me), Doer.result)
        me.ctx.watch(other, Doer.down)
        await me.ctx.spawn("child", kind, None, init=note_birth)

    async with ActorSystem(log=None, blocked_after=5.0) as s:
        other = await s.spawn("other", kind, None, init=note_birth)
        for number, end in enumerate((rest, crash, stop, hang)):
            ref = await s.spawn(f"a{number}", kind, None, init=note_birth)
            await ref.ask(Doer.do, do_much)
            await ref.tell(Doer.overlap, "word", sleep(0.1))
            await ref.tell(Doer.do, end)
            with pytest.raises(ActorError):
                await ref.within(0.2).ask(Doer.do, hang)
    assert no_trace()
    assert len(made) >= 9
    del ref, other
    gc.collect()
    assert [one() for one in made if one() is not None] == []


class Forgetful(Actor):
    """A dead-letter actor that keeps nothing."""

    async def letter(self, letter: DeadLetter) -> None: ...


async def test_ten_thousand_restarts_leave_nothing_behind() -> None:
    diary = Diary()
    instances: weakref.WeakSet[Doer] = weakref.WeakSet()

    async def use_everything(me: Doer) -> None:
        me.ctx.after(1_000, Doer.note, "x")
        me.ctx.timer("key").every(1_000, Doer.note, "x")
        me.ctx.watch(other, Doer.down)
        me.ctx.background(hang(me))
        await crash(me)

    async with ActorSystem(log=None, blocked_after=None, dead_letters=Forgetful) as s:
        other = await s.spawn("other", Doer)
        ref = await s.spawn("a", Closer, diary, init=instances.add)
        tasks = len(asyncio.all_tasks())
        for _ in range(10_000):
            await ref.tell(Doer.do, use_everything)
            diary.words.clear()
            diary.reasons.clear()
        await s.idle()
        diary.reasons.clear()
        assert diary.lives == 10_001
        gc.collect()
        loop: Any = asyncio.get_running_loop()
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert len([handle for handle in loop._scheduled if not handle.cancelled()]) <= 1
        recipient: Any = other.recipient
        assert len(recipient.watchers) == 0
        assert len(instances) == 1


async def test_the_letters_that_are_kept_keep_no_crashed_instance_alive() -> None:
    """An error holds the frames that it came through, and these the instance with all its state."""
    instances: weakref.WeakSet[Doer] = weakref.WeakSet()
    async with ActorSystem(log=None, blocked_after=None) as s:
        ref = await s.spawn("a", Doer, None, init=instances.add)
        for _ in range(20):
            await ref.tell(Doer.do, crash)
        await s.idle()
        gc.collect()
        assert len(instances) == 1


async def test_peek_shows_what_waits_the_next_first_and_takes_nothing(system: Systems) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, wait_for(gate))
        await settle()
        for word in ("one", "two", "three"):
            await ref.tell(Doer.note, word)
        asked = asyncio.create_task(ref.ask(Doer.note, "four"))
        await settle()
        for _ in range(2):
            assert [message.args for message in s.peek(ref)] == [("one",), ("two",), ("three",), ("four",)]
        assert [message.asked for message in s.peek(ref)] == [False] * 3 + [True]
        assert len(list(s.peek(ref, most=2))) == 2
        assert list(s.peek(s.ref("/nobody", Doer))) == []
        gate.set()
        assert await asked == "four"


class Broken(Actor):
    """A dead-letter actor that fails where it is told to."""

    in_started = False

    async def started(self) -> None:
        if self.in_started:
            raise Oops("no letters today")

    async def letter(self, letter: DeadLetter) -> None:
        raise Oops("cannot read")


class Unborn(Broken):
    in_started = True


async def test_a_dead_letter_class_that_does_not_start_fails_the_start_and_leaves_nothing(system: Systems) -> None:
    s = quiet(system, dead_letters=Unborn)
    with pytest.raises(ActorError, match="/dead-letters did not start") as caught:
        await s.start()
    assert isinstance(caught.value.__cause__, Oops)
    assert not s.running
    assert no_trace()


async def test_a_dead_letter_actor_that_crashes_on_each_letter_neither_loops_nor_holds_anybody_up(
    system: Systems,
) -> None:
    async with quiet(system, dead_letters=Broken) as s:
        for _ in range(5):
            await s.ref("/nobody", Doer).tell(Doer.note, "x")
        await s.idle()
        assert s.dead_letters_lost == 5
        ref = await s.spawn("a", Doer)
        assert await ref.ask(Doer.note, "here") == "here"


@pytest.mark.parametrize("wrong", [Doer, object, "DeadLetters"])
def test_a_class_that_takes_no_letters_is_refused_when_the_system_is_made(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        ActorSystem(dead_letters=wrong, log=None)


@pytest.mark.parametrize("options", [{"grace": -1.0}, {"blocked_after": 0.0}, {"blocked_after": -1.0}])
def test_wrong_durations_are_refused_when_the_system_is_made(options: dict[str, float]) -> None:
    wrong: Any = options
    with pytest.raises(ValueError, match="expected"):
        ActorSystem(log=None, **wrong)


def test_one_system_may_serve_two_loops_one_after_the_other() -> None:
    s = ActorSystem(log=None, blocked_after=None)
    diary = Diary()

    async def main() -> str:
        async with s:
            ref: Ref[Doer] = await s.spawn("a", Closer, diary)
            return str(await ref.ask(Doer.note, "here"))

    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            assert runner.run(main()) == "here"
    assert diary.lives == 2
