"""The laws of notices and messages: what has ended is known before the next message, and nobody is kept from it."""

import asyncio
from typing import Any

import pytest

from tests.actors.deeds import later
from tests.actors.lives import Diary, Doer, Starter, Systems, crash, quiet, sleep, stop, wait_for
from tests.supervision.trees import Book, awaited, counts, end_of, grown, member, states, top
from upright.actors import Ref
from upright.actors.testing import advance, settle
from upright.supervision import Supervisor

pytestmark = pytest.mark.anyio

MANY = 60
ENOUGH = 2_000
"""Lives after which a child comes to its senses, so that a test that fails has an end."""


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def crash_at_once(me: Doer) -> None:
    """Have the first message be one that crashes it."""
    if me.life < ENOUGH:
        assert me.ctx.self_ref.try_tell(Doer.do, crash)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_a_child_that_crashes_as_soon_as_it_is_up_keeps_no_call_from_being_served(
    system: Systems, strategy: Any
) -> None:
    book = Book()
    bad = book.child("bad", Starter, started=crash_at_once)
    async with grown(system, book.child("a"), bad, strategy=strategy, max_restarts=10**9) as s:
        assert list(await states(s)) == ["a", "bad"]
        assert (await counts(s)).specs == 2
        assert await top(s).ask(Supervisor.start_child, book.child("late")) == member(s, "late")
        await top(s).ask(Supervisor.terminate_child, "bad")
        tried = book.lives["bad"]
        assert 1 <= tried < ENOUGH
        await settle()
        assert (await states(s))["bad"] == "down"
        assert book.lives["bad"] == tried


async def test_a_stop_is_served_although_a_child_crashes_as_soon_as_it_is_up(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("bad", Starter, started=crash_at_once), max_restarts=10**9) as s:
        assert await states(s) in ({"bad": "up"}, {"bad": "restarting"})
    assert 1 <= book.lives["bad"] < ENOUGH
    assert s.zombies == 0


@pytest.mark.parametrize("first", ["the ask", "the deaths"])
async def test_of_all_that_ended_while_it_was_busy_a_supervisor_knows_before_its_next_message(
    system: Systems, first: str
) -> None:
    """What counts is what has happened when the turn of the message comes, not when it was sent."""
    book, gate = Book(), asyncio.Event()
    names = [f"c{number}" for number in range(MANY)]
    children = [book.child(name, Doer).options(restart="temporary") for name in names]
    async with grown(system, *children) as s:
        (starting,) = await later(
            top(s).ask(Supervisor.start_child, book.child("slow", Starter, started=wait_for(gate)))
        )
        asked = [awaited(counts(s)), awaited(states(s))] if first == "the ask" else []
        await settle()
        for number, name in enumerate(names):
            assert member(s, name).try_tell(Doer.do, crash if number % 2 else stop)
        await settle()
        asked = asked or [awaited(counts(s)), awaited(states(s))]
        await settle()
        assert not any(task.done() for task in asked)
        gate.set()
        await starting
        assert (await asked[0]).active == 1
        assert await asked[1] == {"slow": "up"}


async def test_children_that_died_before_an_ask_was_sent_are_all_accounted_for_in_its_answer(system: Systems) -> None:
    book = Book()
    names = [f"c{number}" for number in range(MANY)]
    children = [book.child(name, Doer).options(restart="transient") for name in names]
    async with grown(system, *children) as s:
        ended = [awaited(ended_by_itself(member(s, name))) for name in names]
        await asyncio.wait(ended)
        assert set((await states(s)).values()) == {"down"}


async def ended_by_itself(ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, stop)
    await end_of(ref)


async def test_a_down_that_brings_forth_another_one_keeps_no_message_waiting_for_ever(system: Systems) -> None:
    diary = Diary()

    async def watch_again(me: Doer) -> None:
        if len(diary.downs) < ENOUGH:
            me.ctx.watch(me.ctx.ref("/nobody", Doer), Doer.down)

    async with quiet(system) as s:
        watcher = await s.spawn("w", Doer, diary, down=watch_again)
        await watcher.tell(Doer.do, watch_again)
        for number in range(3):
            await watcher.tell(Doer.note, str(number))
        assert await watcher.ask(Doer.note, "asked") == "asked"
        assert len(diary.downs) < ENOUGH
    said = [word for word in diary.words if not word.startswith("down")]
    assert said == ["0 1", "1 1", "2 1", "asked 1"], "in their order"


async def test_all_downs_that_are_there_come_before_the_next_message_also_those_that_overtook_it(
    system: Systems,
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        watched = [await s.spawn(f"a{number}", Doer) for number in range(MANY)]
        watcher = await s.spawn("w", Doer, diary, down=sleep(0))

        async def watch_all(me: Doer) -> None:
            for ref in watched:
                me.ctx.watch(ref, Doer.down)
            await gate.wait()

        await watcher.tell(Doer.do, watch_all)
        await watcher.tell(Doer.note, "first")
        await watcher.tell(Doer.note, "second")
        await settle()
        for ref in watched:
            await ref.tell(Doer.do, stop)
        await advance(1)
        gate.set()
        await s.idle()
    assert [down.ref for down in diary.downs] == watched, "in their order, though the drain's time was up"
    assert diary.words[MANY:] == ["first 1", "second 1"]


async def test_a_child_that_a_supervisor_spawns_by_hand_is_let_go_when_it_ends_and_its_name_is_free(
    system: Systems,
) -> None:
    class Own(Supervisor):
        async def hire(self) -> Ref[Doer]:
            return await self.ctx.spawn("hand", Doer)

    book = Book()
    async with grown(system, book.child("a")) as s:
        own = await s.spawn("own", Own)
        for deed in (crash, stop):
            hired = await own.ask(Own.hire)
            await hired.tell(Doer.do, deed)
            await end_of(hired)
        assert await own.ask(Supervisor.which_children) == []
