"""Two laws of the line that actors/gate.py breaks (as of the first version)."""

from typing import Any

import pytest

from tests.supervision.calls import Calls
from upright.actors.testing import settle
from upright.supervision.bulkhead import Bulkhead

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_those_behind_a_heavy_one_that_gives_up_are_called_when_there_is_room_for_them() -> None:
    calls, bulkhead = Calls(), Bulkhead("x", running=2)
    await calls.begin("a", bulkhead, took=1e6)
    heavy = await calls.begin("heavy", bulkhead.costing(2))
    await calls.begin("light", bulkhead)
    heavy.cancel()
    await settle()
    assert list(calls.went) == ["a", "light"]


async def test_one_that_came_while_another_had_been_called_is_called_when_there_is_room_for_both() -> None:
    calls, bulkhead = Calls(), Bulkhead("x", running=2)
    gate = calls.guards.gate(bulkhead)

    class Waiter:
        weight, was_called = 1, False

        def called(self) -> None:
            self.was_called = True

    waiter = Waiter()
    async with calls.guards.guard(bulkhead), calls.guards.guard(bulkhead):
        await calls.begin("a", bulkhead, took=1e6)
    # Both have left: a is called and has not run yet, and there is one place more.
    assert gate.take(waiter) is None  # as a loop does that leaves and comes again at once
    await settle()
    assert list(calls.went) == ["a"]
    assert waiter.was_called
