"""The laws of the root: it restarts what crashed or was killed, alone, and lets go what stopped itself."""

import asyncio
import itertools
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Starter,
    Systems,
    Testator,
    crash,
    hang,
    quiet,
    rest,
    sleep,
    stop,
)
from upright.actors import Crashed, Down, Ref, Shutdown
from upright.actors.errors import Ignore
from upright.actors.events import ActorRestarted, ActorRestarting, ActorStartFailed, ActorStopped
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def decline(_: Any) -> None:
    raise Ignore("not needed any more")


def watch(ref: Ref[Any]) -> Deed:
    async def deed(me: Doer) -> None:
        me.ctx.watch(ref, Doer.down)

    return deed


@pytest.mark.parametrize("kind", KINDS)
async def test_only_the_child_that_crashed_is_restarted(
    system: Systems, recorders: list[Recorder], kind: type[Doer]
) -> None:
    diaries = [Diary(), Diary(), Diary()]
    async with quiet(system) as s:
        refs = [await s.spawn(f"a{n}", kind, diary) for n, diary in enumerate(diaries)]
        await refs[1].tell(Doer.do, crash)
        await s.idle()
        assert [diary.lives for diary in diaries] == [1, 2, 1]
        assert [event.path for event in recorders[0].of(ActorRestarted)] == ["/a1"]


@pytest.mark.parametrize("kind", KINDS)
async def test_one_that_stopped_itself_is_let_go_and_its_name_is_free(system: Systems, kind: type[Doer]) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        await ref.tell(Doer.do, stop)
        await ref.ended()
        await s.spawn("a", kind, diary)
    assert diary.lives == 2


@pytest.mark.parametrize("kind", [Starter, Closer])
async def test_a_restart_that_fails_is_tried_again_after_a_pause_that_doubles_up_to_ten_seconds(
    system: Systems, recorders: list[Recorder], kind: type[Doer]
) -> None:
    diary, loop = Diary(), asyncio.get_running_loop()
    tried: list[float] = []

    async def note_time_and_crash(me: Doer) -> None:
        tried.append(loop.time())
        await crash(me)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary, started=[rest, *[note_time_and_crash] * 9, rest])
        asked = asyncio.create_task(ref.within(120).ask(Doer.note, "patient"))
        began = loop.time()
        await ref.tell(Doer.do, crash)
        await s.idle()
        await ref.tell(Doer.note, "mail")
        await s.idle()
        assert await asked == "patient"
        failed = recorders[0].of(ActorStartFailed, "/a")
        assert [event.incarnation for event in failed] == list(range(2, 11))
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert tried[0] == began
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0])
    assert "mail 11" in diary.words


@pytest.mark.parametrize("kind", [Starter, Closer])
async def test_each_restart_tells_how_long_the_root_had_paused_before_it(
    system: Systems, recorders: list[Recorder], kind: type[Doer]
) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, Diary(), started=[rest, *[crash] * 8, rest])
        await ref.tell(Doer.do, crash)
        await s.idle()
        await ref.tell(Doer.do, crash)
        await s.idle()
    delays = [event.delay_s for event in recorders[0].of(ActorRestarting, "/a")]
    assert delays == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 0.0])


async def test_mail_and_watchers_wait_through_restarts_that_fail(system: Systems) -> None:
    diary, watcher = Diary(), Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, diary, started=[rest, crash, crash, rest])
        other = await s.spawn("w", Doer, watcher)

        async def watch(me: Doer) -> None:
            me.ctx.watch(ref, Doer.down)

        await other.ask(Doer.do, watch)
        await ref.tell(Doer.do, crash)
        await ref.tell(Doer.note, "mail")
        await advance(5)
        assert diary.words[-1] == "mail 4"
        assert watcher.downs == [], "Down means ended for good"


