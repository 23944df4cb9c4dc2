"""The laws of ticks that were set aside: whoever takes back the timer takes back the tick."""

from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from upright.actors import Actor, Timer
from upright.actors.testing import advance

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Patient(Actor):
    """Sets all ticks aside until it is told to go."""

    def __init__(self, heard: list[str]) -> None:
        self.heard, self.is_ready = heard, False
        self.timers: list[Timer] = []

    async def started(self) -> None:
        self.timers = [self.ctx.after(1.0, Patient.tick, "cancelled"), self.ctx.after(1.0, Patient.tick, "kept")]
        self.ctx.timer("k").after(1.0, Patient.tick, "replaced")
        for number in range(20):  # the ticks of more keys than are remembered without a look
            self.ctx.timer(number).after(2.0, Patient.tick, f"key {number}")

    async def tick(self, word: str) -> None:
        if self.is_ready:
            self.heard.append(word)
        else:
            self.ctx.stash()

    async def go(self) -> tuple[bool, bool]:
        self.is_ready = True
        self.timers[0].cancel()
        self.timers[0].cancel()
        self.ctx.timer("k").after(5.0, Patient.tick, "in its place")
        cancelled = [self.ctx.timer(number).cancel() for number in range(20)]
        self.ctx.unstash_all()
        return all(cancelled), self.ctx.timer(0).cancel()


async def test_a_stashed_tick_is_not_run_when_its_timer_was_cancelled_or_replaced(system: Systems) -> None:
    heard: list[str] = []
    async with quiet(system) as s:
        ref = await s.spawn("a", Patient, heard)
        await advance(3.0)
        assert await ref.ask(Patient.go) == (True, False)
        await advance(1.0)
        assert heard == ["kept"]
        await advance(5.0)
        assert heard == ["kept", "in its place"]
