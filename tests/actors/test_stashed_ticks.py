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


class Handing(Actor):
    """Hands its ticks on, or sets them aside and takes their timer back at once."""

    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    async def start(self, handler: Any, *keys: int) -> None:
        for key in keys:
            self.ctx.timer(key).after(1.0, handler, key)

    async def hand_on(self, key: int) -> None:
        await self.ctx.forward(self.ctx.ref("/b", Patient), Patient.tick, f"of {key}")
        self.heard.append(self.ctx.timer(key).cancel())

    async def set_aside(self, key: int) -> None:
        self.ctx.stash()
        self.heard.append(self.ctx.timer(key).cancel())

    async def cancels(self, key: int) -> bool:
        return self.ctx.timer(key).cancel()

    async def kept(self) -> int:
        host: Any = self.ctx._host
        return len(host.timers._ticks)


async def test_a_tick_that_was_handed_on_is_none_to_take_back_and_is_not_kept(system: Systems) -> None:
    heard: list[Any] = []
    async with quiet(system) as s:
        a, b = await s.spawn("a", Handing, heard), await s.spawn("b", Patient, heard)
        await b.ask(Patient.go)
        await a.tell(Handing.start, Handing.hand_on, *range(200))
        await advance(2.0)
        assert heard.count(False) == 200, "it is in other hands"
        assert not await a.ask(Handing.cancels, 7)
        assert await a.ask(Handing.kept) < 50


async def test_a_handler_may_take_back_the_tick_that_it_has_just_set_aside(system: Systems) -> None:
    heard: list[Any] = []
    async with quiet(system) as s:
        a = await s.spawn("a", Handing, heard)
        await a.tell(Handing.start, Handing.set_aside, 1)
        await advance(2.0)
        assert heard == [True]
        assert await a.ask(Handing.kept) == 0