@pytest.mark.parametrize("deed", [hang, sleep(20)])
async def test_the_root_answers_while_a_child_fails_to_start_again(system: Systems, deed: Deed) -> None:
    """A restart whose `started()` takes long must hold up neither a spawn nor the restart of another child."""
    diary = Diary()
    async with quiet(system) as s:
        slow = await s.spawn("slow", Starter, Diary(), started=[rest, deed])
        other = await s.spawn("other", Starter, diary)
        await slow.tell(Doer.do, crash)
        await settle()
        async with asyncio.timeout(1):
            assert (await s.spawn("new", Starter)).path == "/new"
        await other.tell(Doer.do, crash)
        async with asyncio.timeout(1):
            assert await other.ask(Doer.note, "again") == "again"


async def test_a_system_stops_at_once_while_a_restart_waits_for_its_next_attempt(
    system: Systems, recorders: list[Recorder]
) -> None:
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, Diary(), started=[rest, crash])
        await ref.tell(Doer.do, crash)
        await ref.tell(Doer.note, "mail")
        await advance(30)
        began = loop.time()
    assert loop.time() == began
    (stopped,) = recorders[0].of(ActorStopped, "/a")
    assert isinstance(stopped.exit, Crashed)
    assert stopped.undelivered == 1


async def test_a_child_killed_again_and_again_comes_back_each_time(system: Systems, recorders: list[Recorder]) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Closer)
        for _ in range(20):
            await s.kill(ref)
            assert await ref.ask(Doer.note, "here") == "here"
        assert len(recorders[0].of(ActorRestarting, "/a")) == 20


async def test_a_child_that_stops_while_it_waits_for_its_restart_is_not_started_twice(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, diary, started=[rest, crash, rest])
        await ref.tell(Doer.do, crash)
        await advance(0.05)
        assert diary.lives == 2
        await advance(1)
        await s.idle()
        assert diary.lives == 3


@pytest.mark.parametrize("kind", [Starter, Closer, Testator])
@pytest.mark.parametrize("fails", [0, 2])
async def test_one_that_declines_at_a_restart_stays_down_and_is_let_go_and_nobody_else_is_touched(
    system: Systems, kind: type[Doer], fails: int
) -> None:
    diary, other, watcher = Diary(), Diary(), Diary()
    async with quiet(system) as s:
        bystander = await s.spawn("b", Closer, other)
        ref = await s.spawn("a", kind, diary, started=[rest, *[crash] * fails, decline])
        await (await s.spawn("w", Doer, watcher)).ask(Doer.do, watch(ref))
        await ref.tell(Doer.do, crash)
        await s.idle()
        assert watcher.downs == [Down(ref, Shutdown("it declined to start: not needed any more"))]
        assert ref.recipient is None
        assert (await s.spawn("a", Doer)).path == "/a", "its name is free"
        await advance(60)
        assert s.running
        assert await bystander.ask(Doer.note, "still") == "still"
    assert (diary.lives, other.lives, watcher.lives) == (2 + fails, 1, 1)


async def test_mail_of_one_that_declines_at_a_restart_becomes_dead_letters(system: Systems, dead_letters: Any) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, Diary(), started=[rest, decline])
        await ref.tell(Doer.do, crash)
        await ref.tell(Doer.note, "mail")
        await s.idle()
        assert s.running
        assert [letter.message.args for letter in dead_letters.all if letter.reason != "crashed"] == [("mail",)]


async def test_children_of_one_that_declines_at_a_restart_are_not_kept(system: Systems) -> None:
    async with quiet(system) as s:

        async def start_child_and_decline(me: Doer) -> None:
            await me.ctx.spawn("c", Closer, child)
            await decline(me)

        child = Diary()
        ref = await s.spawn("a", Starter, Diary(), started=[rest, start_child_and_decline])
        await ref.tell(Doer.do, crash)
        await s.idle()
        assert s.ref("/a", Doer).recipient is s.ref("/a/c", Doer).recipient is None
        assert child.words[-1] == "stopped 1"
        assert s.running
