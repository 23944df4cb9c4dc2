"""The laws of what a handler may do with the message in hand: set it aside, or hand it on."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    Closer,
    Deed,
    Diary,
    Doer,
    Narrow,
    Oops,
    Systems,
    crash,
    hang,
    quiet,
    sleep,
    stop,
    wait_for,
)
from upright.actors import ActorFailed, ActorGone, AskTimedOut, NotInHand, Refuse, StashFull, UnknownHandler
from upright.actors.testing import advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def until_ready(word: str) -> Deed:
    """Set the message aside until the actor is ready."""

    async def deed(me: Doer) -> str:
        if not me.memory.get("ready"):
            me.ctx.stash()
            return "nobody sees this"
        return await me.note(word)

    return deed


async def make_ready(me: Doer) -> None:
    me.memory["ready"] = True
    me.ctx.unstash_all()


# -- stash


async def test_stashed_messages_come_back_in_front_in_their_order_and_their_asks_are_answered(
    system: Systems,
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        asked = [asyncio.create_task(ref.ask(Doer.do, until_ready(word))) for word in ("one", "two", "three")]
        await settle()
        assert diary.words == []
        await ref.tell(Doer.do, make_ready)
        await ref.tell(Doer.note, "behind")
        assert [await task for task in asked] == ["one", "two", "three"]
        await s.idle()
    assert diary.words == ["one 1", "two 1", "three 1", "behind 1"]


async def test_a_message_may_be_stashed_again_and_keeps_its_place(system: Systems) -> None:
    diary = Diary()

    async def retry(me: Doer) -> None:
        me.ctx.unstash_all()

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        asked = [asyncio.create_task(ref.ask(Doer.do, until_ready(word))) for word in ("one", "two")]
        await settle()
        for _ in range(3):
            await ref.ask(Doer.do, retry)
        await ref.tell(Doer.do, make_ready)
        assert [await task for task in asked] == ["one", "two"]


async def test_the_stash_holds_as_much_as_the_mailbox_and_then_refuses(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Narrow)
        errors: list[str] = []

        async def stash_carefully(me: Doer) -> None:
            try:
                me.ctx.stash()
            except StashFull as error:
                errors.append(str(error))

        for _ in range(3):
            await ref.tell(Doer.do, stash_carefully)
        await s.idle()
        assert len(errors) == 1
        assert "at most 2 stashed messages at /a" in errors[0]


async def test_an_ask_that_is_stashed_times_out_as_any_and_is_then_not_run(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        with pytest.raises(AskTimedOut):
            await ref.within(1).ask(Doer.do, until_ready("one"))
        await ref.tell(Doer.do, make_ready)
        await s.idle()
    assert diary.words == []


async def test_what_is_stashed_when_the_actor_ends_becomes_dead_letters_and_ends_its_asks(
    system: Systems, dead_letters: Any
) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        asked = asyncio.create_task(ref.ask(Doer.do, until_ready("one")))
        await settle()
        await ref.tell(Doer.do, stop)
        with pytest.raises(ActorGone) as caught:
            await asked
        assert not caught.value.handled
    assert dead_letters.reasons() == ["stopped"]


async def test_a_message_that_was_set_aside_and_then_crashed_on_does_not_come_back(
    system: Systems, dead_letters: Any
) -> None:
    """It was in hand when the actor crashed; put back, it could crash every incarnation that follows."""
    diary = Diary()

    async def stash_and_crash(me: Doer) -> None:
        me.ctx.stash()
        await crash(me)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer, diary)
        with pytest.raises(ActorFailed):
            await ref.ask(Doer.do, stash_and_crash)
        await s.idle()
    assert diary.lives == 2
    assert dead_letters.reasons() == ["crashed"]


async def test_stash_needs_an_ordinary_message_in_hand(system: Systems) -> None:
    errors: list[str] = []

    async def try_to_stash(me: Doer) -> None:
        try:
            me.ctx.stash()
        except NotInHand as error:
            errors.append(type(error).__name__)

    async def twice(me: Doer) -> None:
        me.ctx.stash()
        await try_to_stash(me)
        me.ctx.stop()

    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, Diary(), stopping=try_to_stash)
        await ref.ask(Doer.overlap, "word", try_to_stash)
        await ref.tell(Doer.do, twice)
        await ref.ended()
    assert errors == ["NotInHand"] * 3


# -- forward


def forward(target: Any, *args: Any, handler: Any = Doer.do) -> Deed:
    async def deed(me: Doer) -> Any:
        return await me.ctx.forward(target, handler, *args)

    return deed


async def test_a_forwarded_ask_is_answered_by_whom_it_was_forwarded_to(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        clerk = await s.spawn("clerk", Doer, diary)
        front = await s.spawn("front", Doer)
        assert await front.ask(Doer.do, forward(clerk, "word", handler=Doer.note)) == "word"
    assert diary.words == ["word 1"]


async def test_the_forwarding_actor_is_free_at_once(system: Systems) -> None:
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer), await s.spawn("front", Doer)
        slow = asyncio.create_task(front.ask(Doer.do, forward(clerk, sleep(3))))
        await settle()
        async with asyncio.timeout(1):
            assert await front.ask(Doer.note, "free") == "free"
        assert await slow is None


async def test_a_forwarded_ask_keeps_the_deadline_of_its_asker(system: Systems) -> None:
    left: list[float] = []

    async def look(me: Doer) -> None:
        left.append(me.ctx.time_left())
        await hang(me)

    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer), await s.spawn("front", Doer)

        async def dawdle(me: Doer) -> Any:
            await asyncio.sleep(0.5)
            return await me.ctx.forward(clerk, Doer.do, look)

        began = loop.time()
        with pytest.raises(AskTimedOut):
            await front.within(2).ask(Doer.do, dawdle)
        assert loop.time() == began + 2
        assert left == [1.5]
        await s.kill(clerk)


@pytest.mark.parametrize(("deed", "expected"), [(crash, ActorFailed), (stop, type(None))])
async def test_the_failure_of_whom_it_was_forwarded_to_reaches_the_asker_and_harms_nobody_else(
    system: Systems, deed: Deed, expected: type[Any]
) -> None:
    diary = Diary()
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer), await s.spawn("front", Doer, diary)
        asked = asyncio.create_task(front.ask(Doer.do, forward(clerk, deed)))
        await asyncio.wait([asked])
        assert isinstance(asked.exception(), expected)
        await s.idle()
        assert diary.lives == 1


async def test_a_refusal_of_whom_it_was_forwarded_to_reaches_the_asker(system: Systems) -> None:
    async def refuse(_: Any) -> None:
        raise Refuse("no")

    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer), await s.spawn("front", Doer)
        with pytest.raises(Refuse, match="no"):
            await front.ask(Doer.do, forward(clerk, refuse))


async def test_forwarding_to_nobody_ends_the_ask_and_leaves_a_dead_letter(system: Systems, dead_letters: Any) -> None:
    async with quiet(system) as s:
        front = await s.spawn("front", Doer)
        with pytest.raises(ActorGone) as caught:
            await front.ask(Doer.do, forward(s.ref("/nobody", Doer), "word", handler=Doer.note))
        assert caught.value.path == "/nobody"
        await front.tell(Doer.do, forward(s.ref("/nobody", Doer), "told", handler=Doer.note))
        await s.idle()
    assert dead_letters.reasons() == ["no_actor", "no_actor"]


async def test_forwarding_to_a_full_mailbox_waits_for_room_within_the_askers_deadline(system: Systems) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Narrow), await s.spawn("front", Doer)
        await clerk.tell(Doer.do, wait_for(gate))
        await settle()
        while clerk.try_tell(Doer.note, "filler"):
            pass
        asked = asyncio.create_task(front.ask(Doer.do, forward(clerk, "word", handler=Doer.note)))
        await advance(1)
        assert not asked.done()
        gate.set()
        assert await asked == "word"


async def test_an_error_of_the_forwarding_actor_after_the_forward_does_not_answer_the_asker(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer), await s.spawn("front", Doer, diary)

        async def forward_and_crash(me: Doer) -> None:
            await me.ctx.forward(clerk, Doer.note, "word")
            raise Oops("after the forward")

        assert await front.ask(Doer.do, forward_and_crash) == "word"
        await s.idle()
        assert diary.lives == 2


async def test_a_wrong_forward_keeps_the_message_in_hand(system: Systems) -> None:
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer), await s.spawn("front", Doer)

        async def forward_wrongly(me: Doer) -> str:
            wrong: Any = Doer.started
            try:
                await me.ctx.forward(clerk, wrong)
            except UnknownHandler:
                return "still mine"
            return "lost"

        assert await front.ask(Doer.do, forward_wrongly) == "still mine"


async def test_forwarding_twice_is_refused(system: Systems) -> None:
    errors: list[str] = []
    diary = Diary()
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Doer, diary), await s.spawn("front", Doer)

        async def twice(me: Doer) -> None:
            await me.ctx.forward(clerk, Doer.note, "once")
            try:
                await me.ctx.forward(clerk, Doer.note, "twice")
            except NotInHand as error:
                errors.append(type(error).__name__)

        assert await front.ask(Doer.do, twice) == "once"
        await s.idle()
    assert (errors, diary.words) == (["NotInHand"], ["once 1"])


async def test_a_kill_while_a_forward_waits_for_room_ends_the_ask_and_loses_nothing_silently(
    system: Systems, dead_letters: Any
) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        clerk, front = await s.spawn("clerk", Narrow), await s.spawn("front", Doer)
        await clerk.tell(Doer.do, wait_for(gate))
        await settle()
        while clerk.try_tell(Doer.note, "filler"):
            pass
        asked = asyncio.create_task(front.within(60).ask(Doer.do, forward(clerk, "word", handler=Doer.note)))
        await settle()
        await s.kill(front)
        async with asyncio.timeout(1):
            with pytest.raises(ActorGone):
                await asked
        gate.set()
        await s.idle()
    assert len(dead_letters.all) == 1
