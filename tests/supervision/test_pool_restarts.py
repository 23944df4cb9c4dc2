"""The laws of a pool whose workers end: one that comes back, one that has ended for good, all of them."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.actors.deeds import later, raised_by
from tests.actors.lives import Diary, Systems, crash, rest, stop, wait_for
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
from tests.supervision.trees import awaited, fell
from upright.actors import ActorFailed, ActorGone, ActorRestarting, ActorSystem, Ignore
from upright.actors.testing import advance, settle
from upright.supervision import Backoff, Pool
from upright.supervision.routing import nearest, slot

pytestmark = pytest.mark.anyio
LATER = Backoff(50.0, 50.0, jitter="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def refs(system: ActorSystem) -> list[Any]:
    return [hand(system, number).recipient for number in (0, 1)]


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_a_crash_restarts_that_worker_alone_and_its_mail_stays(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, routing=routing) as s:
        before = refs(s)
        await busy(s, 0, gate=gate, then=crash)
        key = keys_of(0, 2)[0]
        assert hand(s, 0).try_tell(Hand.touch, "direct")
        asked = awaited(hands(s).ask(Hand.touch, key))
        await settle()
        gate.set()
        assert (await asked).startswith(key)
        await settle()
        assert refs(s) == before
        assert [ref.incarnation for ref in refs(s)] == [2, 1]
        assert await admin(s).ask(Pool.workers) == [hand(s, 0), hand(s, 1)]
    assert "direct@0" in diary.words
    assert [(letter.recipient, letter.reason) for letter in dead_letters.all] == [("/top/pool/0", "crashed")]


async def test_an_ask_in_hand_fails_with_the_crash_of_its_worker(system: Systems) -> None:
    async with pooled(system, Diary()) as s:
        error = await raised_by(hands(s).ask(Hand.work, "k", crash))
        assert isinstance(error, ActorFailed)
        assert (error.path, error.handled) == ("/top/pool/0", True)


async def test_order_per_key_is_kept_across_a_crash_and_through_its_delay(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    key = keys_of(1, 2)[0]
    async with pooled(system, diary, routing=BY_KEY, worker={"backoff": LATER}) as s:
        await busy(s, 1, gate=gate, then=crash)
        numbers = range(6)
        for number in numbers[:3]:
            await hands(s).tell(Hand.work, key, noting(diary, f"{number}"))
        gate.set()
        await settle()
        for number in numbers[3:]:
            await hands(s).tell(Hand.work, key, noting(diary, f"{number}"))
        await advance(100.0)
    assert [word for word in diary.words if word.isdigit()] == [str(number) for number in numbers]
    assert touched(diary) == [f"{key}@1 {verb}" for _ in numbers for verb in ("begins", "ends")]


@pytest.mark.parametrize("routing", ONE_TAKER, ids=named)
@pytest.mark.parametrize(
    ("restart", "deed"),
    [
        pytest.param("temporary", crash, id="a temporary one crashes"),
        pytest.param("transient", stop, id="a transient one stops"),
        pytest.param("permanent", crash, id="one declines to come back"),
    ],
)
async def test_what_a_worker_leaves_when_it_has_ended_for_good_goes_to_the_others(
    system: Systems, dead_letters: Any, routing: Any, restart: Any, deed: Any
) -> None:
    diary, gate, begun = Diary(), asyncio.Event(), set[str]()

    async def started(me: Hand) -> None:
        if restart == "permanent" and me.number == "0" and me.number in begun:
            raise Ignore
        begun.add(me.number)

    plans: Any = {"started": started}
    keys = keys_of(0, 2, 3)
    async with pooled(system, diary, plans=plans, routing=routing, worker={"restart": restart}) as s:
        await busy(s, 0, gate=gate, then=deed)
        await busy(s, 1, gate=gate)
        sent = await later(*(hands(s).ask(Hand.touch, key) for key in keys))
        assert hand(s, 0).try_tell(Hand.touch, "direct")
        gate.set()
        assert await asyncio.gather(*sent) == [f"{key}@1" for key in keys]
        await settle()
        assert await admin(s).ask(Pool.workers) == [hand(s, 1)]
        assert await admin(s).ask(Pool.size) == 2
    handled = [word.split("@")[0] for word in touched(diary)]
    assert (handled if routing is BY_KEY else sorted(handled)) == keys
    assert Counter(dead_letters.reasons()) == Counter(["stopped", *["crashed"] * (deed is crash)])
    stopped = [letter.message.args for letter in dead_letters.all if letter.reason == "stopped"]
    assert stopped == [("direct",)]


@pytest.mark.parametrize("routing", SPREADING)
async def test_senders_who_wait_for_any_worker_wait_on_when_one_has_ended_and_those_for_it_alone_do_not(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    diary, gates = Diary(), (asyncio.Event(), asyncio.Event())
    async with pooled(system, diary, bound(1), routing=routing, worker={"restart": "temporary"}) as s:
        for number in (0, 1):
            await busy(s, number, gate=gates[number], then=(crash, rest)[number])
            assert hand(s, number).try_tell(Hand.touch, f"full{number}")
        senders = await later(hands(s).tell(Hand.touch, "any"), hand(s, 0).tell(Hand.touch, "direct"))
        gates[0].set()
        await settle()
        assert [task.done() for task in senders] == [False, True]
        gates[1].set()
        await asyncio.gather(*senders)
        await settle()
    assert touched(diary) == ["full1@1", "any@1"]
    left = [(letter.message.args[0], letter.reason) for letter in dead_letters.all]
    assert left[1:] == [("full0", "stopped"), ("direct", "stopped")]


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
async def test_without_any_worker_left_messages_are_dead_letters_and_asks_end_at_once(
    system: Systems, dead_letters: Any, routing: Any
) -> None:
    async with pooled(system, Diary(), routing=routing, worker={"restart": "temporary"}) as s:
        for number in (0, 1):
            await fell(s, hand(s, number), "crash")
        await hands(s).tell(Hand.touch, "told")
        error = await raised_by(hands(s).ask(Hand.touch, "asked"))
        assert isinstance(error, ActorGone)
        assert not error.handled
        assert "no worker" in str(error)
        assert await admin(s).ask(Pool.workers) == []
        assert await admin(s).ask(Pool.worker_of, "k") is None
    letters = [(letter.message.args[0], letter.reason) for letter in dead_letters.all[2:]]
    assert letters == [("told", "no_worker"), ("asked", "no_worker")]


async def test_keys_of_a_worker_that_has_ended_stay_together_when_another_one_ends(system: Systems) -> None:
    """Of three workers left, one has the key in hand; that another ends must not let a second one begin with it."""
    diary, gate = Diary(), asyncio.Event()

    def shifts(key: str) -> bool:
        return slot(key, 4) == 3 and nearest(key, "012") == "1"

    key = keys_where(shifts)[0]
    async with pooled(system, diary, size=4, routing=BY_KEY, worker={"restart": "temporary"}) as s:
        await fell(s, hand(s, 3), "crash")
        await hands(s).tell(Hand.work, key, wait_for(gate))
        await settle()
        await fell(s, hand(s, 0), "crash")
        await hands(s).tell(Hand.touch, key)
        await settle()
        assert touched(diary) == [f"{key}@1 begins"]
        gate.set()
        await settle()
    assert len(touched(diary)) == 3


async def test_fail_fast_asks_that_wait_for_a_worker_end_when_it_crashes_also_those_in_the_line(
    system: Systems,
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, bound(1), routing=BY_KEY, worker={"backoff": LATER}) as s:
        queued, in_line, late = keys_of(0, 2, 3)
        await busy(s, 0, gate=gate, then=crash)
        asked = await later(*(hands(s).fail_fast().ask(Hand.touch, key) for key in (queued, in_line)))
        patient = await later(hands(s).within(1_000).ask(Hand.touch, late))
        gate.set()
        await settle()
        assert isinstance(await raised_by(hands(s).fail_fast().ask(Hand.touch, late)), ActorRestarting)
        assert [isinstance(await raised_by(task), ActorRestarting) for task in asked] == [True, True]
        assert await patient[0] == f"{late}@0"
