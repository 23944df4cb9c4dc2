"""The laws of what a restart by one's supervisor keeps, and what it does not."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Closer, Deed, Doer, Oops, Systems, crash, no_trace, rest, sleep, stop, wait_for
from tests.supervision.trees import Book, awaited, fell, fell_together, grown, member, states, top
from upright.actors import ActorFailed, ActorGone
from upright.actors.testing import advance, settle
from upright.supervision import Backoff, Supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


GROUPS: Any = ["one_for_all", "rest_for_one"]


async def watch_a(me: Doer) -> None:
    me.ctx.watch(me.ctx.ref("/top/a", Doer), Doer.down)


async def test_the_ref_and_the_name_stay_the_same_actor(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a")) as s:
        ref = member(s, "a")
        actor = ref.recipient
        for how in ("crash", "kill", "normal"):
            await fell(s, ref, how)
            assert ref.recipient is actor is member(s, "a").recipient
        assert await ref.ask(Doer.note, "hello") == "hello"
        assert book.pages["a"].words[-1] == "hello 4"


@pytest.mark.parametrize("strategy", ["one_for_one", *GROUPS])
async def test_a_restart_is_no_down_and_watches_hold_until_the_end_for_good(system: Systems, strategy: Any) -> None:
    book = Book()
    async with grown(system, book.child("w"), book.child("b"), book.child("a"), strategy="rest_for_one") as s:
        await member(s, "w").ask(Doer.do, watch_a)
        await fell(s, member(s, "a"), "crash")
        await fell(s, member(s, "b" if strategy != "one_for_one" else "a"), "crash")
        assert book.pages["w"].downs == []
        await top(s).ask(Supervisor.terminate_child, "a")
        await settle()
        assert len(book.pages["w"].downs) == 1


async def test_what_waits_in_the_mailbox_is_handled_by_the_next_incarnation_asks_included(
    system: Systems, dead_letters: Any
) -> None:
    book, gate = Book(), asyncio.Event()

    async def crash_when_open(me: Doer) -> None:
        await gate.wait()
        await crash(me)

    async with grown(system, book.child("a")) as s:
        ref = member(s, "a")
        in_hand = awaited(ref.ask(Doer.do, crash_when_open))
        await settle()
        await ref.tell(Doer.note, "told")
        asked = awaited(ref.ask(Doer.note, "asked"))
        await settle()
        gate.set()
        with pytest.raises(ActorFailed) as caught:
            await in_hand
        assert isinstance(caught.value.__cause__, Oops)
        assert caught.value.handled
        assert await asked == "asked"
        assert book.pages["a"].words[-2:] == ["told 2", "asked 2"]
        assert [(letter.message.handler, letter.reason) for letter in dead_letters.all] == [("do", "crashed")]
        assert isinstance(dead_letters.all[0].error, Oops)


@pytest.mark.parametrize("strategy", GROUPS)
async def test_siblings_in_a_group_restart_finish_what_they_have_in_hand_and_keep_their_mail(
    system: Systems, dead_letters: Any, strategy: Any
) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b"), strategy=strategy) as s:
        in_hand = awaited(member(s, "b").ask(Doer.do, sleep(2.0)))
        await settle()
        queued = awaited(member(s, "b").ask(Doer.note, "kept"))
        await settle()
        await fell(s, member(s, "a"), "crash")
        await in_hand
        assert await queued == "kept"
        assert book.pages["b"].words[-1] == "kept 2"
        assert dead_letters.reasons() == ["crashed"]


async def test_mail_waits_through_a_delay_and_failing_starts(system: Systems) -> None:
    book = Book()
    held = book.child("a", started=[rest, crash, crash, rest]).options(backoff=Backoff(1.0, 1.0, jitter="none"))
    async with grown(system, held) as s:
        ref = member(s, "a")
        await fell(s, ref, "crash")
        for word in ("one", "two"):
            await ref.tell(Doer.note, word)
        await advance(10.0)
        assert book.pages["a"].words[-2:] == ["one 4", "two 4"]


async def test_mail_of_one_that_ends_for_good_goes_to_the_dead_letters_and_its_asks_end(
    system: Systems, dead_letters: Any
) -> None:
    book = Book()
    held = book.child("a").options(backoff=Backoff(100.0, 100.0, jitter="none"))
    async with grown(system, held) as s:
        await fell(s, member(s, "a"), "crash")
        await member(s, "a").tell(Doer.note, "lost")
        asked = awaited(member(s, "a").ask(Doer.note, "asked"))
        await settle()
        await top(s).ask(Supervisor.terminate_child, "a")
        with pytest.raises(ActorGone):
            await asked
        await settle()
        assert dead_letters.reasons()[:2] == ["crashed", "stopped"]
        await top(s).ask(Supervisor.restart_child, "a")
        assert "lost" not in " ".join(book.pages["a"].words)


async def test_the_stash_is_put_back_in_front(system: Systems) -> None:
    book, gate = Book(), asyncio.Event()

    def stash_once(word: str) -> Deed:
        async def deed(me: Doer) -> None:
            if me.life == 1:
                me.ctx.stash()
            else:
                await me.note(word)

        return deed

    async with grown(system, book.child("a")) as s:
        ref = member(s, "a")
        for word in ("first", "second"):
            await ref.tell(Doer.do, stash_once(word))
        await ref.tell(Doer.do, wait_for(gate))
        await ref.tell(Doer.do, crash)
        await ref.tell(Doer.note, "third")
        await settle()
        gate.set()
        await settle()
        assert book.pages["a"].words[-3:] == ["first 2", "second 2", "third 2"]


async def test_state_and_timers_of_the_old_incarnation_are_gone(system: Systems) -> None:
    book = Book()

    async def tick(me: Doer) -> None:
        me.ctx.after(5.0, Doer.note, "tick")
        me.memory["old"] = True

    async def memory(me: Doer) -> dict[str, Any]:
        return me.memory

    async with grown(system, book.child("a")) as s:
        await member(s, "a").ask(Doer.do, tick)
        await fell(s, member(s, "a"), "crash")
        await advance(10.0)
        assert await member(s, "a").ask(Doer.do, memory) == {}
        assert not [word for word in book.words if "tick" in word]


@pytest.mark.parametrize("how", ["crash", "normal"])
async def test_the_old_incarnation_has_stopped_before_the_next_one_starts(system: Systems, how: str) -> None:
    book = Book()
    async with grown(system, book.child("a", kind=Closer, stopping=sleep(2.0))) as s:
        await fell(s, member(s, "a"), how)
        await advance(3.0)
        assert book.pages["a"].words == [
            "starting 1", "started 1", "stopping 1", "stopped 1", "starting 2", "started 2",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "lives"),
    [
        ("one_for_one", {"a": 2, "b": 2, "c": 2}),
        ("one_for_all", {"a": 2, "b": 2, "c": 2}),
        ("rest_for_one", {"a": 2, "b": 3, "c": 4}),
    ],
)
async def test_several_that_crash_in_the_same_instant_are_all_up_again_and_no_exit_counts_twice(
    system: Systems, strategy: Any, lives: dict[str, int]
) -> None:
    """In rest_for_one the last one is heard of first, so those after the others are restarted with each of them."""
    book = Book()
    async with grown(system, *book.children("a", "b", "c"), strategy=strategy, max_restarts=3) as s:
        await fell_together(*(member(s, name) for name in "cba"))
        assert await states(s) == dict.fromkeys("abc", "up")
        assert book.lives == lives


async def test_an_exit_that_was_not_judged_yet_says_nothing_about_a_child_made_anew_by_hand(system: Systems) -> None:
    book, gate = Book(), asyncio.Event()
    async with grown(system, book.child("a"), book.child("slow", started=[rest, wait_for(gate), rest])) as s:
        assert member(s, "slow").try_tell(Doer.do, crash)
        await settle()
        terminated = awaited(top(s).ask(Supervisor.terminate_child, "a"))
        restarted = awaited(top(s).ask(Supervisor.restart_child, "a"))
        await fell(s, member(s, "a"), "crash")
        gate.set()
        await settle()
        await asyncio.wait({terminated, restarted})
        await settle()
        assert await states(s) == {"a": "up", "slow": "up"}
        assert book.lives["a"] <= 3


async def test_one_that_crashes_again_while_its_group_still_starts_is_judged_by_its_new_incarnation(
    system: Systems,
) -> None:
    book, gate = Book(), asyncio.Event()
    slow = book.child("b", started=[rest, wait_for(gate), rest])
    async with grown(system, book.child("a"), slow, strategy="one_for_all", max_restarts=2) as s:
        await fell(s, member(s, "a"), "crash")
        assert book.lives == {"a": 2, "b": 2}
        await fell(s, member(s, "a"), "crash")
        assert book.lives == {"a": 2, "b": 2}
        gate.set()
        await settle()
        assert await states(s) == {"a": "up", "b": "up"}
        assert book.lives == {"a": 3, "b": 3}


@pytest.mark.parametrize("strategy", GROUPS)
async def test_a_clean_exit_in_the_same_instant_as_a_group_restart_does_not_end_the_new_incarnation(
    system: Systems, strategy: Any
) -> None:
    book = Book()
    done = book.child("b").options(restart="transient")
    async with grown(system, book.child("a"), done, strategy=strategy) as s:
        assert member(s, "b").try_tell(Doer.do, stop)
        assert member(s, "a").try_tell(Doer.do, crash)
        await settle()
        said = await states(s)
        assert said["a"] == "up"
        assert said["b"] == ("up" if member(s, "b").recipient is not None else "down")


async def test_many_restarts_leave_nothing_behind(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b"), strategy="one_for_all", max_restarts=10_000) as s:
        await settle()
        tasks = len(asyncio.all_tasks())
        for _ in range(300):
            await fell(s, member(s, "a"), "crash")
        assert book.lives == {"a": 301, "b": 301}
        assert len(asyncio.all_tasks()) <= tasks
    assert no_trace()
