"""The laws of an actor's tasks: piped results, background work, and that all of them end with the incarnation."""

import asyncio
import gc
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Narrow,
    Oops,
    Systems,
    crash,
    hang,
    quiet,
    stop,
    wait_for,
)
from upright.actors import Crashed, Ref, current_turn
from upright.actors.events import ActorCrashed
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def fail_after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    raise Oops("too slow")


def pipe(seconds: float, fails: bool = False, with_failed: bool = False) -> Deed:
    async def deed(me: Doer) -> None:
        work = fail_after(seconds) if fails else asyncio.sleep(seconds, "done")
        me.ctx.pipe(work, Doer.result, Doer.failed if with_failed else None)

    return deed


@pytest.mark.parametrize("kind", KINDS)
async def test_a_piped_result_comes_as_a_message_and_holds_up_no_other(system: Systems, kind: type[Doer]) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        await ref.ask(Doer.do, pipe(2.0))
        await ref.ask(Doer.note, "meanwhile")
        await s.idle()
    assert [word for word in diary.words if "st" not in word] == ["meanwhile 1", "result done 1"]


@pytest.mark.parametrize("with_failed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_piped_error_goes_to_its_handler_or_crashes_the_actor_where_there_is_none(
    system: Systems, recorders: list[Recorder], kind: type[Doer], with_failed: bool
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        await ref.ask(Doer.do, pipe(2.0, fails=True, with_failed=with_failed))
        await s.idle()
        assert ("failed too slow 1" in diary.words) is with_failed
        assert diary.lives == (1 if with_failed else 2)
        assert [type(event.error) for event in recorders[0].of(ActorCrashed)] == ([] if with_failed else [Oops])


async def test_a_piped_result_is_held_back_by_no_full_mailbox(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Narrow, diary)
        await ref.ask(Doer.do, pipe(1.0))
        await ref.tell(Doer.do, wait_for(gate))
        await settle()
        while ref.try_tell(Doer.note, "filler"):
            pass
        await advance(2)
        gate.set()
        await s.idle()
        assert diary.words[2:] == ["filler 1", "filler 1", "result done 1"]


async def test_pipe_takes_a_future_and_a_task_as_well(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(asyncio.sleep(1, "task"))

        async def pipe_both(me: Doer) -> None:
            me.ctx.pipe(future, Doer.result)
            me.ctx.pipe(task, Doer.result)

        await ref.ask(Doer.do, pipe_both)
        future.set_result("future")
        await s.idle()
        assert diary.words == ["result future 1", "result task 1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_in_the_background_crashes_the_actor_after_the_message_in_hand(
    system: Systems, recorders: list[Recorder], kind: type[Doer]
) -> None:
    diary = Diary()

    async def begin(me: Doer) -> str:
        me.ctx.background(fail_after(1))
        await asyncio.sleep(3)
        return "finished"

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        assert await ref.ask(Doer.do, begin) == "finished"
        await s.idle()
        assert diary.lives == 2
        (crashed,) = recorders[0].of(ActorCrashed, "/a")
        assert isinstance(crashed.error, Oops)
        assert crashed.handler == "background"
    if kind is Closer:
        assert diary.reasons[0] == Crashed(crashed.error)


async def test_an_error_in_the_background_of_an_idle_actor_crashes_it_at_once(system: Systems) -> None:
    diary = Diary()

    async def begin(me: Doer) -> None:
        me.ctx.background(fail_after(1))

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        await ref.ask(Doer.do, begin)
        await advance(1)
        assert diary.lives == 2


async def test_a_background_task_that_raises_an_uninvited_cancelled_error_only_ends(system: Systems) -> None:
    """A task may cancel itself; asyncio shows that as a cancelled task, and nobody can tell the two apart."""
    diary = Diary()

    async def cancel_it(me: Doer) -> None:
        me.ctx.background(hang(me)).cancel()

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        await ref.ask(Doer.do, cancel_it)
        await s.idle()
        assert diary.lives == 1


async def end_by_stop(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, stop)


async def end_by_crash(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, crash)


async def end_by_kill(s: Any, ref: Ref[Doer]) -> None:
    await s.kill(ref)


async def end_by_system(s: Any, ref: Ref[Doer]) -> None:
    await s.stop()


@pytest.mark.parametrize("end", [end_by_stop, end_by_crash, end_by_kill, end_by_system])
@pytest.mark.parametrize("kind", KINDS)
async def test_tasks_are_cancelled_and_awaited_when_the_incarnation_ends_however_it_ends(
    system: Systems, kind: type[Doer], end: Any
) -> None:
    diary = Diary()

    async def work(me: Doer) -> None:
        try:
            await hang(me)
        finally:
            await asyncio.sleep(0.5)
            me.diary.add("work ended")

    async def begin(me: Doer) -> None:
        me.ctx.background(work(me))
        me.ctx.pipe(work(me), Doer.result)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        await ref.ask(Doer.do, begin)
        await advance(1)
        await end(s, ref)
        await advance(1)
        assert diary.words.count("work ended") == 2
        assert not [task for task in asyncio.all_tasks() if "background" in task.get_name()]
    assert not [word for word in diary.words if word.startswith("result")]
    if "stopping 1" in diary.words:
        assert diary.words.index("work ended") < diary.words.index("stopping 1")


@pytest.mark.parametrize("verb", ["background", "pipe"])
async def test_work_that_never_began_is_closed_without_a_warning(system: Systems, verb: str) -> None:
    """Warnings are errors here, so "coroutine was never awaited" would fail this test."""

    async def begin_and_crash(me: Doer) -> None:
        if verb == "background":
            me.ctx.background(hang(me))
        else:
            me.ctx.pipe(hang(me), Doer.result)
        raise Oops("at once")

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, Diary())
        await ref.tell(Doer.do, begin_and_crash)
        await s.idle()
    gc.collect()


@pytest.mark.parametrize("verb", ["background", "pipe"])
async def test_an_actor_that_is_ending_starts_no_task_and_closes_the_coroutine(system: Systems, verb: str) -> None:
    errors: list[str] = []

    async def begin(me: Doer) -> None:
        try:
            if verb == "background":
                me.ctx.background(hang(me))
            else:
                me.ctx.pipe(hang(me), Doer.result)
        except Exception as error:
            errors.append(type(error).__name__)

    async with quiet(system) as s:
        await s.spawn("a", Closer, Diary(), stopping=begin)
    gc.collect()
    assert errors == ["ActorGone"]


async def test_tasks_bear_the_path_of_their_actor_in_their_names(system: Systems) -> None:
    async def begin(me: Doer) -> None:
        me.ctx.background(hang(me))
        me.ctx.pipe(hang(me), Doer.result)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.ask(Doer.do, begin)
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert {"/a background", "/a pipe to result"} <= names


async def test_background_work_may_tell_and_ask_and_knows_its_actor(system: Systems) -> None:
    diary, seen = Diary(), list[Any]()

    async def begin(me: Doer) -> None:
        async def work() -> None:
            seen.append(current_turn())
            seen.append(await other.ask(Doer.note, "asked"))
            seen.append(await me.ctx.self_ref.ask(Doer.note, "asked myself"))

        me.ctx.background(work())

    async with quiet(system) as s:
        other = await s.spawn("other", Doer, Diary())
        ref = await s.spawn("a", Doer, diary)
        await ref.ask(Doer.do, begin)
        await s.idle()
    assert (seen[0].actor, seen[0].handler) == ("/a", "background")
    assert seen[1:] == ["asked", "asked myself"]


async def test_background_work_that_ends_leaves_nothing_behind(system: Systems) -> None:
    async def begin(me: Doer) -> None:
        for _ in range(100):
            me.ctx.background(asyncio.sleep(0.1))

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        before = len(asyncio.all_tasks())
        for _ in range(10):
            await ref.ask(Doer.do, begin)
            await s.idle()
        assert len(asyncio.all_tasks()) <= before + 1
