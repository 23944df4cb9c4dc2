"""The laws of a test's single steps: killing an actor, and letting everything come to rest."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from upright.actors import Actor, ActorGone, ActorSystem, Crashed, Exit, Killed
from upright.actors.events import ActorRestarted, ActorStopped
from upright.actors.testing import Recorder, VirtualTimeLoop, kill, settle

pytestmark = pytest.mark.anyio

Systems = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


class Sleeper(Actor):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def sleep(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            self.log.append("slept")
        finally:
            self.log.append("left")

    async def spawn(self) -> None:
        await self.ctx.spawn("child", Sleeper, self.log)

    async def count(self) -> int:
        return len(self.log)


class Tidy(Sleeper):
    async def stopping(self, reason: Exit) -> None:
        self.log.append("stopping")


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_kill_ends_the_handler_in_hand_at_once_and_calls_no_stopping(system: Systems) -> None:
    log: list[str] = []
    async with system(log=None) as s:
        sleeper = await s.spawn("sleeper", Tidy, log)
        asking = asyncio.create_task(sleeper.within(100).ask(Tidy.sleep, 60.0))
        await settle()
        await kill(s, sleeper)
        assert (log, now()) == (["left"], 0)
        with pytest.raises(ActorGone) as gone:
            await asking
        assert gone.value.handled


async def test_kill_returns_when_that_incarnation_has_ended_and_does_not_wait_for_the_next(system: Systems) -> None:
    class Slow(Sleeper):
        async def started(self) -> None:
            await asyncio.sleep(1)

    async with system(log=None) as s:
        with Recorder(s) as recorder:
            slow = await s.spawn("slow", Slow, [])
            await kill(s, slow)
            assert (now(), recorder.of(ActorRestarted)) == (1, [])
            assert (await recorder.wait_for(ActorRestarted, "/slow")).incarnation == 2
            assert now() == 2


async def test_a_killed_child_of_an_ordinary_actor_is_buried_with_the_reason_killed(system: Systems) -> None:
    async with system(log=None) as s:
        with Recorder(s) as recorder:
            parent = await s.spawn("parent", Sleeper, [])
            await parent.ask(Sleeper.spawn)
            await kill(s, s.ref("/parent/child", Sleeper))
            stopped = await recorder.wait_for(ActorStopped, "/parent/child")
            assert isinstance(stopped.exit, Killed)
            assert await parent.ask(Sleeper.count) == 0


async def test_killing_nobody_does_nothing(system: Systems) -> None:
    async with system(log=None) as s:
        with Recorder(s) as recorder:
            await kill(s, s.ref("/nobody", Sleeper))
            await settle()
            assert recorder.events == []


async def test_settle_lets_all_run_that_can_run_and_no_time_pass(system: Systems) -> None:
    log: list[str] = []
    async with system(log=None) as s:
        sleeper = await s.spawn("sleeper", Sleeper, log)
        await sleeper.tell(Sleeper.sleep, 0.0)
        await sleeper.tell(Sleeper.sleep, 1.0)
        await settle()
        assert (log, now()) == (["slept", "left"], 0)
        await asyncio.sleep(1)
        await settle()
        assert (log, now()) == (["slept", "left"] * 2, 1)


async def test_settle_waits_for_the_work_of_threads(system: Systems) -> None:
    class Reader(Actor):
        async def read(self, log: list[str]) -> None:
            await asyncio.to_thread(time.sleep, 0.01)
            log.append("read")

    log: list[str] = []
    async with system(log=None) as s:
        reader = await s.spawn("reader", Reader)
        await reader.tell(Reader.read, log)
        await settle()
        assert log == ["read"]


async def test_a_crash_has_been_healed_when_everything_has_settled(system: Systems) -> None:
    class Fragile(Actor):
        async def fail(self) -> None:
            raise ValueError("no")

    async with system(log=None) as s:
        with Recorder(s) as recorder:
            fragile = await s.spawn("fragile", Fragile)
            await fragile.tell(Fragile.fail)
            await settle()
            assert [event.incarnation for event in recorder.of(ActorRestarted, "/fragile")] == [2]
            assert isinstance(recorder.letters[0].error, ValueError)
            assert not any(isinstance(event.exit, Crashed) for event in recorder.of(ActorStopped))


def test_settle_needs_a_loop_whose_time_is_virtual() -> None:
    with pytest.raises(RuntimeError, match=f"expected the running loop to be a {VirtualTimeLoop.__name__}"):
        asyncio.run(settle())
