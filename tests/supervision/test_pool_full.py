"""The laws of pools whose workers' mailboxes are full: who waits for whom, and what the policies do."""

import asyncio
from typing import Any

import pytest

from tests.actors.deeds import later, raised_by
from tests.actors.lives import Deed, Diary, Systems, hang, no_trace, sleep, wait_for
from tests.supervision.pools import (
    BY_KEY,
    ONE_TAKER,
    ROUTINGS,
    SPREADING,
    Hand,
    bound,
    busy,
    hand,
    hands,
    keys_of,
    named,
    pooled,
    touched,
)
from tests.supervision.trees import awaited
from upright.actors import ActorSystem, AskTimedOut, MailboxFull, Ref
from upright.actors.testing import advance, kill, settle

pytestmark = pytest.mark.anyio
NARROW = bound(1)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def stuff(system: ActorSystem, *gates: asyncio.Event) -> None:
    """Every worker is busy until its gate opens, and has one more message of its own."""
    for number, gate in enumerate(gates):
        await busy(system, number, gate=gate)
        assert hand(system, number).try_tell(Hand.touch, f"full{number}")


def left_in(ref: Ref[Any]) -> tuple[int, int]:
    """How many messages wait in a pool, and how many senders wait for room."""
    mailbox: Any = ref.recipient
    return len(mailbox.mailbox), mailbox.mailbox.in_line


@pytest.mark.parametrize("routing", SPREADING)
async def test_who_waits_is_served_by_whichever_worker_has_room_first(system: Systems, routing: Any) -> None:
    diary, stuck, open_soon = Diary(), asyncio.Event(), asyncio.Event()
    async with pooled(system, diary, NARROW, routing=routing) as s:
        await stuff(s, stuck, open_soon)
        senders = await later(*(hands(s).tell(Hand.touch, word) for word in "abcdef"))
        assert not any(task.done() for task in senders)
        open_soon.set()
        await asyncio.gather(*senders)
        await settle()
        assert touched(diary) == ["full1@1", *(f"{word}@1" for word in "abcdef")]
        stuck.set()


@pytest.mark.parametrize("routing", SPREADING)
async def test_nobody_overtakes_those_who_wait(system: Systems, routing: Any) -> None:
    diary, stuck, gate = Diary(), asyncio.Event(), asyncio.Event()
    async with pooled(system, diary, NARROW, routing=routing) as s:
        await stuff(s, stuck, gate)
        senders = await later(*(hands(s).tell(Hand.touch, word) for word in "ab"))
        assert not hands(s).try_tell(Hand.touch, "pushy")
        gate.set()
        senders += await later(*(hands(s).tell(Hand.touch, word) for word in "cd"))
        await asyncio.gather(*senders)
        await settle()
        assert touched(diary) == ["full1@1", "a@1", "b@1", "c@1", "d@1"]
        stuck.set()


async def test_by_key_who_waits_waits_for_the_worker_of_the_key_only(system: Systems) -> None:
    diary, stuck, gate = Diary(), asyncio.Event(), asyncio.Event()
    zero, one = keys_of(0, 2, 3), keys_of(1, 2, 3)
    async with pooled(system, diary, NARROW, routing=BY_KEY) as s:
        await stuff(s, stuck, gate)
        waiting = await later(*(hands(s).tell(Hand.touch, key) for pair in zip(zero, one, strict=True) for key in pair))
        gate.set()
        await settle()
        assert [task.done() for task in waiting] == [False, True] * 3
        assert touched(diary) == ["full1@1", *(f"{key}@1" for key in one)]
        assert await hands(s).ask(Hand.touch, one[0]) == f"{one[0]}@1"
        stuck.set()
        await settle()
        assert touched(diary)[-4:] == ["full0@0", *(f"{key}@0" for key in zero)]


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_a_sender_that_gives_up_or_is_cancelled_leaves_nothing_behind(system: Systems, routing: Any) -> None:
    diary, gate, other = Diary(), asyncio.Event(), asyncio.Event()
    async with pooled(system, diary, NARROW, routing=routing) as s:
        await stuff(s, gate, other)
        gone = await later(hands(s).tell(Hand.touch, "told"), hands(s).ask(Hand.touch, "asked"))
        for task in gone:
            task.cancel()
        errors = [
            await raised_by(hands(s).within(1.0).tell(Hand.touch, "late")),
            await raised_by(hands(s).within(1.0).ask(Hand.touch, "late")),
        ]
        assert isinstance(errors[0], MailboxFull)
        assert errors[0].message.args == ("late",)
        assert isinstance(errors[1], AskTimedOut)
        assert not errors[1].handled
        assert left_in(hands(s)) == (2, 0)
        gate.set()
        other.set()
        await settle()
        assert sorted(touched(diary)) == ["full0@0", "full1@1"]
        assert await hands(s).ask(Hand.touch, "next")
    assert no_trace()


