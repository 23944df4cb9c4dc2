"""The laws of an incarnation that swallows its cancellation: it is left behind, and nobody waits for it."""

import asyncio
from collections.abc import Callable
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
    a_gate,
    crash,
    quiet,
    rest,
    stop,
    swallow,
)
from upright.actors import ActorGone, ActorSystem, Blueprint, Detached, Killed, Ref, StartFailed
from upright.actors.events import ActorStopped, ZombieDetached
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def in_a_handler(s: ActorSystem, kind: type[Doer], gate: asyncio.Event, diary: Diary) -> Ref[Doer]:
    ref = await s.spawn("a", kind, diary)
    await ref.tell(Doer.do, swallow(gate))
    return ref


async def in_an_overlapping_handler(s: ActorSystem, kind: type[Doer], gate: asyncio.Event, diary: Diary) -> Ref[Doer]:
    ref = await s.spawn("a", kind, diary)
    await ref.tell(Doer.overlap, "word", swallow(gate))
    return ref


async def in_the_background(s: ActorSystem, kind: type[Doer], gate: asyncio.Event, diary: Diary) -> Ref[Doer]:
    ref = await s.spawn("a", kind, diary)

    async def begin(me: Doer) -> None:
        me.ctx.background(as_coroutine(swallow(gate), me))

    await ref.ask(Doer.do, begin)
    return ref


async def as_coroutine(deed: Deed, me: Doer) -> None:
    await deed(me)


PLACES = [in_a_handler, in_an_overlapping_handler, in_the_background]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_shutdown_goes_on_one_grace_after_the_cancellation_and_tells_and_counts_the_zombie(
    system: Systems, recorders: list[Recorder], kind: type[Doer], place: Callable[..., Any]
) -> None:
    loop, diary = asyncio.get_running_loop(), Diary()
    async with a_gate() as gate:
        async with quiet(system, grace=2.0) as s:
            await place(s, kind, gate, diary)
            await settle()
            began = loop.time()
            stopping = asyncio.create_task(s.stop())
            await advance(6.9)
            assert s.zombies == 0
            await advance(0.1)
            assert s.zombies in (0, 1)
            await stopping
        assert loop.time() == began + 7.0, "5 s of shutdown time and 2 s of grace"
        (zombie,) = recorders[0].of(ZombieDetached)
        assert (zombie.path, zombie.incarnation) == ("/a", 1)
        assert "in endure" in zombie.stack, zombie.stack
        exits = [event.exit for event in recorders[0].of(ActorStopped, "/a")]
        assert len(exits) == 1
        assert isinstance(exits[0], Killed)
    assert "stopping 1" not in diary.words


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_replacement_starts_while_the_zombie_still_runs_and_nothing_of_the_zombie_reaches_it(
    system: Systems, kind: type[Doer], place: Callable[..., Any]
) -> None:
    diary = Diary()
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        ref = await place(s, kind, gate, diary)
        await settle()
        async with asyncio.timeout(1.5):
            await s.kill(ref)
        assert s.zombies == 1
        assert await ref.ask(Doer.note, "fresh") == "fresh"
        gate.set()
        await settle()
        assert await ref.ask(Doer.note, "unharmed") == "unharmed"
        await s.idle()
        assert diary.lives == 2


async def test_a_zombie_is_refused_every_send_and_may_start_nothing(system: Systems) -> None:
    diary, heard = Diary(), Diary()
    errors: list[tuple[str, str]] = []
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        other = await s.spawn("other", Doer, heard)

        async def act_as_zombie(me: Doer) -> str:
            await swallow(gate)(me)

            async def none() -> None: ...

            deeds: dict[str, Callable[[], Any]] = {
                "tell": lambda: other.tell(Doer.note, "tell"),
                "ask": lambda: other.ask(Doer.note, "ask"),
                "try_tell": lambda: other.try_tell(Doer.note, "try_tell"),
                "stash": me.ctx.stash,
                "forward": lambda: me.ctx.forward(other, Doer.note, "forward"),
                "background": lambda: me.ctx.background(none()),
                "pipe": lambda: me.ctx.pipe(none(), Doer.result),
                "spawn": lambda: me.ctx.spawn("child", Doer),
            }
            for name, deed in deeds.items():
                try:
                    result = deed()
                    if asyncio.iscoroutine(result):
                        await result
                    errors.append((name, "nothing"))
                except Exception as error:
                    errors.append((name, type(error).__name__))
            me.ctx.stop()
            return "a late reply"

        ref = await s.spawn("a", Doer, diary)
        asked = asyncio.create_task(ref.ask(Doer.do, act_as_zombie))
        await settle()
        await s.kill(ref)
        with pytest.raises(ActorGone) as caught:
            await asked
        assert caught.value.handled
        gate.set()
        await settle()
        assert await ref.ask(Doer.note, "unharmed") == "unharmed"
        assert s.ref("/a/child", Doer).recipient is None
        refused = dict(errors)
        assert [refused[verb] for verb in ("tell", "ask", "try_tell")] == [Detached.__name__] * 3
        assert "nothing" not in refused.values(), refused
        await s.idle()
    assert heard.words == []
    assert diary.lives == 2


