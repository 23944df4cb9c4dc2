"""The laws of guards at the end of a system, and of what goes on after it."""

import asyncio
from typing import Any

import pytest

from upright.actors.testing import advance, settle
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.rate_limit import RateLimit

pytestmark = pytest.mark.anyio
ENDLESS = float("inf")
PLACES = Bulkhead("places", running=1, longest_wait=ENDLESS)
RATE = RateLimit("rate", 1, burst=1, longest_wait=ENDLESS)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.mark.parametrize("policy", [PLACES, RATE])
async def test_calls_that_wait_in_line_when_their_system_stops_are_let_through_in_their_turn(
    system: Any, policy: Any
) -> None:
    went = list[int]()
    async with system(log=None) as s:

        async def call(number: int) -> None:
            async with s.guards.guard(policy):
                await asyncio.sleep(1.0)
                went.append(number)

        tasks = [asyncio.create_task(call(number)) for number in range(4)]
        await settle()
    assert went == []
    await advance(10.0)
    assert went == [0, 1, 2, 3]
    await asyncio.gather(*tasks)
