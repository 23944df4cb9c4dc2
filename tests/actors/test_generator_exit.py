"""The laws of `GeneratorExit`: raised by an actor it is an error like any other; from outside it ends in silence."""

import asyncio
import gc
from typing import Any

import pytest

from tests.actors.lives import KINDS, Closer, Diary, Doer, Starter, Systems, Testator, quiet, rest, stop
from tests.actors.ways import way
from upright.actors import ActorFailed, ActorSystem, Crashed, Ref, StartFailed
from upright.actors.events import ActorCrashed, Event, HookFailed
from upright.actors.testing import Recorder, VirtualTimeLoop, advance, settle

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def leave(_: Any) -> None:
    raise GeneratorExit("on purpose")


async def wait_and_leave(me: Any) -> None:
    await asyncio.sleep(1)
    await leave(me)


def leave_at_once(_: Any) -> None:
    raise GeneratorExit("on purpose")


DEEDS = (leave, wait_and_leave)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", DEEDS)
async def test_in_a_handler_it_crashes_the_actor_which_goes_on_with_its_mail(
    system: Systems, recorders: list[Recorder], kind: type[Doer], deed: Any
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        other = await s.spawn("b", kind)
        asked = asyncio.create_task(ref.ask(Doer.do, deed))
        await settle()
        await ref.tell(Doer.note, "mail")
        with pytest.raises(ActorFailed) as caught:
            await asked
        assert isinstance(caught.value.__cause__, GeneratorExit)
        assert await ref.ask(Doer.note, "again") == "again"
        assert await other.ask(Doer.note, "here") == "here"
        crashes = recorders[0].of(ActorCrashed, "/a")
    assert [(event.handler, event.error) for event in crashes] == [("do", caught.value.__cause__)]
    assert diary.lives == 2
    assert [word for word in diary.words if word in ("mail 2", "again 2")] == ["mail 2", "again 2"]


@pytest.mark.parametrize("kind", [Starter, Closer])
@pytest.mark.parametrize("deed", DEEDS)
async def test_in_started_it_fails_the_start_and_the_name_is_free(system: Systems, kind: type[Doer], deed: Any) -> None:
    async with quiet(system) as s:
        with pytest.raises(StartFailed, match="/a did not start: GeneratorExit") as caught:
            await s.spawn("a", kind, None, started=deed)
        assert isinstance(caught.value.__cause__, GeneratorExit)
        assert (await s.spawn("a", kind)).path == "/a"
        assert s.running


@pytest.mark.parametrize("kind", [Starter, Closer])
@pytest.mark.parametrize("deed", DEEDS)
async def test_in_started_of_a_restart_it_is_tried_again(system: Systems, kind: type[Doer], deed: Any) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary, started=[rest, deed, rest])
        with pytest.raises(ActorFailed):
            await ref.ask(Doer.do, leave)
        assert await ref.ask(Doer.note, "again") == "again"
    assert diary.lives == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_in_the_constructor_it_fails_the_start_and_frees_the_name(system: Systems, kind: type[Doer]) -> None:
    async with quiet(system) as s:
        with pytest.raises(StartFailed, match="/a did not start: GeneratorExit") as caught:
            await s.spawn("a", kind, None, init=leave_at_once)
        assert isinstance(caught.value.__cause__, GeneratorExit)
        assert (await s.spawn("a", kind)).path == "/a"


@pytest.mark.parametrize("kind", KINDS)
async def test_in_the_constructor_of_a_restart_it_is_tried_again(system: Systems, kind: type[Doer]) -> None:
    diary = Diary()

    def leave_once(me: Doer) -> None:
        if me.life == 2:
            leave_at_once(me)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary, init=leave_once)
        await ref.tell(Doer.do, leave)
        assert await ref.ask(Doer.note, "again") == "again"
    assert diary.lives == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", DEEDS)
async def test_in_a_handler_that_overlaps_it_crashes_the_actor(system: Systems, kind: type[Doer], deed: Any) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind, diary)
        with pytest.raises(ActorFailed) as caught:
            await ref.ask(Doer.overlap, "one", deed)
        assert isinstance(caught.value.__cause__, GeneratorExit)
        assert await ref.ask(Doer.note, "again") == "again"
        assert await ref.ask(Doer.overlap, "two", rest) == "two"
    assert diary.lives == 2


async def test_in_a_background_task_it_crashes_the_actor(system: Systems) -> None:
    diary = Diary()

    async def begin(me: Doer) -> None:
        me.ctx.background(wait_and_leave(me))

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        await ref.ask(Doer.do, begin)
        await advance(2)
        assert await ref.ask(Doer.note, "again") == "again"
    assert diary.lives == 2


@pytest.mark.parametrize("deed", DEEDS)
async def test_in_stopping_it_is_told_and_turns_a_clean_end_into_a_crash(
    system: Systems, recorders: list[Recorder], deed: Any
) -> None:
    async with quiet(system) as s:
        parent = await s.spawn("p", Doer)
        child: Ref[Doer] = await parent.ask(
            Doer.do, lambda me: me.ctx.spawn("c", Testator, None, stopping=deed, undelivered=deed)
        )
        await child.tell(Doer.do, stop)
        await child.tell(Doer.note, "mail")
        exit = await child.ended()
        assert isinstance(exit, Crashed)
        assert isinstance(exit.error, GeneratorExit)
        failed = recorders[0].of(HookFailed, "/p/c")
        assert [event.hook for event in failed] == ["stopping", "undelivered"]
        assert await parent.ask(Doer.note, "here") == "here"


def abandon(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop without having ended its tasks, as the interpreter does when it goes."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        steps: Any = task.get_coro()
        steps.close()
    loop.close()


@pytest.mark.parametrize(
    ("kind", "hook"),
    [
        *((kind, handler) for kind in KINDS for handler in ("do", "overlap")),
        (Starter, "started"),
        (Closer, "started"),
        (Closer, "stopping"),
    ],
)
def test_what_waits_when_its_loop_goes_is_closed_and_that_is_neither_a_crash_nor_a_noise(
    kind: type[Doer], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a program ends in the midst of it, without having ended its tasks."""
    diary, events, noise = Diary(), list[Any](), list[Any]()
    monkeypatch.setattr("sys.unraisablehook", noise.append)

    async def wait(me: Doer) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            me.diary.add("closed")

    async def begin() -> None:
        s = await ActorSystem(log=None, blocked_after=None).start()
        s.subscribe(events.append, Event)
        spawning = asyncio.ensure_future(s.spawn("a", kind, diary, **({hook: wait} if hook.startswith("st") else {})))
        await settle()
        if hook == "do":
            await s.ref("/a", Doer).tell(Doer.do, wait)
            await s.ref("/a", Doer).tell(Doer.note, "behind")
        elif hook == "overlap":
            await s.ref("/a", Doer).tell(Doer.overlap, "one", wait)
        elif hook == "stopping":
            await s.ref("/a", Doer).tell(Doer.do, stop)
        await settle()
        if spawning.done():
            await spawning

    loop = VirtualTimeLoop()
    loop.set_exception_handler(lambda _, context: noise.append(context))
    loop.run_until_complete(begin())
    abandon(loop)
    del loop
    gc.collect()
    assert diary.words.count("closed") == 1
    assert "behind 1" not in diary.words
    assert not [event for event in events if isinstance(event, ActorCrashed | HookFailed)]
    assert noise == []
    assert diary.lives == 1
