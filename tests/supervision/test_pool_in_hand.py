"""What a pool has in hand while its size changes is waited for, and an ask never waits for itself."""

import asyncio
from typing import Any

import pytest

from tests.actors.deeds import later
from tests.actors.lives import Diary, Systems
from tests.supervision.pools import (
    BY_KEY,
    SPREADING,
    Hand,
    admin,
    busy,
    hand,
    hands,
    keys_where,
    named,
    pooled,
    touched,
)
from tests.supervision.trees import awaited
from upright.actors import ActorFailed, AskCycle
from upright.actors.testing import advance, settle
from upright.supervision import Pool
from upright.supervision.routing import slot

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_by_key_what_overlaps_in_a_worker_that_stops_itself_is_waited_for_before_its_keys_move(
    system: Systems,
) -> None:
    """It takes no message any more, and yet it has some in hand."""
    diary, gate = Diary(), asyncio.Event()
    key = keys_where(lambda key: slot(key, 2) == 0 and slot(key, 3) == 2)[0]

    async def stop_and_wait(me: Hand) -> None:
        me.ctx.stop()
        await gate.wait()

    async with pooled(system, diary, size=2, routing=BY_KEY) as s:
        beside = await later(hands(s).within(1_000).ask(Hand.beside, key, stop_and_wait))
        await admin(s).ask(Pool.resize, 3)
        asked = await later(hands(s).within(1_000).ask(Hand.touch, key))
        await hand(s, 0).tell(Hand.touch, "wakes it")
        await advance(1.0)
        assert touched(diary) == [f"{key}@0 begins"]
        gate.set()
        await asyncio.gather(*beside, *asked)
        assert touched(diary)[:3] == [f"{key}@0 begins", f"{key}@0 ends", f"{key}@2"]


@pytest.mark.parametrize("routing", SPREADING, ids=named)
async def test_an_ask_that_only_its_own_asker_is_left_to_answer_ends_as_a_circle(system: Systems, routing: Any) -> None:
    """It waited for another worker, and that one is taken away."""
    diary, gate = Diary(), asyncio.Event()
    async with pooled(system, diary, size=2, routing=routing) as s:

        async def ask_the_pool(_: Hand) -> str:
            return await hands(s).within(1_000).ask(Hand.touch, "again")

        await busy(s, 1, gate=gate)
        asked = await later(hand(s, 0).within(1_000).ask(Hand.do, ask_the_pool))
        await settle()
        resized = awaited(admin(s).ask(Pool.resize, 1))
        await settle()
        with pytest.raises(ActorFailed) as failed:
            await asyncio.gather(*asked)
        assert isinstance(failed.value.__cause__, AskCycle)
        gate.set()
        await resized
        assert (await hands(s).ask(Hand.touch, "after")) == "after@0"
