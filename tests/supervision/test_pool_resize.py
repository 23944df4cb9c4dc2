"""The laws of resizing a pool: nothing is lost or handled twice, and no two messages of one key overlap."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tests.actors.deeds import later
from tests.actors.lives import Deed, Diary, Oops, Systems, crash, no_trace, sleep, wait_for
from tests.supervision.pools import (
    BY_KEY,
    ONE_TAKER,
    ROUTINGS,
    SPREADING,
    Hand,
    admin,
    bound,
    busy,
    hand,
    hands,
    keys_of,
    keys_where,
    named,
    noting,
    pooled,
    touched,
)
from tests.supervision.trees import awaited, fell, top
from upright.actors import Shutdown
from upright.actors.testing import advance, kill, settle
from upright.supervision import Backoff, Counts, InvalidSpec, NotStarted, Pool, Supervisor
from upright.supervision.routing import slot

pytestmark = pytest.mark.anyio
LATER = Backoff(50.0, 50.0, jitter="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def numbers(system: Any) -> list[str]:
    """The numbers of the workers."""
    return [ref.path.rpartition("/")[2] for ref in await admin(system).ask(Pool.workers)]


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_workers_are_added_and_taken_away_at_the_end(system: Systems, routing: Any) -> None:
    diary = Diary()
    async with pooled(system, diary, routing=routing) as s:
        first = hand(s, 0).recipient
        for size in (5, 3, 3, 1, 12):
            await admin(s).ask(Pool.resize, size)
            assert await numbers(s) == [str(number) for number in range(size)]
            assert await admin(s).ask(Pool.size) == size
            assert await admin(s).ask(Pool.count_children) == Counts(size, size, 0, size)
            assert hand(s, size).recipient is None
        assert hand(s, 0).recipient is first
    assert diary.lives == 2 + 3 + 11
    assert no_trace()


@pytest.mark.parametrize("size", [0, -1, True, False, "x", 1.0, None])
async def test_a_wrong_size_is_refused_with_the_value_and_changes_nothing(system: Systems, size: Any) -> None:
    async with pooled(system, Diary(), routing=BY_KEY) as s:
        with pytest.raises(InvalidSpec, match="expected size to be a whole number of 1 or more") as raised:
            await admin(s).ask(Pool.resize, size)
        assert repr(size) in str(raised.value)
        assert isinstance(raised.value, ValueError)
        assert await numbers(s) == ["0", "1"]
        assert (await hands(s).ask(Hand.touch, "k")).startswith("k@")


@pytest.mark.parametrize("how", ["crash", "kill"])
async def test_the_size_survives_a_restart_of_the_pool(system: Systems, how: str) -> None:
    async with pooled(system, Diary(), max_restarts=0) as s:
        await admin(s).ask(Pool.resize, 4)
        found: Any = admin(s).recipient
        await (kill(s, admin(s)) if how == "kill" else fell(s, hand(s, 0), "crash"))
        await settle()
        assert found.incarnation == 2
        assert await numbers(s) == ["0", "1", "2", "3"]
        assert await admin(s).ask(Pool.size) == 4


def failing(number: str, error: Exception | None = None) -> dict[str, Any]:
    async def started(me: Hand) -> None:
        if me.number == number:
            raise Oops("on purpose") if error is None else error

    return {"started": started}


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_when_a_new_worker_does_not_start_those_that_did_stay(system: Systems, routing: Any) -> None:
    async with pooled(system, Diary(), plans=failing("3"), routing=routing) as s:
        with pytest.raises(NotStarted, match=r"/top/pool/3 did not start: Oops: on purpose") as raised:
            await admin(s).ask(Pool.resize, 6)
        assert isinstance(raised.value.__cause__, Oops)
        assert await numbers(s) == ["0", "1", "2"]
        assert await admin(s).ask(Pool.size) == 3
        assert await admin(s).ask(Pool.count_children) == Counts(3, 3, 0, 3)
        said = {await hands(s).ask(Hand.touch, f"k{number}") for number in range(30)}
        assert {word.split("@")[1] for word in said} == ({"0"} if routing == "broadcast" else {"0", "1", "2"})
        await admin(s).ask(Pool.resize, 1)
        assert await numbers(s) == ["0"]


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_what_waits_for_a_worker_that_is_taken_away_goes_to_the_others_before_it_has_ended(
    system: Systems, routing: Any
) -> None:
    diary, gate, other = Diary(), asyncio.Event(), asyncio.Event()
    async with pooled(system, diary, routing=routing) as s:
        await busy(s, 0, gate=other)
        await busy(s, 1, gate=gate)
        asked = await later(*(hands(s).ask(Hand.touch, f"k{number}") for number in range(8)))
        resized = awaited(admin(s).ask(Pool.resize, 1))
        await settle()
        assert not resized.done()
        other.set()
        await settle()
        assert [task.done() for task in asked] == [routing is not BY_KEY] * 8
        gate.set()
        await resized
        assert await asyncio.gather(*asked) == [f"k{number}@0" for number in range(8)]
    assert "busy1@1 ends" in diary.words


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_senders_who_wait_for_room_are_let_in_by_workers_that_are_added(system: Systems, routing: Any) -> None:
    diary, gate = Diary(), asyncio.Event()
    key = keys_where(lambda key: slot(key, 3) == 2)[0]
    async with pooled(system, diary, bound(1), routing=routing) as s:
        await busy(s, 0, 1, gate=gate)
        for number in (0, 1):
            assert hand(s, number).try_tell(Hand.touch, f"full{number}")
        (asked,) = await later(hands(s).ask(Hand.touch, key))
        if routing is BY_KEY:
            gate.set()
        await admin(s).ask(Pool.resize, 3)
        await settle()
        assert asked.done() or routing is BY_KEY
        gate.set()
        await asked
    if routing in SPREADING:
        assert f"{key}@2" in diary.words


class Watcher:
    """Sees which keys are in hand, and whether one key ever was in two hands at once."""

    def __init__(self) -> None:
        self.in_hand: Counter[str] = Counter()
        self.overlaps: list[str] = []
        self.order: dict[str, list[int]] = {}

    def deed(self, key: str, turn: int, seconds: float) -> Deed:
        async def work(_: Hand) -> None:
            self.in_hand[key] += 1
            if self.in_hand[key] > 1:
                self.overlaps.append(key)
            self.order.setdefault(key, []).append(turn)
            await asyncio.sleep(seconds)
            self.in_hand[key] -= 1

        return work


@pytest.mark.parametrize("limit", [1, 3, 1_000])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_resizing_under_load_loses_nothing_and_keeps_the_order_of_each_key(
    system: Systems, dead_letters: Any, routing: Any, seed: int, limit: int
) -> None:
    chance, watcher = random.Random(seed), Watcher()
    async with pooled(system, Diary(), bound(limit), routing=routing) as s:

        async def send(key: str) -> None:
            for turn in range(25):
                await hands(s).tell(Hand.work, key, watcher.deed(key, turn, chance.choice((0.0, 0.1, 0.5))))
                await asyncio.sleep(chance.choice((0.0, 0.0, 0.05, 0.2)))

        senders = [awaited(send(f"k{number}")) for number in range(12)]
        for _ in range(12):
            await asyncio.sleep(chance.random())
            await admin(s).ask(Pool.resize, chance.randint(1, 6))
        await asyncio.gather(*senders)
        await s.idle()
    every = list(range(25))
    assert {key: sorted(turns) for key, turns in watcher.order.items()} == {f"k{n}": every for n in range(12)}
    assert dead_letters.all == []
    if routing is BY_KEY:
        assert watcher.overlaps == []
        assert all(turns == every for turns in watcher.order.values())


async def test_a_resize_of_a_broadcast_pool_leaves_each_worker_what_it_was_sent_and_drops_only_copies(
    system: Systems, dead_letters: Any
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=3, routing="broadcast") as s:
        await busy(s, 0, 1, 2, gate=gate)
        await hands(s).tell(Hand.touch, "before")
        resized = awaited(admin(s).ask(Pool.resize, 2))
        await settle()
        await hands(s).tell(Hand.touch, "after")
        gate.set()
        await resized
        await settle()
    assert sorted(touched(diary)) == ["after@0", "after@1", "before@0", "before@1"]
    assert [(letter.message.args[0], letter.reason) for letter in dead_letters.all] == [("before", "stopped")]


def moving_key() -> str:
    """A key of the first worker of one, and of the second of two."""
    return keys_where(lambda key: slot(key, 2) == 1)[0]


async def test_by_key_no_message_begins_while_one_that_overlaps_others_is_in_hand_elsewhere(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    key = moving_key()
    async with pooled(system, diary, size=1, routing=BY_KEY) as s:
        await hands(s).tell(Hand.beside, key, wait_for(gate))
        await settle()
        await admin(s).ask(Pool.resize, 2)
        await hands(s).tell(Hand.touch, key)
        await settle()
        assert touched(diary) == [f"{key}@0 begins"]
        gate.set()
        await settle()
    assert touched(diary) == [f"{key}@0 begins", f"{key}@0 ends", f"{key}@1"]


async def test_by_key_a_worker_that_crashes_and_is_held_back_holds_up_nobody_else_after_a_resize(
    system: Systems,
) -> None:
    """What it had in hand is over; the keys of the others need not wait until it is back."""
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=2, routing=BY_KEY, worker={"backoff": LATER}) as s:
        await busy(s, 0, gate=gate, then=crash)
        resized = awaited(admin(s).ask(Pool.resize, 3))
        await settle()
        key = keys_of(2, 3)[0]
        (asked,) = await later(hands(s).within(1_000).ask(Hand.touch, key))
        gate.set()
        await resized
        await advance(1.0)
        assert touched(diary) == [f"{key}@2"]
        await asked


async def test_by_key_a_slow_start_of_a_new_worker_holds_up_nobody(system: Systems) -> None:
    """Keys move when it is up, and not before."""
    diary, slow = Diary(), asyncio.Event()
    async with pooled(system, diary, plans={"started": first_at_once(slow)}, routing=BY_KEY) as s:
        resized = awaited(admin(s).ask(Pool.resize, 3))
        await settle()
        key = keys_where(lambda key: slot(key, 2) == slot(key, 3) == 0)[0]
        (asked,) = await later(hands(s).ask(Hand.touch, key))
        assert asked.done()
        slow.set()
        await resized
        await asked


def first_at_once(slow: asyncio.Event) -> Deed:
    async def started(me: Hand) -> None:
        if me.life > 2:
            await slow.wait()

    return started


async def test_two_resizes_in_a_row_leave_the_last_size(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=2, routing=BY_KEY) as s:
        await busy(s, 0, 1, gate=gate)
        sizes = [awaited(admin(s).ask(Pool.resize, size)) for size in (4, 1, 3)]
        asked = await later(*(hands(s).within(1_000).ask(Hand.touch, f"k{number}") for number in range(9)))
        gate.set()
        await asyncio.gather(*sizes)
        answers = await asyncio.gather(*asked)
        assert [answer.partition("@")[0] for answer in answers] == [f"k{n}" for n in range(9)]
        assert await numbers(s) == ["0", "1", "2"]


async def test_an_end_of_the_pool_in_the_middle_of_a_resize_is_a_clean_one(system: Systems, dead_letters: Any) -> None:
    diary, slow = Diary(), asyncio.Event()
    async with pooled(system, diary, plans={"started": first_at_once(slow)}) as s:
        ended = awaited(admin(s).ended())
        resized = awaited(admin(s).ask(Pool.resize, 4))
        await settle()
        ending = awaited(top(s).ask(Supervisor.terminate_child, "pool"))
        await settle()
        slow.set()
        await asyncio.wait({resized, ending})
        assert isinstance(resized.exception(), NotStarted)
        assert isinstance(await ended, Shutdown)
    assert "crashed" not in dead_letters.reasons()


async def test_a_worker_that_is_taken_away_has_its_shutdown_time_and_is_cancelled_then(
    system: Systems, dead_letters: Any
) -> None:
    diary = Diary()
    async with pooled(system, diary, worker={"shutdown": 2.0}) as s:
        assert hand(s, 1).try_tell(Hand.work, "long", sleep(100.0))
        await settle()
        start = asyncio.get_running_loop().time()
        await admin(s).ask(Pool.resize, 1)
        assert asyncio.get_running_loop().time() - start == 2.0
    assert dead_letters.reasons() == ["killed"]


async def test_a_new_worker_of_an_old_number_gets_nothing_of_the_one_before(system: Systems, dead_letters: Any) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary) as s:
        await busy(s, 1, gate=gate)
        assert hand(s, 1).try_tell(Hand.do, noting(diary, "for the old one"))
        down, up = (awaited(admin(s).ask(Pool.resize, size)) for size in (1, 2))
        await settle()
        gate.set()
        await asyncio.gather(down, up)
        assert await hand(s, 1).ask(Hand.touch, "new") == "new@1"
    assert "for the old one" not in diary.words
    assert dead_letters.reasons() == ["stopped"]
