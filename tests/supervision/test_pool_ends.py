"""The laws of a pool that is restarted by its parent, or ended for good: what was queued, and what came meanwhile."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.actors.deeds import later, raised_by
from tests.actors.lives import Diary, Doer, Systems, crash, no_trace, rest, wait_for
from tests.supervision.pools import (
    BY_KEY,
    ONE_TAKER,
    ROUTINGS,
    Hand,
    admin,
    bound,
    busy,
    hand,
    hands,
    keys_of,
    named,
    noting,
    pooled,
    touched,
)
from tests.supervision.trees import Book, awaited, fell, member, top
from upright.actors import ActorGone, ActorRestarting, ActorSystem, Shutdown
from upright.actors.testing import kill, settle
from upright.supervision import Backoff, Pool, Supervisor

pytestmark = pytest.mark.anyio
LATER = Backoff(50.0, 50.0, jitter="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def state(system: ActorSystem) -> str:
    """What the pool is doing."""
    found: Any = admin(system).recipient
    return str(found.state)


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_intensity_counts_the_restarts_of_all_workers_and_the_pool_gives_up_as_one_child(
    system: Systems, routing: Any
) -> None:
    async with pooled(system, Diary(), routing=routing, max_restarts=3, size=2) as s:
        found: Any = admin(s).recipient
        for number in (0, 1, 0):
            await fell(s, hand(s, number), "crash")
        assert found.incarnation == 1
        await fell(s, hand(s, 1), "crash")
        assert found.incarnation == 2
        assert isinstance(found.exit, Shutdown)
        assert found.exit.gave_up
        assert "1 failed after 3 restarts within 5 s" in found.exit.why
        assert admin(s).recipient is found
        assert await admin(s).ask(Pool.size) == 2
        assert (await hands(s).ask(Hand.touch, "k")).startswith("k@")


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_what_was_queued_and_what_came_meanwhile_is_handled_after_the_pools_restart_in_order(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    diary, gate, slow = Diary(), asyncio.Event(), asyncio.Event()
    keys = [*keys_of(0, 2, 3), *keys_of(1, 2, 3)]

    async def started(me: Hand) -> None:
        if me.life > 2:
            await slow.wait()

    async with pooled(system, diary, plans={"started": started}, routing=routing, max_restarts=0) as s:
        await busy(s, 0, 1, gate=gate, then=crash)
        queued = await later(*(hands(s).ask(Hand.touch, key) for key in keys))
        gate.set()
        await settle()
        assert state(s) == "restarting"
        came = await later(*(hands(s).ask(Hand.touch, key) for key in keys))
        assert hands(s).try_tell(Hand.touch, keys[0])
        assert not any(task.done() for task in [*queued, *came])
        slow.set()
        said = await asyncio.gather(*queued, *came)
        await settle()
    assert Counter(word.split("@")[0] for word in touched(diary)) == Counter([*keys, *keys, keys[0]])
    assert set(dead_letters.reasons()) == {"crashed"}
    if routing is BY_KEY:
        assert said == [f"{key}@{number}" for _ in range(2) for number in (0, 1) for key in keys_of(number, 2, 3)]


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_a_pool_that_ended_for_good_makes_one_dead_letter_of_each_thing_left(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    diary, gates = Diary(), (asyncio.Event(), asyncio.Event())
    async with pooled(system, diary, bound(2), routing=routing) as s:
        watching = awaited(hands(s).ended())
        for number in (0, 1):
            await busy(s, number, gate=gates[number])
        sent = await later(*(hands(s).ask(Hand.touch, f"k{number}") for number in range(8)))
        assert not any(task.done() for task in sent)
        ending = awaited(top(s).ask(Supervisor.terminate_child, "pool"))
        await settle()
        sent += await later(hands(s).ask(Hand.touch, "late"))
        for gate in reversed(gates):
            gate.set()
            await settle()
        await ending
        for task in sent:
            error = task.exception()
            assert isinstance(error, ActorGone)
            assert not error.handled
        assert isinstance(await watching, Shutdown)
        await settle()
    copies = 2 if routing == "broadcast" else 1
    wanted = Counter({f"k{number}": copies for number in range(8)})
    found = Counter(letter.message.args[0] for letter in dead_letters.all if letter.message.args[0] != "late")
    assert found == wanted
    assert [letter.message.args[0] for letter in dead_letters.all].count("late") == 1
    assert touched(diary) == []
    assert no_trace()


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_fail_fast_asks_do_not_wait_through_the_restart_of_the_pool(system: Systems, routing: Any) -> None:
    diary, gate, slow = Diary(), asyncio.Event(), asyncio.Event()
    plans = {"started": [rest, rest, wait_for(slow)]}
    async with pooled(system, diary, bound(1), plans=plans, routing=routing, max_restarts=0) as s:
        await busy(s, 0, 1, gate=gate, then=crash)
        keys = [keys_of(number, 2, 2) for number in (0, 1)]
        asked = await later(*(hands(s).fail_fast().ask(Hand.touch, key) for pair in keys for key in pair))
        gate.set()
        await settle()
        assert state(s) == "restarting"
        assert isinstance(await raised_by(hands(s).fail_fast().ask(Hand.touch, "k")), ActorRestarting)
        assert [isinstance(await raised_by(task), ActorRestarting) for task in asked] == [True] * 4
        slow.set()


async def test_a_killed_pool_comes_back_with_what_waited(system: Systems, dead_letters: Any) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary) as s:
        await busy(s, 0, 1, gate=gate)
        asked = await later(*(hands(s).ask(Hand.touch, f"k{number}") for number in range(5)))
        await kill(s, admin(s))
        assert sorted(word.split("@")[0] for word in await asyncio.gather(*asked)) == [f"k{n}" for n in range(5)]
        await settle()
    assert dead_letters.reasons() == ["killed", "killed"]


async def test_order_per_key_is_kept_for_those_who_wait_for_room_while_the_pool_ends(system: Systems) -> None:
    """The first is held by the pool, the second waits in the line, and the worker of the key ends meanwhile."""
    diary, gates = Diary(), (asyncio.Event(), asyncio.Event())
    key, filler = keys_of(0, 2, 2)
    async with pooled(system, diary, bound(1), routing=BY_KEY, max_restarts=0) as s:
        for number in (0, 1):
            await busy(s, number, gate=gates[number], then=rest)
        await end_by_hand(s)
        for word in (filler, key):
            assert hands(s).try_tell(Hand.work, word, noting(diary, "held"))
        (sender,) = await later(hands(s).tell(Hand.work, key, noting(diary, "came later")))
        for gate in reversed(gates):
            gate.set()
            await settle()
        await sender
        await settle()
        assert state(s) == "running"
    assert [word for word in diary.words if word in ("held", "came later")] == ["held", "held", "came later"]


async def end_by_hand(system: ActorSystem) -> None:
    """Ask the pool to end, so that it comes back when its workers have done what they have in hand."""
    _ = awaited(system.end(admin(system)))
    await settle()
    assert state(system) == "stopping"


async def test_a_broadcast_that_waits_while_the_workers_start_reaches_them_all(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()

    async def started(me: Hand) -> None:
        if me.life == 4:
            await gate.wait()

    async with pooled(system, diary, bound(1), plans={"started": started}, routing="broadcast", max_restarts=0) as s:
        await fell(s, hand(s, 0), "crash")
        assert state(s) == "restarting"
        for word in ("one", "two"):
            assert hands(s).try_tell(Hand.touch, word)
        (sender,) = await later(hands(s).tell(Hand.touch, "three"))
        gate.set()
        await sender
        await settle()
    assert sorted(touched(diary)) == sorted(f"{word}@{number}" for word in ("one", "two", "three") for number in (0, 1))


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
async def test_who_waited_for_room_when_the_pool_ended_is_served_before_those_who_came_later(
    system: Systems, routing: Any
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, bound(1), routing=routing, size=1) as s:
        await busy(s, 0, gate=gate)
        assert hand(s, 0).try_tell(Hand.touch, "full")
        (sender,) = await later(hands(s).tell(Hand.work, "k", noting(diary, "waited")))
        await end_by_hand(s)
        assert hands(s).try_tell(Hand.work, "k", noting(diary, "came later"))
        gate.set()
        await sender
        await settle()
    assert [word for word in diary.words if word in ("waited", "came later")] == ["waited", "came later"]


async def test_a_message_handed_on_to_a_full_pool_is_the_pools_also_if_its_forwarder_dies_then(
    system: Systems, dead_letters: Any
) -> None:
    """Killed in the same instant in which it got in: it must not be handled there and be a dead letter here too."""
    diary, gate = Diary(), asyncio.Event()

    async def forward(me: Doer) -> None:
        await me.ctx.forward(me.ctx.ref("pool", Hand), Hand.touch, "handed on")

    async with pooled(system, diary, bound(1), size=1, before=[Book().child("forwarder")]) as s:
        forwarder = member(s, "forwarder")

        async def kill_it(_: Hand) -> None:
            await kill(s, forwarder)

        await busy(s, 0, gate=gate)
        assert hands(s).try_tell(Hand.work, "kills", kill_it)
        assert forwarder.try_tell(Doer.do, forward)
        await settle()
        gate.set()
        await settle()
    assert [word for word in touched(diary) if word.startswith("handed")] == ["handed on@0"]
    assert dead_letters.all == []


async def test_order_per_key_is_kept_when_a_restart_brings_back_the_worker_whose_keys_another_had_taken_over(
    system: Systems,
) -> None:
    diary, gate, slow = Diary(), asyncio.Event(), asyncio.Event()
    zero, one = keys_of(0, 2)[0], keys_of(1, 2)[0]
    async with pooled(system, diary, routing=BY_KEY, worker={"restart": "temporary"}) as s:
        await fell(s, hand(s, 0), "crash")
        await busy(s, 1, gate=gate)
        assert hands(s).try_tell(Hand.work, one, wait_for(slow))
        assert hands(s).try_tell(Hand.work, zero, noting(diary, "first"))
        await end_by_hand(s)
        assert hands(s).try_tell(Hand.work, zero, noting(diary, "second"))
        gate.set()
        await settle()
        slow.set()
        await settle()
    assert [word for word in diary.words if word in ("first", "second")] == ["first", "second"]
