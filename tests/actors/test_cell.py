"""The laws of an actor as a whole: how a start fails, how long an end may take, and what becomes of its children."""

import asyncio
import math
from typing import Any, Literal

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
    a_gate,
    crash,
    hang,
    quiet,
    sleep,
    stop,
    swallow,
    wait_for,
)
from upright.actors import (
    ActorGone,
    Blueprint,
    Crashed,
    Killed,
    NameTaken,
    Normal,
    Ref,
    Shutdown,
    StartFailed,
)
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def spawn_children(diary: Diary, kind: type[Doer], *names: str, **plans: Any) -> Deed:
    """Start children that note their ends under their names; the result is their refs."""

    async def deed(me: Doer) -> list[Ref[Doer]]:
        return [await me.ctx.spawn(name, kind, diary, **plans) for name in names]

    return deed


def note(diary: Diary, word: str) -> Deed:
    async def add(me: Doer) -> None:
        diary.add(f"{word} of {me.ctx.path}")

    return add


# -- start


async def test_a_failed_start_ends_the_children_that_had_started_in_reverse_and_unwinds_with_its_cause(
    system: Systems,
) -> None:
    diary = Diary()

    async def start_three(me: Doer) -> None:
        for name in ("one", "two"):
            await me.ctx.spawn(name, Closer, diary, stopping=note(diary, "end"))
        await me.ctx.spawn("three", Starter, diary, started=crash)

    async with quiet(system) as s:
        with pytest.raises(StartFailed) as caught:
            await s.spawn("p", Starter, None, started=start_three)
        inner = caught.value.__cause__
        assert isinstance(inner, StartFailed)
        assert (caught.value.path, inner.path) == ("/p", "/p/three")
        assert "/p/three" in str(caught.value)
        assert isinstance(inner.__cause__, Oops)
        assert [word for word in diary.words if word.startswith("end")] == ["end of /p/two", "end of /p/one"]
        for path in ("/p", "/p/one", "/p/two", "/p/three"):
            assert s.ref(path, Doer).recipient is None


@pytest.mark.parametrize("kind", [Starter, Closer])
async def test_a_start_that_hangs_fails_after_its_start_timeout(system: Systems, kind: type[Doer]) -> None:
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        began = loop.time()
        with pytest.raises(StartFailed) as caught:
            await s.spawn_from(Blueprint("a", kind, (None,), {"started": hang}, start_timeout=2.0))
        assert loop.time() == began + 2.0
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert (await s.spawn("a", kind)).path == "/a"


async def test_a_start_that_hangs_and_swallows_its_cancellation_fails_one_grace_later_as_a_zombie(
    system: Systems,
) -> None:
    loop = asyncio.get_running_loop()
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        began = loop.time()
        with pytest.raises(StartFailed):
            async with asyncio.timeout(60):
                await s.spawn_from(Blueprint("a", Starter, (None,), {"started": swallow(gate)}, start_timeout=2.0))
        assert loop.time() == began + 3.0
        assert s.zombies == 1


