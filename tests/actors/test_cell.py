"""The laws of an actor as a whole: how a start fails, how long an end may take, and who may wait for it."""

import asyncio
import math
from typing import Any, Literal

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Diary,
    Doer,
    Oops,
    Starter,
    Systems,
    a_gate,
    crash,
    hang,
    note,
    quiet,
    sleep,
    stop,
    swallow,
    tidy_up,
    wait_for,
)
from upright.actors import (
    Blueprint,
    Killed,
    NoActor,
    Normal,
    Shutdown,
    StartFailed,
)
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


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


async def test_a_spawn_that_is_cancelled_ends_the_children_that_were_up_as_a_failed_start_does(system: Systems) -> None:
    diary, inner = Diary(), Diary()

    async def start_three(me: Doer) -> None:
        for name in ("one", "two"):
            await me.ctx.spawn(name, Closer, diary, stopping=[note(diary, "end")])
        await me.ctx.spawn("three", Starter, inner, started=hang)

    async with quiet(system) as s:
        spawning = asyncio.create_task(s.spawn("p", Starter, None, started=start_three))
        await settle()
        assert inner.words == ["starting 1"]
        spawning.cancel()
        await asyncio.wait([spawning])
        assert spawning.cancelled()
        await advance(1)
        assert [word for word in diary.words if word.startswith("end")] == ["end of /p/two", "end of /p/one"]
        assert [type(reason) for reason in diary.reasons] == [Shutdown, Shutdown]
        for path in ("/p", "/p/one", "/p/two", "/p/three"):
            assert s.ref(path, Doer).recipient is None
        assert s.zombies == 0


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


# -- those who wait for an end


async def test_waiting_for_the_end_of_an_actor_gives_its_exit_also_afterwards(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        waiting = asyncio.create_task(ref.ended())
        await settle()
        await ref.tell(Doer.do, stop)
        assert await waiting == Normal()
        assert await ref.ended() == Normal()
        assert await s.ref("/nobody", Doer).ended() == NoActor()


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
