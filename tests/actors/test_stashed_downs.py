"""The laws of a `Down` that was stashed: it is told once, to the incarnation that watched, unless that unwatched."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import KINDS, Deed, Diary, Doer, Starter, Systems, crash, quiet, stop, wait_for
from upright.actors import ActorSystem, Down, NoActor, Normal, Ref
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def stash_at_first(me: Doer) -> None:
    """Set a notice aside, until told otherwise; what is set aside leaves the diary's list of downs."""
    if "ready" not in me.memory:
        me.diary.downs.pop()
        me.ctx.stash()


async def unstash(me: Doer) -> None:
    me.memory["ready"] = True
    me.ctx.unstash_all()


def unwatch(*refs: Ref[Any], before: Deed | None = None) -> Deed:
    """Undo watches; `before`: what comes first, in the same turn."""

    async def deed(me: Doer) -> None:
        me.memory["ready"] = True
        if before is not None:
            await before(me)
        for ref in refs:
            me.ctx.unwatch(ref)

    return deed


async def with_stashed_downs(
    s: ActorSystem, diary: Diary, kind: type[Doer], *names: str
) -> tuple[Ref[Doer], list[Ref[Doer]]]:
    """A watcher that has set aside a `Down` of each of those."""
    watched = [await s.spawn(name, Doer) for name in names]
    watcher = await s.spawn("w", kind, diary, down=stash_at_first)

    async def watch_all(me: Doer) -> None:
        for ref in watched:
            me.ctx.watch(ref, Doer.down)

    await watcher.ask(Doer.do, watch_all)
    for ref in watched:
        await ref.tell(Doer.do, stop)
        await ref.ended()
    await s.idle()
    assert diary.words[-len(names) :] == [f"down {ref.path}" for ref in watched]
    assert diary.downs == []
    return watcher, watched


@pytest.mark.parametrize("kind", KINDS)
async def test_a_down_that_was_stashed_is_delivered_when_it_is_unstashed(system: Systems, kind: type[Doer]) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watcher, (one, two) = await with_stashed_downs(s, diary, kind, "one", "two")
        await watcher.ask(Doer.do, unstash)
        await s.idle()
        assert diary.downs == [Down(one, Normal()), Down(two, Normal())]


async def test_a_down_that_was_unstashed_comes_before_the_messages_that_wait(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()

    async def hold_and_unstash(me: Doer) -> None:
        await gate.wait()
        await unstash(me)

    async with quiet(system) as s:
        watcher, _ = await with_stashed_downs(s, diary, Doer, "one")
        await watcher.tell(Doer.do, hold_and_unstash)
        await watcher.tell(Doer.note, "mail")
        gate.set()
        await s.idle()
        assert diary.words[-2:] == ["down /one", "mail 1"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("put_back", [False, True])
async def test_a_down_that_was_stashed_does_not_reach_the_next_incarnation(
    system: Systems, kind: type[Doer], put_back: bool
) -> None:
    """Its watches died with it. A message that was stashed with it is there for the next one."""
    diary = Diary()

    async def stash_once(me: Doer) -> None:
        if me.life == 1:
            me.ctx.stash()
        else:
            me.diary.add("stashed message")

    async def unstash_and_crash(me: Doer) -> None:
        if put_back:
            await unstash(me)
        await crash(me)

    async with quiet(system) as s:
        watcher, _ = await with_stashed_downs(s, diary, kind, "one", "two")
        await watcher.tell(Doer.do, stash_once)
        await watcher.tell(Doer.do, unstash_and_crash)
        assert await watcher.ask(Doer.note, "again") == "again"
        await watcher.ask(Doer.do, unstash)
        await s.idle()
        assert diary.lives == 2
        assert diary.downs == []
        assert diary.words.count("stashed message") == 1
        assert [word for word in diary.words if word.startswith("down")] == ["down /one", "down /two"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["unwatch, unstash", "unstash, unwatch", "unstash with mail, unwatch"])
async def test_unwatch_withdraws_a_down_that_was_stashed_also_after_it_was_put_back(
    system: Systems, kind: type[Doer], order: str
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        watcher, (one, two) = await with_stashed_downs(s, diary, kind, "one", "two")
        await watcher.tell(Doer.do, wait_for(gate))
        await settle()
        if order == "unwatch, unstash":
            await watcher.tell(Doer.do, unwatch(one))
            await watcher.tell(Doer.do, unstash)
        else:
            await watcher.tell(Doer.do, unwatch(one, before=unstash))
        if "mail" in order:
            await watcher.tell(Doer.note, "mail")
        gate.set()
        await s.idle()
        assert diary.downs == [Down(two, Normal())]
        assert ("mail 1" in diary.words) is ("mail" in order)


async def test_unwatch_withdraws_no_message_that_was_stashed(system: Systems) -> None:
    diary = Diary()
    stashed = set[str]()

    def once(word: str) -> Deed:
        async def deed(me: Doer) -> str:
            if word not in stashed:
                stashed.add(word)
                me.ctx.stash()
            return await me.note(word)

        return deed

    async with quiet(system) as s:
        watcher, (one,) = await with_stashed_downs(s, diary, Doer, "one")
        asked = [asyncio.create_task(watcher.ask(Doer.do, once(word))) for word in ("a", "b")]
        await settle()
        diary.words.clear()
        await watcher.ask(Doer.do, unwatch(one, before=unstash))
        assert await asyncio.gather(*asked) == ["a", "b"]
        assert diary.words == ["a 1", "b 1"]
        assert diary.downs == []


async def test_a_new_watch_of_that_name_is_told_for_itself_when_an_old_down_was_withdrawn(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        watcher, (one,) = await with_stashed_downs(s, diary, Starter, "one")

        async def watch_anew(me: Doer) -> None:
            await unwatch(one)(me)
            me.ctx.watch(one, Doer.down)
            await unstash(me)

        await watcher.ask(Doer.do, watch_anew)
        await s.idle()
        assert diary.downs == [Down(one, NoActor())]
