"""The laws of handlers that overlap: with each other up to their limit, with nothing else."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Systems,
    cancel_uninvited,
    crash,
    hang,
    quiet,
    rest,
    sleep,
    stop,
    wait_for,
)
from upright.actors import Actor, ActorFailed, ActorGone, Refuse, concurrent, current_turn
from upright.actors.events import ActorCrashed
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def begun(diary: Diary) -> list[str]:
    return [word.split()[0] for word in diary.words if word.endswith("begins")]


@pytest.mark.parametrize("kind", KINDS)
async def test_as_many_overlap_as_the_limit_says_and_the_next_begins_when_one_ends(
    system: Systems, kind: type[Doer]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        asked = [asyncio.create_task(ref.ask(Doer.overlap, f"w{n}", sleep(1.0 + n / 10))) for n in range(5)]
        await settle()
        assert begun(diary) == ["w0", "w1", "w2"]
        await advance(1.0)
        assert begun(diary) == ["w0", "w1", "w2", "w3"]
        await advance(0.1)
        assert begun(diary) == ["w0", "w1", "w2", "w3", "w4"]
        assert [await task for task in asked] == ["w0", "w1", "w2", "w3", "w4"]


async def test_an_ordinary_message_has_the_actor_to_itself_and_the_order_of_the_mailbox_is_kept(
    system: Systems,
) -> None:
    diary = Diary()

    async def alone(me: Doer) -> None:
        me.diary.add("ordinary begins")
        await asyncio.sleep(1)
        me.diary.add("ordinary ends")

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        await ref.tell(Doer.overlap, "w0", sleep(2))
        await ref.tell(Doer.overlap, "w1", sleep(1))
        await ref.tell(Doer.do, alone)
        await ref.tell(Doer.overlap, "w2", sleep(1))
        await s.idle()
    assert diary.words == [
        "w0 begins",
        "w1 begins",
        "w1 ends",
        "w0 ends",
        "ordinary begins",
        "ordinary ends",
        "w2 begins",
        "w2 ends",
    ]


class Two(Actor):
    """Two handlers that overlap, with limits of their own."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    @concurrent(1)
    async def one(self, deed: Deed) -> None:
        self.diary.add("one begins")
        await deed(self)

    @concurrent(2)
    async def two(self, deed: Deed) -> None:
        self.diary.add("two begins")
        await deed(self)


async def test_each_handler_has_its_own_limit_and_different_ones_overlap(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Two, diary)
        for handler in (Two.two, Two.one, Two.two, Two.one):
            await ref.tell(handler, sleep(1))
        await settle()
        assert begun(diary) == ["two", "one", "two"]
        await advance(1)
        assert begun(diary) == ["two", "one", "two", "one"]


@pytest.mark.parametrize("deed", [crash, cancel_uninvited])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_crash_in_one_cancels_the_others_ends_their_asks_and_restarts_the_actor(
    system: Systems, recorders: list[Recorder], dead_letters: Any, kind: type[Doer], deed: Deed
) -> None:
    diary, gate = Diary(), asyncio.Event()

    async def wait_and_fail(me: Doer) -> None:
        await gate.wait()
        await deed(me)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        others = [asyncio.create_task(ref.ask(Doer.overlap, f"w{n}", hang)) for n in range(2)]
        failing = asyncio.create_task(ref.ask(Doer.overlap, "failing", wait_and_fail))
        behind = asyncio.create_task(ref.ask(Doer.overlap, "behind", rest))
        await settle()
        gate.set()
        await asyncio.wait([failing, behind, *others])
        assert behind.result() == "behind"
        assert diary.lives == 2
        (crashed,) = recorders[0].of(ActorCrashed, "/a")
        failures = [task.exception() for task in (failing, *others)]
        assert [type(failure) for failure in failures] == [ActorFailed] * 3
        assert {getattr(failure, "__cause__", None) for failure in failures} == {crashed.error}
    assert [(letter.reason, letter.error) for letter in dead_letters.all] == [("crashed", crashed.error)] * 3
    assert [word for word in diary.words if word.startswith("w") and word.endswith("ends")] == ["w0 ends", "w1 ends"]


