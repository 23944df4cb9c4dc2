"""Asks that would wait for themselves through a pool are found at once, and none that would not."""

import asyncio
from typing import Any

import pytest

from tests.actors.deeds import later, raised_by
from tests.actors.lives import Deed, Diary, Doer, Systems
from tests.supervision.pools import BY_KEY, SPREADING, Hand, hand, hands, keys_of, named, pooled
from tests.supervision.trees import now
from upright.actors import ActorFailed, ActorSystem, AskCycle, Ref

pytestmark = pytest.mark.anyio

ALL = (*SPREADING, BY_KEY)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def after(gate: asyncio.Event, ref: Ref[Doer]) -> Deed:
    """Hold the worker until the gate opens, and ask that actor then."""

    async def deed(_: Any) -> Any:
        await gate.wait()
        return await ref.within(60).ask(Doer.note, "asked back")

    return deed


def circle_of(error: BaseException) -> AskCycle:
    assert isinstance(error, ActorFailed)
    assert isinstance(error.__cause__, AskCycle)
    return error.__cause__


async def outside(s: ActorSystem, *names: str) -> list[Ref[Doer]]:
    return [(await s.spawn(name, Doer, Diary())).within(60) for name in names]


@pytest.mark.parametrize("routing", ALL, ids=named)
@pytest.mark.parametrize("parallel", [False, True])
async def test_a_circle_through_a_worker_that_was_asked_among_others_is_found_at_once(
    system: Systems, routing: Any, parallel: bool
) -> None:
    gate, end = asyncio.Event(), asyncio.Event()
    async with pooled(system, Diary(), size=1, routing=routing) as s:
        a, b = await outside(s, "a", "b")

        async def ask_pool(_: Any) -> Any:
            asked = hands(s).within(60).ask(Hand.touch, "k")
            if not parallel:
                return await asked
            return (await asyncio.gather(asked, b.ask(Doer.do, lambda _: end.wait())))[0]

        busy, asking = await later(
            hand(s, 0).within(60).ask(Hand.work, "busy", after(gate, a)), a.ask(Doer.do, ask_pool)
        )
        gate.set()
        assert circle_of(await raised_by(busy)).chain == ("/top/pool/0", "/a", "/top/pool/0")
        end.set()
        assert await asking == "k@0"
        assert now() == 0.0


@pytest.mark.parametrize("routing", ALL, ids=named)
async def test_a_circle_through_an_ask_that_was_handed_on_to_a_pool_is_found_at_once(
    system: Systems, routing: Any
) -> None:
    gate = asyncio.Event()
    async with pooled(system, Diary(), size=1, routing=routing) as s:
        a, b = await outside(s, "a", "b")

        async def hand_on(me: Doer) -> Any:
            return await me.ctx.forward(hands(s), Hand.touch, "k")

        busy, asking = await later(
            hand(s, 0).within(60).ask(Hand.work, "busy", after(gate, a)),
            a.ask(Doer.do, lambda _: b.ask(Doer.do, hand_on)),
        )
        gate.set()
        circle_of(await raised_by(busy))
        assert await asking == "k@0"
        assert now() == 0.0


@pytest.mark.parametrize("routing", ALL, ids=named)
async def test_a_worker_that_hands_an_ask_on_is_no_part_of_a_circle_any_more(system: Systems, routing: Any) -> None:
    gate = asyncio.Event()
    async with pooled(system, Diary(), size=1, routing=routing) as s:
        a, b = await outside(s, "a", "b")

        async def hold(me: Doer) -> str:
            await gate.wait()
            return await me.note("of b")

        async def hand_on(me: Any) -> Any:
            return await me.ctx.forward(b, Doer.do, hold)

        async def ask_a(_: Any) -> None:
            assert await a.ask(Doer.note, "of a") == "of a"

        first, second = await later(
            a.ask(Doer.do, lambda _: hand(s, 0).within(60).ask(Hand.do, hand_on)),
            hands(s).within(60).ask(Hand.work, "k", ask_a),
        )
        gate.set()
        assert await first == "of b"
        assert await second == "0"
        assert now() == 0.0


@pytest.mark.parametrize("routing", ALL, ids=named)
async def test_an_ask_that_another_worker_answers_is_no_circle(system: Systems, routing: Any) -> None:
    """A waits for worker 1; worker 0 may ask A meanwhile, and is answered after it."""
    gate, slow = asyncio.Event(), asyncio.Event()
    key = keys_of(1, 2)[0]
    async with pooled(system, Diary(), size=2, routing=routing) as s:
        (a,) = await outside(s, "a")
        (busy,) = await later(hand(s, 0).within(60).ask(Hand.work, "busy", after(gate, a)))

        async def hold(_: Any) -> None:
            await slow.wait()

        # The first turn of "round_robin" is that of worker 0.
        first = await later(hands(s).within(60).ask(Hand.touch, key)) if routing == "round_robin" else []
        (asking,) = await later(a.ask(Doer.do, lambda _: hands(s).within(60).ask(Hand.work, key, hold)))
        gate.set()
        slow.set()
        assert await asking == "1"
        assert await busy == "0"
        assert await asyncio.gather(*first) == [f"{key}@0"] * len(first)
