"""The laws of one life: which hook runs when, and what an error in each of them does."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Diary,
    Doer,
    Oops,
    Starter,
    Systems,
    Testator,
    cancel_uninvited,
    crash,
    hang,
    quiet,
    sleep,
    stop,
    wait_for,
)
from upright.actors import (
    ActorFailed,
    Blueprint,
    Crashed,
    DeadLetter,
    Normal,
    Refuse,
    Shutdown,
    StartFailed,
)
from upright.actors.events import ActorCrashed, ActorStartFailed, ActorStopped, HookFailed
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_a_life_is_started_then_messages_then_stopping(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary)
        await ref.ask(Doer.note, "one")
        await ref.ask(Doer.note, "two")
    assert diary.words == ["starting 1", "started 1", "one 1", "two 1", "stopping 1", "stopped 1"]
    assert len(diary.reasons) == 1
    assert isinstance(diary.reasons[0], Shutdown)


async def test_no_message_is_handled_before_started_has_returned(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        spawning = asyncio.create_task(s.spawn("a", Starter, diary, started=wait_for(gate)))
        await settle()
        await s.ref("/a", Doer).tell(Doer.note, "early")
        await settle()
        assert diary.words == ["starting 1"]
        assert not spawning.done()
        gate.set()
        await (await spawning).ask(Doer.note, "late")
    assert diary.words == ["starting 1", "started 1", "early 1", "late 1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_its_own_stop_comes_after_the_message_in_hand_and_is_normal(
    system: Systems, recorders: list[Recorder], kind: type[Doer]
) -> None:
    diary = Diary()

    async def stop_and_go_on(me: Doer) -> str:
        me.ctx.stop()
        await asyncio.sleep(1)
        me.diary.add("went on")
        return "answered"

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        assert await ref.ask(Doer.do, stop_and_go_on) == "answered"
        assert await ref.ended() == Normal()
        await s.idle()
        assert diary.lives == 1, "the root lets go whoever stops itself"
    assert "went on" in diary.words
    assert [event.exit for event in recorders[0].of(ActorStopped, "/a")] == [Normal()]
    if kind in (Closer, Testator):
        assert diary.reasons == [Normal()]
        assert diary.words.index("went on") < diary.words.index("stopping 1")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_still_waits_when_it_stops_is_not_handled_but_becomes_dead_letters(
    system: Systems, dead_letters: Any, kind: type[Doer]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        await ref.tell(Doer.do, stop)
        await ref.tell(Doer.note, "one")
        await ref.tell(Doer.note, "two")
        await ref.ended()
    assert [(letter.reason, letter.message.args) for letter in dead_letters.all] == [
        ("stopped", ("one",)),
        ("stopped", ("two",)),
    ]
    assert not {"one 1", "two 1"} & set(diary.words)


@pytest.mark.parametrize("deed", [crash, cancel_uninvited])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_in_a_handler_crashes_it_and_so_does_a_cancelled_error_that_nobody_asked_for(
    system: Systems, recorders: list[Recorder], dead_letters: Any, kind: type[Doer], deed: Any
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        with pytest.raises(ActorFailed) as caught:
            await ref.ask(Doer.do, deed)
        await s.idle()
        assert await ref.ask(Doer.note, "again") == "again"
        assert diary.lives == 2
        crashes = recorders[0].of(ActorCrashed, "/a")
    error = caught.value.__cause__
    assert isinstance(error, Oops if deed is crash else asyncio.CancelledError)
    assert [(event.handler, event.incarnation, event.error) for event in crashes] == [("do", 1, error)]
    assert [(letter.reason, letter.error) for letter in dead_letters.all] == [("crashed", error)]
    if kind in (Closer, Testator):
        assert diary.reasons[0] == Crashed(error)


async def test_a_refusal_ends_nothing(system: Systems) -> None:
    async def refuse(_: Any) -> None:
        raise Refuse("no")

    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary)
        with pytest.raises(Refuse, match="no"):
            await ref.ask(Doer.do, refuse)
        assert await ref.ask(Doer.note, "still") == "still"
        assert diary.lives == 1


@pytest.mark.parametrize("plan", ["init", "started"])
@pytest.mark.parametrize("kind", [Starter, Closer, Testator])
async def test_an_error_before_it_is_up_fails_the_start_names_the_path_and_calls_no_stopping(
    system: Systems, recorders: list[Recorder], kind: type[Doer], plan: str
) -> None:
    diary = Diary()

    def break_at_once(_: Any) -> Any:
        raise Oops("on purpose")

    async with quiet(system) as s:
        with pytest.raises(StartFailed, match="/a did not start: Oops: on purpose") as caught:
            await s.spawn("a", kind, diary, **{plan: break_at_once})
        assert caught.value.path == "/a"
        assert isinstance(caught.value.__cause__, Oops)
        await s.idle()
        assert diary.lives == 1, "a start that fails is not tried again"
        assert (await s.spawn("a", Doer)).path == "/a", "its name is free"
        failed = recorders[0].of(ActorStartFailed, "/a")
        assert [event.error for event in failed] == [caught.value.__cause__]
    assert not any(word.startswith("stopping") for word in diary.words)


@pytest.mark.parametrize("error", [Oops("on purpose"), asyncio.CancelledError("uninvited")])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_constructor_that_raises_anything_fails_the_start_and_frees_the_name(
    system: Systems, kind: type[Doer], error: BaseException
) -> None:
    def break_at_once(_: Any) -> Any:
        raise error

    async with quiet(system) as s:
        with pytest.raises(StartFailed) as caught:
            await s.spawn("a", kind, None, init=break_at_once)
        assert caught.value.__cause__ is error
        assert (await s.spawn("a", kind)).path == "/a"
        await s.idle()
        assert s.zombies == 0


@pytest.mark.parametrize("kind", [Starter, Closer])
async def test_a_cancelled_error_that_nobody_asked_for_fails_the_start_as_any_error(
    system: Systems, kind: type[Doer]
) -> None:
    async with quiet(system) as s:
        with pytest.raises(StartFailed) as caught:
            await s.spawn("a", kind, None, started=cancel_uninvited)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize("deed", [crash, cancel_uninvited])
async def test_an_error_in_stopping_is_told_and_turns_a_clean_end_into_a_crash(
    system: Systems, recorders: list[Recorder], deed: Any
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary, stopping=[deed, sleep(0)])
        await ref.tell(Doer.do, stop)
        await settle()
        await s.idle()
        assert diary.lives == 2, "the root restarts what crashed"
        failed = recorders[0].of(HookFailed, "/a")
    assert [event.hook for event in failed] == ["stopping"]
    assert isinstance(failed[0].error, Oops if deed is crash else asyncio.CancelledError)


async def test_an_error_in_stopping_after_a_crash_leaves_the_first_reason_standing(
    system: Systems, recorders: list[Recorder]
) -> None:
    async def other(_: Any) -> None:
        raise ValueError("second")

    async with quiet(system) as s:
        parent = await s.spawn("p", Doer)
        child = await parent.ask(Doer.do, lambda me: me.ctx.spawn("c", Closer, None, stopping=other))
        await child.tell(Doer.do, crash)
        exit = await child.ended()
        assert isinstance(exit, Crashed)
        assert isinstance(exit.error, Oops)
        assert [type(event.error) for event in recorders[0].of(HookFailed, "/p/c")] == [ValueError]


async def test_stopping_that_hangs_is_cancelled_when_the_shutdown_time_is_over(system: Systems) -> None:
    diary = Diary()
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        await s.spawn_from(Blueprint("a", Closer, (diary,), {"stopping": hang}, shutdown=3.0))
        began = loop.time()
    assert loop.time() == began + 3.0
    assert diary.words[-1] == "stopping 1"


@pytest.mark.parametrize("kind", [Doer, Closer])
async def test_a_stop_waits_for_the_message_in_hand_and_for_nothing_behind_it(
    system: Systems, dead_letters: Any, kind: type[Doer]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        asked = asyncio.create_task(ref.ask(Doer.do, sleep(2)))
        await settle()
        await ref.tell(Doer.note, "behind")
    assert await asked is None
    assert not any(word.startswith("behind") for word in diary.words)
    assert dead_letters.reasons() == ["stopped"]


async def test_a_handler_that_asks_while_it_stops_still_gets_its_answer(system: Systems) -> None:
    """Siblings end the youngest first, so that `stopping()` may still use what was there before."""
    answers: list[str] = []
    async with quiet(system) as s:
        older = await s.spawn("older", Doer)

        async def ask_older(_: Any) -> None:
            answers.append(await older.ask(Doer.note, "still here"))

        await s.spawn("younger", Closer, None, stopping=ask_older)
    assert answers == ["still here"]


async def test_stopping_may_send_but_may_start_nothing_more(system: Systems) -> None:
    errors: list[str] = []

    async def try_all(me: Doer) -> None:
        try:
            await me.ctx.spawn("c", Doer)
        except Exception as error:
            errors.append(type(error).__name__)
        try:
            me.ctx.background(hang(me))
        except Exception as error:
            errors.append(type(error).__name__)

    async with quiet(system) as s:
        await s.spawn("a", Closer, None, stopping=try_all)
    assert errors == ["ActorGone", "ActorGone"]


async def test_undelivered_gets_what_waited_after_stopping_and_sends_on_what_it_returns(
    system: Systems, dead_letters: Any
) -> None:
    diary = Diary()

    async def keep_last(me: Doer) -> list[DeadLetter]:
        return me.diary.letters[-1:]

    async with quiet(system) as s:
        ref = await s.spawn("a", Testator, diary, undelivered=keep_last)
        await ref.tell(Doer.do, stop)
        for word in ("one", "two", "three"):
            await ref.tell(Doer.note, word)
        await ref.ended()
    assert diary.words == ["starting 1", "started 1", "stopping 1", "stopped 1", "undelivered 3"]
    assert [letter.message.args for letter in diary.letters] == [("one",), ("two",), ("three",)]
    assert [letter.message.args for letter in dead_letters.all] == [("three",)]


async def test_nothing_of_it_is_called_while_a_background_task_still_runs(system: Systems) -> None:
    diary = Diary()

    async def linger(me: Doer) -> None:
        try:
            await hang(me)
        finally:
            await asyncio.sleep(1)
            me.diary.add("task ended")

    async def begin(me: Doer) -> None:
        me.ctx.background(linger(me))

    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary)
        await ref.ask(Doer.do, begin)
        await advance(1)
    assert diary.words[-3:] == ["task ended", "stopping 1", "stopped 1"]