async def test_no_timer_that_a_zombie_sets_and_no_watch_that_it_makes_reaches_its_replacement(
    system: Systems,
) -> None:
    diary = Diary()
    errors: list[str] = []
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        other = await s.spawn("other", Doer)

        async def act_as_zombie(me: Doer) -> None:
            await swallow(gate)(me)
            for deed in (
                lambda: me.ctx.after(1.0, Doer.note, "late tick"),
                lambda: me.ctx.every(1.0, Doer.note, "late ticks"),
                lambda: me.ctx.watch(other, Doer.down),
                me.ctx.unstash_all,
            ):
                try:
                    deed()
                except Exception as error:
                    errors.append(type(error).__name__)

        ref = await s.spawn("a", Doer, diary)
        await ref.tell(Doer.do, act_as_zombie)
        await settle()
        await s.kill(ref)
        gate.set()
        await settle()
        await other.tell(Doer.do, stop)
        await advance(10)
        assert await ref.ask(Doer.note, "unharmed") == "unharmed"
    assert diary.words == ["unharmed 2"]


@pytest.mark.parametrize("kind", [Starter, Closer])
async def test_a_start_that_swallows_a_kill_fails_one_grace_later_and_frees_the_name(
    system: Systems, kind: type[Doer]
) -> None:
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        spawning = asyncio.create_task(s.spawn("a", kind, Diary(), started=[swallow(gate), rest]))
        await settle()
        async with asyncio.timeout(2):
            await s.kill(s.ref("/a", Doer))
        with pytest.raises(StartFailed):
            await spawning
        assert s.zombies == 1
        assert (await s.spawn("a", kind)).path == "/a"
        gate.set()
        await settle()
        assert await s.ref("/a", Doer).ask(Doer.note, "unharmed") == "unharmed"


async def test_stopping_that_swallows_its_cancellation_makes_a_zombie_too(system: Systems) -> None:
    loop = asyncio.get_running_loop()
    async with a_gate() as gate:
        async with quiet(system, grace=1.0) as s:
            await s.spawn("a", Closer, None, stopping=swallow(gate))
            began = loop.time()
        assert loop.time() == began + 6.0


async def test_a_zombie_child_holds_its_parent_up_for_no_longer_than_its_own_time(
    system: Systems, recorders: list[Recorder]
) -> None:
    loop = asyncio.get_running_loop()
    async with a_gate() as gate:
        async with quiet(system, grace=1.0) as s:
            parent = await s.spawn_from(Blueprint("p", Closer, (Diary(),), shutdown=60.0))
            child = await parent.ask(Doer.do, lambda me: me.ctx.spawn("c", Doer))
            await child.tell(Doer.do, swallow(gate))
            await settle()
            began = loop.time()
        assert loop.time() == began + 6.0
        assert [event.path for event in recorders[0].of(ZombieDetached)] == ["/p/c"]
        assert [event.path for event in recorders[0].of(ActorStopped)][:2] == ["/p/c", "/p"]


async def test_a_kill_of_a_parent_whose_child_is_a_zombie_ends_in_bounded_time_with_one_zombie(
    system: Systems,
) -> None:
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        parent = await s.spawn("p", Closer)
        child = await parent.ask(Doer.do, lambda me: me.ctx.spawn("c", Doer))
        await child.tell(Doer.do, swallow(gate))
        await settle()
        async with asyncio.timeout(5):
            await s.kill(parent)
        assert await parent.ask(Doer.note, "fresh") == "fresh"
        assert s.zombies == 1


async def test_every_zombie_is_counted(system: Systems) -> None:
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        for name in ("one", "two", "three"):
            ref = await s.spawn(name, Doer)
            await ref.tell(Doer.do, swallow(gate))
            await settle()
            await s.kill(ref)
        assert s.zombies == 3


async def test_a_zombie_that_ends_at_last_with_an_error_disturbs_nobody(
    system: Systems, recorders: list[Recorder]
) -> None:
    diary = Diary()

    async def swallow_and_crash(me: Doer) -> None:
        await swallow(gate)(me)
        await crash(me)

    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        ref = await s.spawn("a", Closer, diary)
        await ref.tell(Doer.do, swallow_and_crash)
        await settle()
        await s.kill(ref)
        gate.set()
        await settle()
        await s.idle()
        assert diary.lives == 2
        assert "stopping 1" not in diary.words
        assert len([letter for letter in recorders[0].letters if letter.recipient == "/a"]) == 1
