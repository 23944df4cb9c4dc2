"""The laws of who gets a message sent to a pool: round robin, least loaded, by key, broadcast."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.actors.deeds import raised_by
from tests.actors.lives import Diary, Oops, Systems, crash, wait_for
from tests.supervision.pools import (
    BY_KEY,
    ROUTINGS,
    SPREADING,
    Hand,
    admin,
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
from upright.actors import ActorFailed, ActorRestarting, AskCycle, AskTimedOut, Message
from upright.actors.testing import kill, settle
from upright.supervision import Backoff, Pool, Unroutable, by_key

pytestmark = pytest.mark.anyio
LATER = Backoff(50.0, 50.0, jitter="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_round_robin_takes_the_workers_in_turn_however_busy_they_are(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=3, routing="round_robin") as s:
        await busy(s, 1, gate=gate)
        for word in "abcdef":
            await hands(s).tell(Hand.touch, word)
        gate.set()
        await settle()
    assert sorted(touched(diary)) == ["a@0", "b@1", "c@2", "d@0", "e@1", "f@2"]


async def test_idle_workers_are_taken_in_turn_under_least_loaded_too(system: Systems) -> None:
    async with pooled(system, Diary(), size=3) as s:
        said = [await hands(s).ask(Hand.touch, "k") for _ in range(6)]
    assert said == ["k@0", "k@1", "k@2"] * 2


async def test_a_busy_worker_is_passed_over_under_least_loaded(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=3) as s:
        await busy(s, 0, 2, gate=gate)
        assert [await hands(s).ask(Hand.touch, "k") for _ in range(5)] == ["k@1"] * 5
        gate.set()


async def test_messages_go_where_fewest_wait_or_are_in_hand_also_in_one_burst(system: Systems) -> None:
    """A worker that was woken for its message and has not begun it yet has one, not two."""
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=2) as s:
        await busy(s, 0, gate=gate)
        assert hand(s, 0).try_tell(Hand.touch, "direct")
        for word in "ab":
            assert hands(s).try_tell(Hand.touch, word)
        gate.set()
        await settle()
    assert sorted(touched(diary)) == ["a@1", "b@1", "direct@0"]


async def test_a_burst_is_shared_out_evenly(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=4) as s:
        for number in range(40):
            assert hands(s).try_tell(Hand.work, f"w{number}", wait_for(gate))
        gate.set()
        await settle()
    found = Counter(word.split("@")[1] for word in diary.words if word.endswith("ends"))
    assert found == {f"{number} ends": 10 for number in range(4)}


async def test_concurrent_handlers_that_run_count_as_load(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=2) as s:
        for word in "ab":
            await hand(s, 0).tell(Hand.beside, word, wait_for(gate))
        await settle()
        assert [await hands(s).ask(Hand.touch, "k") for _ in range(4)] == ["k@1"] * 4
        gate.set()


@pytest.mark.parametrize("routing", SPREADING)
async def test_a_worker_that_is_not_up_gets_nothing_while_another_is(system: Systems, routing: Any) -> None:
    async with pooled(system, Diary(), size=2, routing=routing, worker={"backoff": LATER}) as s:
        await kill(s, hand(s, 1))
        await settle()
        assert [await hands(s).ask(Hand.touch, "k") for _ in range(4)] == ["k@0"] * 4


@pytest.mark.parametrize("routing", SPREADING)
async def test_a_worker_whose_mailbox_is_full_is_passed_over(system: Systems, routing: Any) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, bound(1), routing=routing) as s:
        await busy(s, 0, gate=gate)
        assert hand(s, 0).try_tell(Hand.touch, "direct")
        assert [await hands(s).ask(Hand.touch, "k") for _ in range(4)] == ["k@1"] * 4
        gate.set()


async def test_a_full_worker_is_passed_over_for_one_that_has_room_and_as_much_to_do(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, bound(1)) as s:
        await busy(s, 0, gate=gate)
        assert hand(s, 0).try_tell(Hand.touch, "full")
        for word in "ab":
            assert hand(s, 1).try_tell(Hand.beside, word, wait_for(gate))
            await settle()
        assert hands(s).try_tell(Hand.touch, "k")
        gate.set()
        await settle()
    assert "k@1" in diary.words


async def test_equal_keys_go_to_the_same_worker_in_their_order_and_others_to_others(system: Systems) -> None:
    diary = Diary()
    keys = [key for number in range(4) for key in keys_of(number, 4, 3)]
    async with pooled(system, diary, size=4, routing=by_key(lambda message: message.args[0].split(":")[0])) as s:
        for turn in range(20):
            for key in keys:
                await hands(s).tell(Hand.touch, f"{key}:{turn}")
        await settle()
    places: dict[str, set[str]] = {key: set() for key in keys}
    turns: dict[str, list[str]] = {key: [] for key in keys}
    for word in touched(diary):
        said, number = word.split("@")
        key, turn_of_key = said.split(":")
        places[key].add(number)
        turns[key].append(turn_of_key)
    assert places == {key: {str(number)} for number in range(4) for key in keys_of(number, 4, 3)}
    assert set(map(tuple, turns.values())) == {tuple(map(str, range(20)))}


async def test_worker_of_a_key_is_where_its_messages_go(system: Systems) -> None:
    async with pooled(system, Diary(), size=5, routing=BY_KEY) as s:
        for number in range(5):
            for key in keys_of(number, 5, 2):
                assert await admin(s).ask(Pool.worker_of, key) == hand(s, number)
                assert await hands(s).ask(Hand.touch, key) == f"{key}@{number}"


async def test_the_key_may_be_given_by_its_name(system: Systems) -> None:
    (key,) = keys_of(1, 2)
    async with pooled(system, Diary(), routing=BY_KEY) as s:
        assert await hands(s).ask(Hand.touch, key=key) == f"{key}@1"


def no_customer(message: Message) -> object:
    raise Oops(f"no customer in {message.handler}")


def no_value(_: Message) -> object:
    return object()


@pytest.mark.parametrize(
    ("key", "why"), [(no_customer, "Oops: no customer in touch"), (no_value, "msgspec can encode")]
)
async def test_a_message_without_a_key_is_refused_at_its_sender_and_harms_nobody(
    system: Systems, dead_letters: Any, key: Any, why: str
) -> None:
    diary = Diary()
    async with pooled(system, diary, routing=by_key(key)) as s:
        errors = [await raised_by(hands(s).tell(Hand.touch, "a")), await raised_by(hands(s).ask(Hand.touch, "b"))]
        with pytest.raises(Unroutable):
            hands(s).try_tell(Hand.touch, "c")
        for error, word in zip(errors, "ab", strict=True):
            assert isinstance(error, Unroutable)
            assert isinstance(error, ValueError)
            assert (error.path, error.message.args) == ("/top/pool", (word,))
            assert why in str(error)
        assert await hand(s, 0).ask(Hand.touch, "d") == "d@0"
    assert diary.lives == 2
    assert dead_letters.all == []


async def test_a_broadcast_reaches_every_worker_once(system: Systems) -> None:
    diary = Diary()
    async with pooled(system, diary, size=3, routing="broadcast") as s:
        await hands(s).tell(Hand.touch, "told")
        assert hands(s).try_tell(Hand.touch, "tried")
        await hands(s).ask(Hand.touch, "asked")
        await settle()
    assert sorted(touched(diary)) == sorted(f"{word}@{n}" for word in ("told", "tried", "asked") for n in range(3))


async def test_the_first_reply_answers_a_broadcast_ask_and_the_others_still_handle_theirs(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=3, routing="broadcast") as s:
        await busy(s, 0, 1, gate=gate)
        assert await hands(s).ask(Hand.touch, "k") == "k@2"
        assert touched(diary) == ["k@2"]
        gate.set()
        await settle()
    assert sorted(touched(diary)) == ["k@0", "k@1", "k@2"]


async def crash_unless_last(me: Hand) -> None:
    if me.number != "2":
        await crash(me)


async def test_a_broadcast_ask_fails_only_when_every_worker_has_failed(system: Systems) -> None:
    diary = Diary()
    async with pooled(system, diary, size=3, routing="broadcast") as s:
        assert await hands(s).ask(Hand.work, "one", crash_unless_last) == "2"
        error = await raised_by(hands(s).ask(Hand.work, "two", crash))
        assert isinstance(error, ActorFailed)
        assert isinstance(error.__cause__, Oops)


async def test_an_asker_of_all_who_gives_up_withdraws_what_was_not_begun(system: Systems, dead_letters: Any) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=3, routing="broadcast") as s:
        await busy(s, 0, 1, 2, gate=gate)
        cancelled = awaited(hands(s).ask(Hand.touch, "cancelled"))
        await settle()
        cancelled.cancel()
        assert isinstance(await raised_by(hands(s).within(1.0).ask(Hand.touch, "late")), AskTimedOut)
        gate.set()
        await settle()
    assert touched(diary) == []
    assert dead_letters.all == []


async def test_a_broadcast_ask_in_hand_that_times_out_says_that_it_was_handled(system: Systems) -> None:
    gate = asyncio.Event()
    async with pooled(system, Diary(), routing="broadcast") as s:
        error = await raised_by(hands(s).within(1.0).ask(Hand.work, "k", wait_for(gate)))
        gate.set()
    assert isinstance(error, AskTimedOut)
    assert error.handled


async def ask_ones_own_pool(me: Hand) -> str:
    return await me.ctx.ref("/top/pool", Hand).ask(Hand.touch, "inner")


async def answer(system: Any, deed: Any, key: str = "outer") -> Any:
    """What a worker gets that does this deed."""
    said: list[Any] = []

    async def keep(me: Hand) -> None:
        try:
            said.append(await deed(me))
        except AskCycle as error:
            said.append(error)

    await hands(system).ask(Hand.work, key, keep)
    return said[0]


@pytest.mark.parametrize("routing", [*SPREADING, "broadcast"])
async def test_an_ask_of_a_worker_to_its_own_pool_is_answered_by_another(system: Systems, routing: Any) -> None:
    async with pooled(system, Diary(), routing=routing) as s:
        for _ in range(4):
            hand_that_asks: list[str] = []

            async def ask(me: Hand, asking: list[str] = hand_that_asks) -> str:
                asking.append(me.number)
                return await ask_ones_own_pool(me)

            if routing == "broadcast":
                await hand(s, 0).ask(Hand.work, "outer", ask)
            else:
                inner = await answer(s, ask)
                assert inner == f"inner@{1 - int(hand_that_asks[0])}"


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_an_ask_that_only_the_asking_worker_could_answer_fails_at_once(system: Systems, routing: Any) -> None:
    async with pooled(system, Diary(), size=1, routing=routing) as s:
        error = await answer(s, ask_ones_own_pool)
    assert isinstance(error, AskCycle)
    assert error.chain == ("/top/pool/0", "/top/pool/0")


async def test_an_ask_of_a_worker_by_its_own_key_fails_at_once_and_by_anothers_is_answered(system: Systems) -> None:
    mine, other = keys_of(0, 2)[0], keys_of(1, 2)[0]

    async def ask_mine(me: Hand) -> str:
        return await me.ctx.ref("/top/pool", Hand).ask(Hand.touch, mine)

    async def ask_other(me: Hand) -> str:
        return await me.ctx.ref("/top/pool", Hand).ask(Hand.touch, other)

    async with pooled(system, Diary(), routing=BY_KEY) as s:
        assert isinstance(await answer(s, ask_mine, mine), AskCycle)
        assert await answer(s, ask_other, mine) == f"{other}@1"


async def test_a_circle_through_another_actor_is_found_too(system: Systems) -> None:
    """The worker asks an actor, which asks the pool."""
    async with pooled(system, Diary(), size=1) as s:
        friend = await s.spawn("friend", Hand, Diary())

        async def ask_friend(me: Hand) -> Any:
            return await friend.ask(Hand.do, ask_ones_own_pool)

        error = await raised_by(hands(s).ask(Hand.work, "outer", ask_friend))
        assert isinstance(error, ActorFailed)
        assert isinstance(error.__cause__, AskCycle | ActorFailed)
        assert error.handled


async def test_two_who_begin_to_ask_each_other_independently_are_found_too(system: Systems) -> None:
    """The friend asks the pool while its worker is busy; that worker then asks the friend."""
    gate = asyncio.Event()
    async with pooled(system, Diary(), size=1) as s:
        friend = await s.spawn("friend", Hand, Diary())

        async def ask_friend(_: Hand) -> None:
            await gate.wait()
            await friend.ask(Hand.touch, "k")

        inner = awaited(hands(s).ask(Hand.work, "outer", ask_friend))
        await settle()
        waiting = awaited(friend.ask(Hand.do, ask_ones_own_pool))
        await settle()
        gate.set()
        error = await raised_by(inner)
        assert isinstance(error.__cause__, AskCycle)
        assert await waiting == "inner@0"


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_an_ask_that_fails_fast_meets_no_restarting_worker(system: Systems, routing: Any) -> None:
    async with pooled(system, Diary(), size=1, routing=routing, worker={"backoff": LATER}) as s:
        await kill(s, hand(s, 0))
        await settle()
        error = await raised_by(hands(s).fail_fast().ask(Hand.touch, "k"))
        assert isinstance(error, ActorRestarting)
        patient = awaited(hands(s).within(1_000).ask(Hand.touch, "k"))
        assert await patient == "k@0"
