"""The laws of children: they die with their parent, and a child that ends disturbs nobody."""

import asyncio
import math
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
    crash,
    hang,
    note,
    quiet,
    sleep,
    spawn_children,
    stop,
    tidy_up,
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
)
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


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
