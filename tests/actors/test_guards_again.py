"""The laws of guards that are used again: in one task, on another loop, after many others."""

import asyncio
from typing import Any

import pytest

from upright.actors.guards import Guards
from upright.actors.testing import VirtualTimeLoop
from upright.supervision.backoff import Backoff
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.circuit_breaker import CircuitBreaker

pytestmark = pytest.mark.anyio
SMTP = CircuitBreaker("smtp", minimum_calls=1, wait=Backoff(1.0, 1.0, jitter="none"), permits=1)
ONE = Bulkhead("one", running=1)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def opened(guards: Guards) -> None:
    with pytest.raises(OSError, match="down"):
        async with guards.guard(SMTP):
            raise OSError("down")


async def test_a_block_may_be_entered_again_and_gives_back_each_time() -> None:
    guards = Guards()
    block = guards.guard(ONE)
    for _ in range(3):
        async with block:
            assert guards.gate(ONE).room() == 0
        assert guards.gate(ONE).room() == 1


def test_guards_go_by_the_clock_of_whatever_loop_they_are_used_on() -> None:
    guards = Guards()
    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(opened(guards))
            assert SMTP.on(guards).state == "open"

            async def tried() -> None:
                await asyncio.sleep(1.0)
                async with guards.guard(SMTP):
                    pass

            runner.run(tried())
            assert SMTP.on(guards).state == "closed"


async def test_a_sweep_forgets_no_gate_that_was_asked_for_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upright.actors.guards.KEPT", 2)
    guards = Guards()
    guards._swept = 2  # pyright: ignore[reportPrivateUsage]  # so that a few keys are enough
    seen = [guards.gate(ONE.of(f"tenant-{number}")) for number in range(5)]
    assert guards.gate(ONE.of("tenant-4")) is seen[4]
    async with guards.guard(ONE.of("tenant-4")):
        assert guards.gate(ONE.of("tenant-4")).room() == 0