async def test_a_refusal_in_one_harms_no_other(system: Systems) -> None:
    async def refuse(_: Any) -> None:
        raise Refuse("no")

    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        other = asyncio.create_task(ref.ask(Doer.overlap, "other", sleep(1)))
        with pytest.raises(Refuse):
            await ref.ask(Doer.overlap, "refusing", refuse)
        assert await other == "other"
        assert diary.lives == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_clean_stop_lets_those_in_hand_finish_and_begins_no_more(
    system: Systems, dead_letters: Any, kind: type[Doer]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        asked = [asyncio.create_task(ref.ask(Doer.overlap, f"w{n}", sleep(2))) for n in range(4)]
        await settle()
    assert [task.exception() is None for task in asked] == [True, True, True, False]
    assert dead_letters.reasons() == ["stopped"]
    if kind is Closer:
        assert diary.words[-2:] == ["stopping 1", "stopped 1"]


async def test_its_own_stop_inside_one_lets_the_others_finish(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        other = asyncio.create_task(ref.ask(Doer.overlap, "other", sleep(2)))
        await settle()
        assert await ref.ask(Doer.overlap, "stopping", stop) == "stopping"
        assert await other == "other"
        await ref.ended()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_cancels_them_all_and_the_next_incarnation_serves_on(
    system: Systems, dead_letters: Any, kind: type[Doer]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        asked = [asyncio.create_task(ref.ask(Doer.overlap, f"w{n}", hang)) for n in range(3)]
        await settle()
        await ref.tell(Doer.note, "mail")
        await s.kill(ref)
        await asyncio.wait(asked)
        assert [type(task.exception()) for task in asked] == [ActorGone] * 3
        assert await ref.ask(Doer.overlap, "again", rest) == "again"
    assert dead_letters.reasons() == ["killed"] * 3
    assert "mail 2" in diary.words


async def test_a_notice_and_a_stop_do_not_wait_behind_those_that_cannot_begin(system: Systems) -> None:
    """The control lane: a Down waits for those in hand, as for any handler, but not for those behind."""
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        watched = await s.spawn("watched", Doer)

        async def watch(me: Doer) -> None:
            me.ctx.watch(watched, Doer.down)

        ref = await s.spawn("a", Doer, diary)
        await ref.ask(Doer.do, watch)
        for number in range(6):
            await ref.tell(Doer.overlap, f"w{number}", wait_for(gate))
        await settle()
        await watched.tell(Doer.do, stop)
        await watched.ended()
        gate.set()
        await s.idle()
    assert diary.words.index("down /watched") < diary.words.index("w3 begins")


async def test_each_runs_in_its_own_turn_and_may_ask_others(system: Systems) -> None:
    handlers: list[str] = []

    async def look(me: Doer) -> None:
        turn = current_turn()
        assert turn is not None
        handlers.append(f"{turn.actor} {turn.handler}")
        handlers.append(await other.ask(Doer.note, "asked"))

    async with quiet(system) as s:
        other = await s.spawn("other", Doer)
        ref = await s.spawn("a", Doer)
        await asyncio.gather(*(ref.ask(Doer.overlap, "word", look) for _ in range(3)))
    assert sorted(handlers) == ["/a overlap"] * 3 + ["asked"] * 3


async def test_an_ask_that_expired_while_it_waited_for_its_place_is_not_run(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        for number in range(3):
            await ref.tell(Doer.overlap, f"w{number}", wait_for(gate))
        with pytest.raises(TimeoutError):
            await ref.within(1).ask(Doer.overlap, "late", rest)
        gate.set()
        await s.idle()
    assert "late begins" not in diary.words


async def test_ten_thousand_of_them_leave_no_task_behind(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, Diary())
        await ref.ask(Doer.overlap, "first", rest)
        before = len(asyncio.all_tasks())
        for _ in range(100):
            await asyncio.gather(*(ref.ask(Doer.overlap, "word", rest) for _ in range(100)))
        await s.idle()
        assert len(asyncio.all_tasks()) <= before