async def test_a_spawn_that_is_cancelled_leaves_no_actor_behind(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        spawning = asyncio.create_task(s.spawn("a", Starter, diary, started=wait_for(gate)))
        await settle()
        spawning.cancel()
        await asyncio.wait([spawning])
        assert spawning.cancelled()
        await s.idle()
        assert s.ref("/a", Doer).recipient is None
        assert diary.words == ["starting 1"]
        assert (await s.spawn("a", Doer)).path == "/a"


async def test_a_stop_of_the_system_while_an_actor_starts_fails_that_start_in_its_shutdown_time(
    system: Systems,
) -> None:
    loop = asyncio.get_running_loop()
    s = await quiet(system).start()
    spawning = asyncio.create_task(s.spawn("a", Starter, None, started=hang))
    await settle()
    began = loop.time()
    await s.stop()
    assert loop.time() == began + 5.0
    with pytest.raises(StartFailed):
        await spawning


# -- the time for an end


@pytest.mark.parametrize(
    ("shutdown", "busy", "took"),
    [(3.0, 10.0, 3.0), (3.0, 1.0, 1.0), (0, 10.0, 0.0), ("brutal", 10.0, 0.0), (math.inf, 5_000.0, 5_000.0)],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_asked_to_stop_and_cancelled_when_its_shutdown_time_is_over(
    system: Systems,
    recorders: list[Recorder],
    kind: type[Doer],
    shutdown: float | Literal["brutal"],
    busy: float,
    took: float,
) -> None:
    loop, diary = asyncio.get_running_loop(), Diary()
    async with quiet(system) as s:
        ref = await s.spawn_from(Blueprint("a", kind, (diary,), shutdown=shutdown))
        await ref.tell(Doer.do, sleep(busy))
        await settle()
        began = loop.time()
    assert loop.time() == began + took
    exit = recorders[0].of(ActorStopped, "/a")[0].exit
    assert isinstance(exit, Shutdown if took == busy else Killed)
    if kind is Closer:
        assert ("stopped 1" in diary.words) is (took == busy), "who is cancelled has no stopping()"


@pytest.mark.parametrize(("shutdown", "kind_of_exit"), [(0, Shutdown), ("brutal", Killed)])
async def test_an_actor_at_rest_ends_in_no_time_cleanly_unless_brutally(
    system: Systems, recorders: list[Recorder], shutdown: float | Literal["brutal"], kind_of_exit: type[Any]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        await s.spawn_from(Blueprint("a", Closer, (diary,), shutdown=shutdown))
    assert isinstance(recorders[0].of(ActorStopped, "/a")[0].exit, kind_of_exit)
    assert ("stopped 1" in diary.words) is (kind_of_exit is Shutdown)


async def test_one_that_drains_handles_what_waits_before_it_ends(system: Systems, dead_letters: Any) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn_from(Blueprint("a", Closer, (diary,), drains=True))
        await ref.tell(Doer.do, sleep(1))
        await ref.tell(Doer.note, "one")
        await ref.tell(Doer.note, "two")
    assert diary.words[2:] == ["one 1", "two 1", "stopping 1", "stopped 1"]
    assert dead_letters.all == []


async def test_siblings_end_one_after_the_other_in_reverse_each_with_its_own_time(system: Systems) -> None:
    diary, loop = Diary(), asyncio.get_running_loop()
    async with quiet(system) as s:
        for name in ("one", "two", "three"):
            plan = {"stopping": [note(diary, "end")]}
            ref = await s.spawn_from(Blueprint(name, Closer, (diary,), plan, shutdown=3.0))
            await ref.tell(Doer.do, sleep(2))
        await settle()
        await advance(0)
        began = loop.time()
    assert loop.time() == began + 2.0, "each is only asked once those after it have ended"
    assert [word for word in diary.words if word.startswith("end")] == ["end of /three", "end of /two", "end of /one"]


# -- children


async def end_by_stop(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, stop)


async def end_by_crash(s: Any, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, crash)


async def end_by_system(s: Any, ref: Ref[Doer]) -> None:
    await s.stop()


@pytest.mark.parametrize("end", [end_by_stop, end_by_crash, end_by_system])
async def test_children_die_with_their_parent_the_youngest_first_and_before_its_stopping(
    system: Systems, end: Any
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        parent = await s.spawn("p", Closer, None, stopping=note(diary, "stopping"))
        await parent.ask(
            Doer.do, spawn_children(diary, Closer, "one", "two", "three", stopping=note(diary, "stopping"))
        )
        await end(s, parent)
        await s.idle()
        words = [word for word in diary.words if " of " in word]
    assert words[:4] == [f"stopping of {path}" for path in ("/p/three", "/p/two", "/p/one", "/p")]


async def test_grandchildren_end_before_their_parents(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        top = await s.spawn("p", Closer, None, stopping=note(diary, "end"))
        deed = spawn_children(diary, Closer, "c", stopping=note(diary, "end"))
        (child,) = await top.ask(Doer.do, deed)
        await child.ask(Doer.do, deed)
    assert [word for word in diary.words if " of " in word] == ["end of /p/c/c", "end of /p/c", "end of /p"]


async def test_a_killed_parent_takes_its_children_along_at_once_and_its_next_incarnation_may_use_their_names(
    system: Systems, recorders: list[Recorder]
) -> None:
    loop, diary = asyncio.get_running_loop(), Diary()
    async with quiet(system) as s:
        parent = await s.spawn("p", Doer)
        children = await parent.ask(Doer.do, spawn_children(diary, Closer, "one", "two"))
        await children[0].tell(Doer.do, hang)
        await settle()
        began = loop.time()
        await s.kill(parent)
        assert loop.time() == began
        assert [event.path for event in recorders[0].of(ActorStopped)] == ["/p/two", "/p/one"]
        assert all(isinstance(event.exit, Killed) for event in recorders[0].of(ActorStopped))
        assert len(await parent.ask(Doer.do, spawn_children(diary, Closer, "one", "two"))) == 2
    assert diary.lives == 4


@pytest.mark.parametrize("busy", [0.0, 1.0, 4.5])
async def test_a_child_has_its_own_shutdown_time_while_its_parent_ends(
    system: Systems, recorders: list[Recorder], busy: float
) -> None:
    async with quiet(system) as s:
        parent = await s.spawn_from(Blueprint("p", Closer, shutdown=math.inf))
        (child,) = await parent.ask(Doer.do, spawn_children(Diary(), Closer, "c"))
        await child.tell(Doer.do, sleep(busy))
        await settle()
    assert isinstance(recorders[0].of(ActorStopped, "/p/c")[0].exit, Shutdown)


@pytest.mark.parametrize("deed", [stop, crash])
async def test_a_child_that_ends_is_not_restarted_and_leaves_its_parent_and_its_name_alone(
    system: Systems, recorders: list[Recorder], deed: Deed
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        parent = await s.spawn("p", Doer)
        (child,) = await parent.ask(Doer.do, spawn_children(diary, Closer, "c"))
        await child.tell(Doer.do, deed)
        exit = await child.ended()
        assert exit == Normal() if deed is stop else isinstance(exit, Crashed)
        await s.idle()
        assert diary.lives == 1
        (again,) = await parent.ask(Doer.do, spawn_children(diary, Closer, "c"))
        assert again == child, "a ref names the path, so it finds who lives there now"
        assert await child.ask(Doer.note, "anew") == "anew"


async def test_a_taken_name_refuses_the_start_before_anything_of_it_runs(system: Systems) -> None:
    diary = Diary()

    async def spawn_again(me: Doer) -> str:
        with pytest.raises(NameTaken) as caught:
            await me.ctx.spawn("c", Starter, diary)
        return caught.value.path

    async with quiet(system) as s:
        parent = await s.spawn("p", Doer)
        await parent.ask(Doer.do, spawn_children(diary, Doer, "c"))
        assert await parent.ask(Doer.do, spawn_again) == "/p/c"
    assert (diary.lives, diary.words) == (1, [])


async def test_an_actor_that_is_ending_starts_no_more_children(system: Systems) -> None:
    errors: list[Exception] = []

    async def stop_and_spawn(me: Doer) -> None:
        me.ctx.stop()
        try:
            await me.ctx.spawn("c", Doer)
        except ActorGone as error:
            errors.append(error)

    async with quiet(system) as s:
        ref = await s.spawn("p", Doer)
        await ref.ask(Doer.do, stop_and_spawn)
        assert len(errors) == 1


async def test_waiting_for_the_end_of_an_actor_gives_its_exit_also_afterwards(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        waiting = asyncio.create_task(ref.ended())
        await settle()
        await ref.tell(Doer.do, stop)
        assert await waiting == Normal()
        assert await ref.ended() == Normal()
        with pytest.raises(ActorGone):
            await s.ref("/nobody", Doer).ended()


async def test_one_who_gives_up_waiting_for_an_end_does_not_disturb_the_others_who_wait(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        waiting = asyncio.create_task(ref.ended())
        await settle()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await ref.ended()
        await settle()
        assert not waiting.done()
        await ref.tell(Doer.do, stop)
        assert await waiting == Normal()
        assert await ref.ended() == Normal()


async def test_one_who_gives_up_a_kill_does_not_disturb_another_who_waits_for_it(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, tidy_up(0.5))
        await settle()
        first, second = asyncio.create_task(s.kill(ref)), asyncio.create_task(s.kill(ref))
        await settle()
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert not second.cancelled()
        assert await ref.ask(Doer.note, "again") == "again"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_killed_parent_waits_for_a_child_that_tidies_up_within_the_grace(
    system: Systems, kind: type[Doer]
) -> None:
    loop = asyncio.get_running_loop()
    async with quiet(system, grace=1.0) as s:
        parent = await s.spawn("p", kind)
        (child,) = await parent.ask(Doer.do, spawn_children(Diary(), kind, "c"))
        await child.tell(Doer.do, tidy_up(0.5))
        await settle()
        began = loop.time()
        await s.kill(parent)
        assert loop.time() == began + 0.5
        assert s.zombies == 0
        assert child.recipient is None


def tidy_up(seconds: float) -> Deed:
    """Wait for ever, and take a while to end when cancelled."""

    async def deed(me: Doer) -> None:
        try:
            await hang(me)
        finally:
            await asyncio.sleep(seconds)

    return deed