@pytest.mark.parametrize("routing", SPREADING)
async def test_a_worker_that_hangs_holds_up_nobody(system: Systems, routing: Any) -> None:
    diary = Diary()
    async with pooled(system, diary, NARROW, routing=routing, worker={"shutdown": 0.0}) as s:
        hand(s, 0).try_tell(Hand.work, "hung", hang)
        await settle()
        senders = [awaited(hands(s).within(60.0).tell(Hand.work, f"w{number}", sleep(0.1))) for number in range(30)]
        await advance(50.0)
        assert all(task.done() and task.exception() is None for task in senders)
        assert len([word for word in diary.words if word.endswith("@1 ends")]) >= 29


async def ask_pool(me: Hand) -> None:
    await me.ctx.ref("/top/pool", Hand).within(1.0).ask(Hand.touch, "inner")


@pytest.mark.parametrize("routing", SPREADING)
async def test_an_ask_of_a_worker_that_waits_for_the_others_keeps_nobody_from_an_idle_one(
    system: Systems, routing: Any
) -> None:
    """The asking worker's own room is no use to its ask, but it is to all who come after."""
    diary, stuck = Diary(), asyncio.Event()
    async with pooled(system, diary, NARROW, routing=routing) as s:
        await stuff(s, stuck)
        asking = awaited(hand(s, 1).ask(Hand.work, "asks", lambda me: raised_by(ask_pool(me))))
        await settle()
        sender = awaited(hands(s).within(1_000).tell(Hand.touch, "newcomer"))
        await advance(10.0)
        assert asking.done()
        assert sender.done(), "an idle worker with room, and a sender that waits"
        assert "newcomer@1" in diary.words
        stuck.set()


