"""The laws of what a system's actors share: names unique under races, and knowing when nothing is going on."""

import asyncio
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
    quiet,
    sleep,
    stop,
    wait_for,
)
from upright.actors import NameTaken, Ref, StartFailed, WrongClass
from upright.actors.testing import advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


# -- names


@pytest.mark.parametrize("kind", KINDS)
async def test_of_many_who_spawn_under_one_name_at_once_one_wins_and_the_others_actors_are_never_made(
    system: Systems, kind: type[Doer]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        results: list[Ref[Doer] | BaseException] = await asyncio.gather(
            *(s.spawn("a", kind, diary, started=sleep(1)) for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(result, Ref) for result in results) == 1
        assert sum(isinstance(result, NameTaken) for result in results) == 19
        assert diary.lives == 1


async def test_a_name_is_taken_while_its_owner_starts_restarts_or_stops_and_free_afterwards(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        plans: dict[str, Any] = {"started": wait_for(gate), "stopping": sleep(1)}
        spawning = asyncio.create_task(s.spawn("a", Closer, Diary(), **plans))
        await settle()
        with pytest.raises(NameTaken):
            await s.spawn("a", Doer, diary)
        gate.set()
        ref = await spawning
        await ref.tell(Doer.do, crash)
        await settle()
        with pytest.raises(NameTaken):
            await s.spawn("a", Doer, diary)
        await s.idle()
        await ref.tell(Doer.do, stop)
        await settle()
        with pytest.raises(NameTaken):
            await s.spawn("a", Doer, diary)
        assert diary.lives == 0
        await ref.ended()
        await s.spawn("a", Doer, diary)
        assert diary.lives == 1


async def test_a_name_is_free_after_a_start_that_failed_and_whoever_was_refused_may_try_again(
    system: Systems,
) -> None:
    async with quiet(system) as s:
        for _ in range(50):
            with pytest.raises(StartFailed):
                await s.spawn("a", Starter, Diary(), started=crash)
        assert (await s.spawn("a", Starter)).path == "/a"


async def test_the_same_name_under_two_parents_is_two_names(system: Systems) -> None:
    async with quiet(system) as s:
        refs: list[Ref[Doer]] = []
        for name in ("p", "q"):
            parent = await s.spawn(name, Doer)
            refs.append(await parent.ask(Doer.do, lambda me: me.ctx.spawn("c", Doer)))
        assert [ref.path for ref in refs] == ["/p/c", "/q/c"]


@pytest.mark.parametrize("name", ["", "a/b", "/a"])
async def test_a_name_that_is_no_single_word_of_a_path_is_refused(system: Systems, name: str) -> None:
    async with quiet(system) as s:
        with pytest.raises(ValueError, match="expected name to be a string without '/'"):
            await s.spawn(name, Doer)


async def test_a_look_up_by_path_checks_the_class_and_finds_children_and_siblings(system: Systems) -> None:
    async def look_around(me: Doer) -> list[str]:
        child = await me.ctx.spawn("c", Starter)
        return [
            me.ctx.child("c", Starter).path,
            me.ctx.ref("sibling", Doer).path,
            me.ctx.ref("/sibling", Doer).path,
            s.ref("/a/c", Starter).path,
            child.path,
        ]

    async with quiet(system) as s:
        await s.spawn("sibling", Doer)
        ref = await s.spawn("a", Doer)
        assert await ref.ask(Doer.do, look_around) == ["/a/c", "/sibling", "/sibling", "/a/c", "/a/c"]
        with pytest.raises(WrongClass):
            s.ref("/sibling", Starter)
        with pytest.raises(ValueError, match="expected an absolute path"):
            s.ref("sibling", Doer)


# -- idle


async def begin_background(me: Doer) -> None:
    me.ctx.background(asyncio.sleep(2))


async def begin_pipe(me: Doer) -> None:
    me.ctx.pipe(asyncio.sleep(2), Doer.result)


async def begin_timer(me: Doer) -> None:
    me.ctx.after(2.0, Doer.note, "tick")


@pytest.mark.parametrize("deed", [sleep(2), begin_background, begin_pipe, begin_timer])
@pytest.mark.parametrize("kind", KINDS)
async def test_idle_waits_for_handlers_tasks_and_timers_that_tick_once(
    system: Systems, kind: type[Doer], deed: Deed
) -> None:
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        ref = await s.spawn("a", kind)
        await s.idle()
        began = loop.time()
        await ref.tell(Doer.do, deed)
        await s.idle()
        assert loop.time() == began + 2.0


async def test_idle_waits_for_overlapping_handlers_and_for_what_waits_behind_them(system: Systems) -> None:
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        began = loop.time()
        for _ in range(3):
            await ref.tell(Doer.overlap, "word", sleep(2))
        await ref.tell(Doer.do, sleep(1))
        await s.idle()
        assert loop.time() == began + 3.0


async def test_idle_follows_a_message_through_all_actors(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        refs = [await s.spawn(f"a{number}", Doer, diary) for number in range(20)]

        def pass_on(position: int) -> Deed:
            async def deed(me: Doer) -> None:
                await asyncio.sleep(0.1)
                if position + 1 < len(refs):
                    await refs[position + 1].tell(Doer.do, pass_on(position + 1))
                else:
                    me.diary.add("arrived")

            return deed

        await refs[0].tell(Doer.do, pass_on(0))
        await s.idle()
        assert diary.words == ["arrived"]


async def test_idle_does_not_wait_for_timers_that_tick_again_and_again(system: Systems) -> None:
    async def begin_ticking(me: Doer) -> None:
        me.ctx.every(1.0, Doer.note, "tick")

    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, Diary())
        await ref.tell(Doer.do, begin_ticking)
        await s.idle()
        assert loop.time() == 0.0


@pytest.mark.parametrize("kind", KINDS)
async def test_idle_comes_true_again_after_every_kind_of_end(system: Systems, kind: type[Doer]) -> None:
    async def begin_much_and_crash(me: Doer) -> None:
        for begin in (begin_background, begin_pipe, begin_timer):
            await begin(me)
        await me.ctx.self_ref.tell(Doer.overlap, "word", sleep(1))
        await crash(me)

    async with quiet(system) as s:
        ref = await s.spawn("a", kind, Diary())
        for _ in range(3):
            await ref.tell(Doer.do, begin_much_and_crash)
            await s.idle()
            await ref.tell(Doer.overlap, "word", hang)
            await settle()
            await s.kill(ref)
            await s.idle()
            await ref.tell(Doer.do, hang)
            await settle()
            await s.kill(ref)
            await s.idle()
        with pytest.raises(StartFailed):
            await s.spawn("b", Closer, Diary(), started=crash)
        await s.idle()
        await ref.tell(Doer.do, stop)
        await s.idle()
        runtime: Any = s._runtime
        assert runtime.activity.count == 0


async def test_many_may_wait_for_idle_and_one_that_gives_up_disturbs_none(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, sleep(2))
        waiting = [asyncio.create_task(s.idle()) for _ in range(3)]
        await advance(1)
        waiting[0].cancel()
        await advance(2)
        assert [task.cancelled() for task in waiting] == [True, False, False]
        assert all(task.done() for task in waiting)
