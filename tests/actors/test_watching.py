"""The laws of watching: exactly one Down per watch, in front of everything, when the name is free."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Narrow,
    Systems,
    crash,
    quiet,
    sleep,
    stop,
    wait_for,
)
from upright.actors import ActorSystem, Crashed, Down, Killed, NoActor, Normal, Ref, Shutdown
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def watch(*refs: Ref[Any]) -> Deed:
    async def deed(me: Doer) -> None:
        for ref in refs:
            me.ctx.watch(ref, Doer.down)

    return deed


def unwatch(ref: Ref[Any]) -> Deed:
    async def deed(me: Doer) -> None:
        me.ctx.unwatch(ref)

    return deed


async def spawn_child(s: ActorSystem, kind: type[Doer] = Doer, **plans: Any) -> Ref[Doer]:
    """A child of another actor, which nobody restarts."""
    parent = await s.spawn("parent", Doer)
    ref: Ref[Doer] = await parent.ask(Doer.do, lambda me: me.ctx.spawn("c", kind, Diary(), **plans))
    return ref


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", [stop, crash])
async def test_one_watch_gives_one_down_with_the_ref_and_the_reason(
    system: Systems, kind: type[Doer], deed: Deed
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watched = await spawn_child(s, kind)
        watcher = await s.spawn("w", Doer, diary)
        await watcher.ask(Doer.do, watch(watched))
        await watched.tell(Doer.do, deed)
        await s.idle()
        exit = diary.downs[0].reason
        assert diary.downs == [Down(watched, exit)]
        assert exit == Normal() if deed is stop else isinstance(exit, Crashed)


async def test_a_kill_and_a_shutdown_are_told_as_such(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watcher = await s.spawn("w", Doer, diary)
        killed = await spawn_child(s)
        await watcher.ask(Doer.do, watch(killed))
        await s.kill(killed)
        await settle()
        shut = await s.ref("/parent", Doer).ask(Doer.do, lambda me: me.ctx.spawn("d", Doer))
        await watcher.ask(Doer.do, watch(shut))
        await s.ref("/parent", Doer).tell(Doer.do, stop)
        await s.idle()
        assert [type(down.reason) for down in diary.downs] == [Killed, Shutdown]


async def test_a_restart_is_no_end_so_the_watch_waits_through_it(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watched = await s.spawn("a", Closer, Diary())
        watcher = await s.spawn("w", Doer, diary)
        await watcher.ask(Doer.do, watch(watched))
        await watched.tell(Doer.do, crash)
        await watched.ask(Doer.note, "again")
        await s.idle()
        assert diary.downs == []
        await watched.tell(Doer.do, stop)
        await s.idle()
        assert diary.downs == [Down(watched, Normal())]


@pytest.mark.parametrize("lived", [True, False])
async def test_watching_one_that_is_gone_or_never_was_answers_at_once(system: Systems, lived: bool) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = s.ref("/a", Doer)
        if lived:
            ref = await s.spawn("a", Doer)
            await ref.tell(Doer.do, stop)
            await ref.ended()
        watcher = await s.spawn("w", Doer, diary)
        await watcher.ask(Doer.do, watch(ref))
        await s.idle()
        assert diary.downs == [Down(ref, NoActor())]


async def test_two_watches_of_one_ref_give_two_downs_and_one_unwatch_undoes_both(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        one, two = await s.spawn("one", Doer), await s.spawn("two", Doer)
        watcher = await s.spawn("w", Doer, diary)
        await watcher.ask(Doer.do, watch(one, one, two, two))
        await watcher.ask(Doer.do, unwatch(two))
        await one.tell(Doer.do, stop)
        await two.tell(Doer.do, stop)
        await s.idle()
        assert diary.downs == [Down(one, Normal())] * 2


async def test_unwatch_leaves_nothing_behind_at_the_watched_actor(system: Systems) -> None:
    async with quiet(system) as s:
        watched, watcher = await s.spawn("a", Doer), await s.spawn("w", Doer)
        for _ in range(100):
            await watcher.ask(Doer.do, watch(watched))
            await watcher.ask(Doer.do, unwatch(watched))
        recipient: Any = watched.recipient
        assert len(recipient.watchers) == 0


async def test_a_watcher_that_ends_leaves_nothing_behind_at_the_watched_actor(system: Systems) -> None:
    async with quiet(system) as s:
        watched = await s.spawn("a", Doer)
        recipient: Any = watched.recipient
        for deed in (stop, crash):
            watcher = await s.spawn(f"w-{deed.__name__}", Closer, Diary())
            await watcher.ask(Doer.do, watch(watched))
            assert len(recipient.watchers) == 1
            await watcher.tell(Doer.do, deed)
            await s.idle()
            assert len(recipient.watchers) == 0


async def test_unwatch_withdraws_a_notice_that_already_waits(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        one, two = await s.spawn("one", Doer), await s.spawn("two", Doer)

        async def watch_and_let_both_end(me: Doer) -> None:
            me.ctx.watch(one, Doer.down)
            me.ctx.watch(two, Doer.down)
            for ref in (one, two):
                await ref.tell(Doer.do, stop)
                await ref.ended()
            me.ctx.unwatch(one)

        watcher = await s.spawn("w", Doer, diary)
        await watcher.ask(Doer.do, watch_and_let_both_end)
        await s.idle()
        assert diary.downs == [Down(two, Normal())]


async def test_the_first_of_two_waiting_notices_may_withdraw_the_second(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        one, two = await s.spawn("one", Doer), await s.spawn("two", Doer)

        async def unwatch_both(me: Doer) -> None:
            me.ctx.unwatch(one)
            me.ctx.unwatch(two)

        async def watch_and_let_both_end(me: Doer) -> None:
            me.ctx.watch(one, Doer.down)
            me.ctx.watch(two, Doer.down)
            for ref in (one, two):
                await ref.tell(Doer.do, stop)
                await ref.ended()

        watcher = await s.spawn("w", Doer, diary, down=unwatch_both)
        await watcher.ask(Doer.do, watch_and_let_both_end)
        await s.idle()
        assert diary.downs == [Down(one, Normal())]


async def test_whoever_gets_a_down_can_take_the_name_in_its_handler(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:

        async def take_over(me: Doer) -> None:
            await s.spawn("a", Closer)
            me.diary.add("taken")

        watched = await s.spawn("a", Closer, Diary(), stopping=sleep(1))
        watcher = await s.spawn("w", Doer, diary, down=take_over)
        await watcher.ask(Doer.do, watch(watched))
        await watched.tell(Doer.do, stop)
        await s.idle()
        assert diary.words == ["down /a", "taken"]
        assert await watched.ask(Doer.note, "here") == "here"


async def test_a_down_comes_before_what_already_waits_in_the_mailbox(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        watched, watcher = await s.spawn("a", Doer), await s.spawn("w", Doer, diary)
        await watcher.ask(Doer.do, watch(watched))
        await watcher.tell(Doer.do, wait_for(gate))
        for number in range(5):
            await watcher.tell(Doer.note, f"mail-{number}")
        await settle()
        await watched.tell(Doer.do, stop)
        await watched.ended()
        gate.set()
        await s.idle()
    assert diary.words == ["down /a", *(f"mail-{number} 1" for number in range(5))]


@pytest.mark.parametrize("kind", [Narrow])
async def test_a_down_is_never_dropped_nor_refused_by_a_full_mailbox(system: Systems, kind: type[Doer]) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        watched = [await s.spawn(f"a{number}", Doer) for number in range(5)]
        watcher = await s.spawn("w", kind, diary)
        await watcher.ask(Doer.do, watch(*watched))
        await watcher.tell(Doer.do, wait_for(gate))
        await settle()
        while watcher.try_tell(Doer.note, "filler"):
            pass
        for ref in watched:
            await ref.tell(Doer.do, stop)
            await ref.ended()
        gate.set()
        await s.idle()
        assert [down.ref for down in diary.downs] == watched
        assert diary.words[2:] == [*(f"down /a{number}" for number in range(5)), "filler 1", "filler 1"]


async def test_a_flood_of_downs_is_handled_one_by_one_in_the_order_of_the_ends(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watched = [await s.spawn(f"a{number}", Doer) for number in range(200)]
        watcher = await s.spawn("w", Doer, diary, down=sleep(0))
        await watcher.ask(Doer.do, watch(*watched))
        for ref in watched:
            await ref.tell(Doer.do, stop)
        await s.idle()
        assert [down.ref for down in diary.downs] == watched


async def test_an_actor_may_watch_in_started_and_a_parent_may_watch_its_child(system: Systems) -> None:
    diary = Diary()

    async def spawn_and_watch(me: Doer) -> None:
        child = await me.ctx.spawn("c", Doer)
        me.ctx.watch(child, Doer.down)
        await child.tell(Doer.do, crash)

    async with quiet(system) as s:
        parent = await s.spawn("p", Closer, diary, started=spawn_and_watch)
        await s.idle()
        assert await parent.ask(Doer.note, "alive") == "alive"
    assert [type(down.reason) for down in diary.downs] == [Crashed]


async def test_watching_itself_says_nothing_to_the_dead(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        await ref.ask(Doer.do, watch(ref))
        await ref.tell(Doer.do, stop)
        assert await ref.ended() == Normal()
        await s.idle()
    assert diary.downs == []


async def test_a_down_that_crashes_its_handler_is_not_given_again(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watched = await s.spawn("a", Doer)
        watcher = await s.spawn("w", Doer, diary, down=crash)
        await watcher.ask(Doer.do, watch(watched))
        await watched.tell(Doer.do, stop)
        await s.idle()
        assert len(diary.downs) == 1
        assert diary.lives == 2