async def test_an_ask_of_an_overlapping_handler_is_never_let_in_at_its_own_worker(system: Systems) -> None:
    """It would wait for the ask to end, and the ask for it."""
    diary = Diary()
    stuck, ask_now, second = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ask_when_open(me: Hand) -> None:
        await ask_now.wait()
        await me.ctx.ref("/top/pool", Hand).within(20.0).ask(Hand.touch, "inner")

    async with pooled(system, diary, NARROW) as s:
        await stuff(s, stuck)
        asked = awaited(hand(s, 1).within(60.0).ask(Hand.beside, "asks", ask_when_open))
        await settle()
        for word, deed in (("second", wait_for(second)), ("third", sleep(0.1))):
            assert hand(s, 1).try_tell(Hand.beside, word, deed)
            await settle()
        ask_now.set()
        await settle()
        second.set()
        await advance(1.0)
        stuck.set()
        assert await asked == "1"
        assert "inner@0" in diary.words


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_reject_gives_the_message_back_when_no_worker_that_may_take_it_has_room(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    diary, gates = Diary(), (asyncio.Event(), asyncio.Event())
    async with pooled(system, diary, bound(1, "reject"), routing=routing) as s:
        await stuff(s, *gates)
        for sending in (hands(s).tell(Hand.touch, "told"), hands(s).ask(Hand.touch, "asked")):
            error = await raised_by(sending)
            assert isinstance(error, MailboxFull)
            assert error.message.args in (("told",), ("asked",))
        assert not hands(s).try_tell(Hand.touch, "tried")
        for gate in gates:
            gate.set()
        await settle()
    assert sorted(touched(diary)) == ["full0@0", "full1@1"]
    assert dead_letters.all == []


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_drop_new_makes_one_dead_letter_of_what_comes(system: Systems, dead_letters: Any, routing: Any) -> None:
    diary, gates = Diary(), (asyncio.Event(), asyncio.Event())
    async with pooled(system, diary, bound(1, "drop_new"), routing=routing) as s:
        await stuff(s, *gates)
        await hands(s).tell(Hand.touch, "told")
        assert not hands(s).try_tell(Hand.touch, "tried")
        assert isinstance(await raised_by(hands(s).ask(Hand.touch, "asked")), MailboxFull)
        for gate in gates:
            gate.set()
        await settle()
    assert sorted(touched(diary)) == ["full0@0", "full1@1"]
    assert [letter.message.args[0] for letter in dead_letters.all] == ["told", "tried", "asked"]
    assert set(dead_letters.reasons()) == {"dropped_new"}


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_drop_old_makes_a_dead_letter_of_what_waited_longest_at_the_worker_chosen(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    diary, gates = Diary(), (asyncio.Event(), asyncio.Event())
    async with pooled(system, diary, bound(1, "drop_old"), routing=routing) as s:
        await stuff(s, *gates)
        (zero,), (one,) = keys_of(0, 2), keys_of(1, 2)
        for key in (zero, one):
            await hands(s).tell(Hand.touch, key)
        for gate in gates:
            gate.set()
        await settle()
    assert sorted(word.split("@")[0] for word in touched(diary)) == sorted([zero, one])
    assert sorted(letter.message.args[0] for letter in dead_letters.all) == ["full0", "full1"]
    assert set(dead_letters.reasons()) == {"dropped_old"}


async def test_a_broadcast_waits_for_those_that_are_full_and_reaches_the_others_at_once(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, NARROW, routing="broadcast") as s:
        await stuff(s, gate)
        (sender,) = await later(hands(s).tell(Hand.touch, "k"))
        assert touched(diary) == ["k@1"]
        assert not sender.done()
        gate.set()
        await sender
        await settle()
    assert sorted(touched(diary)) == ["full0@0", "k@0", "k@1"]


async def test_the_first_reply_answers_a_broadcast_ask_also_while_another_worker_has_no_room(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, NARROW, routing="broadcast") as s:
        await stuff(s, gate)
        said = await raised_or(hands(s).ask(Hand.touch, "k"))
        gate.set()
    assert said == "k@1"


async def raised_or(asking: Any) -> Any:
    """The reply, or the error."""
    try:
        return await asking
    except AskTimedOut as error:
        return error


async def test_a_broadcast_under_drop_new_drops_the_copies_for_those_that_are_full(
    system: Systems, dead_letters: Any
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, bound(1, "drop_new"), routing="broadcast") as s:
        await stuff(s, gate)
        assert await hands(s).ask(Hand.touch, "k") == "k@1"
        gate.set()
        await settle()
    assert sorted(touched(diary)) == ["full0@0", "k@1"]
    assert [(letter.recipient, letter.reason) for letter in dead_letters.all] == [("/top/pool/0", "dropped_new")]


async def test_direct_senders_wait_for_their_worker_and_others_for_any_in_one_line(system: Systems) -> None:
    diary, stuck, gate = Diary(), asyncio.Event(), asyncio.Event()
    async with pooled(system, diary, NARROW) as s:
        await stuff(s, stuck, gate)
        senders = await later(
            hand(s, 0).tell(Hand.touch, "only0"),
            hands(s).tell(Hand.touch, "any"),
            hand(s, 1).tell(Hand.touch, "only1"),
            hands(s).tell(Hand.touch, "any2"),
        )
        gate.set()
        await settle()
        assert [task.done() for task in senders] == [False, True, True, True]
        assert touched(diary) == ["full1@1", "any@1", "only1@1", "any2@1"]
        assert await hands(s).ask(Hand.touch, "free") == "free@1"
        stuck.set()
        await settle()
        assert touched(diary)[-2:] == ["full0@0", "only0@0"]


async def test_those_who_wait_are_let_in_when_a_worker_is_killed_with_its_message(system: Systems) -> None:
    diary, stuck, other = Diary(), asyncio.Event(), asyncio.Event()
    async with pooled(system, diary, NARROW) as s:
        await stuff(s, stuck, other)
        senders = await later(*(hands(s).tell(Hand.touch, word) for word in "abc"))
        await kill(s, hand(s, 0))
        await asyncio.gather(*senders)
        await settle()
        assert touched(diary) == ["full0@0", "a@0", "b@0", "c@0"]
        other.set()


async def test_a_worker_that_is_full_raises_at_its_own_tell_to_itself_but_may_send_to_its_pool(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    errors: list[BaseException] = []

    def tell_both(number: int) -> Deed:
        async def deed(me: Hand) -> None:
            await gate.wait()
            errors.append(await raised_by(me.ctx.self_ref.tell(Hand.touch, "self")))
            await me.ctx.ref("/top/pool", Hand).tell(Hand.touch, "pool")

        return deed if number == 0 else wait_for(gate)

    async with pooled(system, diary, NARROW) as s:
        hand(s, 0).try_tell(Hand.work, "tells", tell_both(0))
        await settle()
        assert hand(s, 0).try_tell(Hand.touch, "full0")
        gate.set()
        await settle()
    assert isinstance(errors[0], MailboxFull)
    assert sorted(touched(diary)) == ["full0@0", "pool@1", "tells@0 begins", "tells@0 ends"]
