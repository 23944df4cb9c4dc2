"""The laws of the watchdog, on the real loop: it reports who holds the loop up, once, and nobody else."""

import asyncio
import functools
import threading
import time
from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Starter, Systems, hang, quiet, rest, sleep, wait_for
from upright.actors import ActorSystem
from upright.actors.events import LoopBlocked
from upright.actors.testing import Recorder, VirtualDeadlock, VirtualTimeLoop

pytestmark = pytest.mark.anyio

LIMIT = 0.1
PATIENT = 0.5
"""For tests that expect no report: a busy machine may hold up a loop for a tenth of a second."""


async def block(_: Any) -> None:
    """Hold the loop up for well over the limit."""
    time.sleep(LIMIT * 6)


def watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "upright watchdog"]


async def test_a_handler_that_blocks_the_loop_is_reported_once_with_its_actor_and_its_stack(
    system: Systems, recorders: list[Recorder]
) -> None:
    async with system(log=None, blocked_after=LIMIT) as s:
        ref = await s.spawn("a", Doer)
        await ref.ask(Doer.do, block)
        (blocked,) = recorders[0].of(LoopBlocked, "/a")
    assert (blocked.path, blocked.handler) == ("/a", "do")
    assert blocked.blocked_s >= LIMIT
    assert "in block" in blocked.stack
    assert "time.sleep" in blocked.stack


async def test_each_time_the_loop_is_held_up_is_reported(system: Systems, recorders: list[Recorder]) -> None:
    async with system(log=None, blocked_after=LIMIT) as s:
        ref = await s.spawn("a", Doer)
        for _ in range(2):
            await ref.ask(Doer.do, block)
            await ref.ask(Doer.do, sleep(LIMIT * 3))
        assert len(recorders[0].of(LoopBlocked, "/a")) == 2


async def test_the_report_comes_while_the_loop_is_still_blocked(system: Systems, recorders: list[Recorder]) -> None:
    seen = threading.Event()

    async def block_until_seen(_: Any) -> bool:
        return seen.wait(timeout=30)

    async with system(log=None, blocked_after=LIMIT) as s:
        s.subscribe(lambda _: seen.set(), LoopBlocked)
        ref = await s.spawn("a", Doer)
        assert await ref.within(60).ask(Doer.do, block_until_seen)


async def test_a_start_that_blocks_the_loop_is_reported_too(system: Systems, recorders: list[Recorder]) -> None:
    async with system(log=None, blocked_after=LIMIT) as s:
        await s.spawn("a", Starter, None, started=block)
        (blocked,) = recorders[0].of(LoopBlocked, "/a")
    assert (blocked.path, blocked.handler) == ("/a", "started")


async def test_handlers_that_wait_and_systems_at_rest_are_never_reported(
    system: Systems, recorders: list[Recorder]
) -> None:
    gate = asyncio.Event()
    async with system(log=None, blocked_after=PATIENT) as s:
        await s.spawn("idle", Doer)
        ref = await s.spawn("a", Doer)
        asked = asyncio.create_task(ref.ask(Doer.do, wait_for(gate)))
        await asyncio.to_thread(time.sleep, PATIENT * 2)
        gate.set()
        await asked
        await asyncio.to_thread(time.sleep, PATIENT * 2)
        assert recorders[0].of(LoopBlocked) == []


async def test_an_actor_that_is_flooded_but_lets_the_loop_turn_is_not_reported(
    system: Systems, recorders: list[Recorder]
) -> None:
    async with system(log=None, blocked_after=PATIENT) as s:
        ref = await s.spawn("a", Doer, Diary())
        ends = asyncio.get_running_loop().time() + PATIENT * 2
        while asyncio.get_running_loop().time() < ends:
            await ref.tell(Doer.do, rest)
            await asyncio.sleep(0)
        assert recorders[0].of(LoopBlocked) == []


@pytest.mark.parametrize("blocked_after", [LIMIT, None])
async def test_its_thread_lives_exactly_as_long_as_the_system_and_not_at_all_where_it_is_switched_off(
    system: Systems, blocked_after: float | None
) -> None:
    before = len(watchdogs())
    async with system(log=None, blocked_after=blocked_after):
        assert len(watchdogs()) == before + (blocked_after is not None)
    assert len(watchdogs()) == before


async def test_two_systems_on_one_loop_each_name_the_actor_of_their_own(
    system: Systems, recorders: list[Recorder]
) -> None:
    async with system(log=None, blocked_after=LIMIT) as one, quiet(system) as two:
        ref = await one.spawn("a", Doer)
        await two.spawn("b", Doer)
        await ref.ask(Doer.do, block)
        assert [event.path for event in recorders[0].of(LoopBlocked)] == ["/a"]
        assert recorders[1].of(LoopBlocked) == []


def test_a_loop_that_was_closed_without_a_stop_ends_the_thread() -> None:
    before = len(watchdogs())

    async def main() -> None:
        system = await ActorSystem(log=None, blocked_after=LIMIT).start()
        ref = await system.spawn("a", Doer)
        await ref.tell(Doer.do, hang)
        await asyncio.sleep(0)

    asyncio.run(main())
    for thread in watchdogs()[before:]:
        thread.join(timeout=5)
    assert len(watchdogs()) == before


def test_it_does_not_hide_from_virtual_time_that_nothing_can_wake_the_loop() -> None:
    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        rescue = threading.Timer(5.0, lambda: loop.call_soon_threadsafe(task.cancel))
        rescue.start()
        try:
            async with ActorSystem(log=None, blocked_after=LIMIT) as system:
                ref = await system.spawn("a", Doer)
                await ref.tell(Doer.do, hang)
                await system.idle()
        finally:
            rescue.cancel()

    factory = functools.partial(VirtualTimeLoop, deadlock_after=LIMIT * 5)
    with pytest.raises(VirtualDeadlock), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
