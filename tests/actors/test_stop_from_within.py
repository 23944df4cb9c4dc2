"""A system may be stopped from within: by a handler or a task of its own, which does not wait for the end it brings."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import KINDS, Closer, Deed, Diary, Doer, Starter, Systems, no_trace, quiet
from upright.actors import ActorSystem, Shutdown
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio

WAYS = ("background", "background later", "pipe", "beside", "handler", "a handler's task")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def wait_for_the_end(s: ActorSystem) -> None:
    """The system ends by itself, in no time, and leaves nothing behind."""
    async with asyncio.timeout(3_600):
        exit = await s.wait()
    assert isinstance(exit, Shutdown)
    assert not s.running
    assert s.zombies == 0
    assert asyncio.get_running_loop().time() == 0.0


def stopping_by(way: str, s: ActorSystem, diary: Diary) -> Deed:
    """Have the system stopped that way; note when the call has returned."""

    async def stop() -> str:
        await s.stop()
        diary.add(f"returned while {'running' if s.running else 'over'}")
        return "stopped"

    async def stop_later() -> None:
        await settle()
        await stop()

    async def deed(me: Doer) -> Any:
        match way:
            case "background":
                me.ctx.background(stop())
            case "background later":
                me.ctx.background(stop_later())
            case "pipe":
                me.ctx.pipe(stop(), Doer.result)
            case "a handler's task":
                await asyncio.create_task(stop())
            case _:
                await stop()

    return deed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_stop_in_code_of_the_system_returns_at_once_there_and_uses_nobodys_shutdown_time(
    system: Systems, kind: type[Doer], way: str
) -> None:
    diary, other = Diary(), Diary()
    s = await quiet(system).start()
    ref = await s.spawn("a", kind, diary)
    await s.spawn("b", Closer, other)
    deed = stopping_by(way, s, diary)
    if way == "beside":
        await ref.tell(Doer.overlap, "one", deed)
    else:
        await ref.tell(Doer.do, deed)
    await wait_for_the_end(s)
    assert [word for word in diary.words if word.startswith("returned")] == ["returned while running"]
    assert other.words[-1] == "stopped 1"
    assert no_trace()


@pytest.mark.parametrize("way", ["background", "pipe", "handler"])
async def test_a_stop_in_started_or_below_another_actor_is_one_from_within_too(system: Systems, way: str) -> None:
    diary = Diary()
    s = await quiet(system).start()
    parent = await s.spawn("p", Closer, Diary())

    async def spawn_child(me: Doer) -> None:
        await me.ctx.spawn("c", Starter, diary, started=stopping_by(way, s, diary))

    await parent.tell(Doer.do, spawn_child)
    await wait_for_the_end(s)
    assert "returned while running" in diary.words
    assert no_trace()


async def test_a_background_task_of_another_system_waits_for_the_end_of_the_one_it_stops(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as outer:
        s = await quiet(system).start()
        await s.spawn("a", Closer, Diary())
        ref = await outer.spawn("a", Doer, diary)
        await ref.ask(Doer.do, stopping_by("background", s, diary))
        await outer.idle()
        assert diary.words == ["returned while over"]
        assert await ref.ask(Doer.note, "here") == "here"
    assert no_trace()


async def test_who_waits_outside_for_a_stop_that_was_begun_within_sees_it_through(system: Systems) -> None:
    diary = Diary()
    s = await quiet(system).start()
    ref = await s.spawn("a", Closer, diary)
    await ref.ask(Doer.do, stopping_by("background", s, diary))
    await s.stop()
    assert diary.words[-1] == "stopped 1"
    await wait_for_the_end(s)
    assert no_trace()
