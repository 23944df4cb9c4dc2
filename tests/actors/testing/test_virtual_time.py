"""The laws of the virtual clock: when it jumps, and what it says when nothing can come."""

import asyncio
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.testing.clock import loop, run
from upright.actors import Actor, ActorSystem
from upright.actors.testing.virtual_time import VirtualDeadlock, VirtualTimeLoop, advance, hold_time

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


class TestJumps:
    @pytest.mark.parametrize("debug", [False, True])
    def test_an_hour_of_sleep_passes_at_once_and_to_the_second(self, debug: bool) -> None:
        async def main() -> None:
            loop().call_later(5, pytest.fail, "it was cancelled").cancel()
            await asyncio.sleep(3600)
            assert loop().time() == 3600

        run(main(), debug=debug)

    async def test_timers_run_by_instant_and_within_one_instant_in_the_order_they_were_set(self) -> None:
        ran: list[tuple[float, int]] = []
        for turn in range(60):
            when = float(turn % 3 + 1)
            loop().call_at(when, ran.append, (when, turn))
        await asyncio.sleep(10)
        assert len(ran) == 60
        assert ran == sorted(ran)

    async def test_time_outs_fire_at_their_instant_and_spare_what_ends_before_it(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        assert loop().time() == 30
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 12)
        assert loop().time() == 42
        assert await asyncio.wait_for(asyncio.sleep(5, "in time"), 6) == "in time"
        assert loop().time() == 47

    @given(st.lists(st.floats(0, 1e15), min_size=1, max_size=8))
    async def test_every_jump_lands_exactly_on_its_timer(self, delays: list[float]) -> None:
        for delay in delays:
            due = loop().time() + delay
            await asyncio.sleep(delay)
            assert loop().time() == due

    @pytest.mark.parametrize("start", [1e9, 3e15])
    async def test_timers_a_moment_apart_stay_apart_at_big_times(self, start: float) -> None:
        await advance(start)
        seen: list[float] = []
        dues = [start, math.nextafter(start, math.inf), start + 1]
        for due in reversed(dues):
            loop().call_at(due, lambda: seen.append(loop().time()))
        await asyncio.sleep(2)
        assert seen == dues

    def test_a_timer_at_infinity_never_comes(self) -> None:
        with pytest.raises(VirtualDeadlock):
            run(asyncio.sleep(math.inf))

    async def test_on_another_loop_of_the_process_time_is_real_and_hold_time_does_nothing(self) -> None:
        async def real() -> float:
            began = time.monotonic()
            with hold_time():
                await asyncio.sleep(0.02)
            return time.monotonic() - began

        assert await asyncio.to_thread(asyncio.run, real()) > 0.015


class TestDeadlock:
    def test_a_loop_that_nothing_can_wake_raises_and_names_who_waits(self) -> None:
        async def main() -> None:
            await asyncio.sleep(9)
            await asyncio.create_task(asyncio.Event().wait(), name="customer")

        with pytest.raises(VirtualDeadlock, match=r"time 9\.0: .*Task-\d+ in .*main, customer in Event\.wait$"):
            run(main())

    @pytest.mark.parametrize("patience", [60.0, None])
    def test_a_thread_that_wakes_the_loop_within_the_patience_is_no_deadlock(self, patience: float | None) -> None:
        async def main() -> None:
            done = asyncio.Event()
            threading.Timer(0.05, loop().call_soon_threadsafe, [done.set]).start()
            await done.wait()

        run(main(), deadlock_after=patience)

    def test_a_handler_that_waits_for_ever_is_a_deadlock_although_the_watchdog_looks_in(self) -> None:
        class Stuck(Actor):
            async def wait(self) -> None:
                await asyncio.Event().wait()

        async def main() -> None:
            async with ActorSystem(log=None, blocked_after=0.1) as system:
                await (await system.spawn("stuck", Stuck)).tell(Stuck.wait)
                too_late = asyncio.Event()
                rescue = threading.Timer(2, loop().call_soon_threadsafe, [too_late.set])
                rescue.start()
                try:
                    await too_late.wait()
                finally:
                    rescue.cancel()

        with pytest.raises(VirtualDeadlock, match=r"/stuck wait in "):
            run(main(), deadlock_after=0.2)

    def test_patience_is_0_or_more(self) -> None:
        with pytest.raises(ValueError, match="expected deadlock_after to be 0 or more, got -1"):
            VirtualTimeLoop(deadlock_after=-1)


class TestAdvance:
    async def test_it_moves_time_exactly_and_runs_everything_due_in_order(self) -> None:
        ran: list[float] = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(10)
                ran.append(loop().time())

        ticking = asyncio.create_task(tick())
        await advance(35.5)
        assert (loop().time(), ran) == (35.5, [10, 20, 30])
        await advance(4.5)
        assert (loop().time(), ran) == (40, [10, 20, 30, 40])
        ticking.cancel()

    async def test_it_returns_when_the_target_instant_has_come_to_rest_threads_included(self) -> None:
        async def patient() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 5)
            await asyncio.to_thread(time.sleep, 0.01)
            await asyncio.create_task(asyncio.sleep(0))

        task = asyncio.create_task(patient())
        await advance(5)
        assert (loop().time(), task.done()) == (5, True)

    async def test_advancing_by_0_lets_the_present_settle(self) -> None:
        now = asyncio.create_task(asyncio.to_thread(time.sleep, 0.01))
        later = asyncio.create_task(asyncio.sleep(1))
        await advance(0)
        assert (loop().time(), now.done(), later.done()) == (0, True, False)

    async def test_each_advance_returns_at_its_own_instant_and_a_cancelled_one_moves_nothing(self) -> None:
        async def at(seconds: float) -> float:
            await advance(seconds)
            return loop().time()

        lost = asyncio.create_task(at(1000))
        await asyncio.sleep(0)
        lost.cancel()
        assert [*await asyncio.gather(at(3), at(1), at(2), at(1))] == [3, 1, 2, 1]
        await asyncio.sleep(2000)
        assert loop().time() == 2003

    @pytest.mark.parametrize(("seconds", "wanted"), [(-1, "0 or more"), (math.nan, "0 or more"), (math.inf, "finite")])
    async def test_it_refuses_seconds_that_lie_behind_or_nowhere(self, seconds: float, wanted: str) -> None:
        with pytest.raises(ValueError, match=f"^expected seconds to be {wanted}, got {seconds}$"):
            await advance(seconds)

    def test_it_refuses_a_loop_whose_time_is_real(self) -> None:
        with pytest.raises(RuntimeError, match="expected the running loop to be a VirtualTimeLoop, got <"):
            asyncio.run(advance(1))


IMPORTS = "import asyncio, pytest\nfrom upright.actors.testing.virtual_time import VirtualTimeLoop, advance\n"
SET_UP = {
    "anyio": "@pytest.fixture\ndef anyio_backend(): return 'asyncio', {'loop_factory': VirtualTimeLoop}",
    "asyncio": "def pytest_asyncio_loop_factories(config, item): return {'virtual': VirtualTimeLoop}",
}
TEST = """
async def test_time_is_virtual():
    async with asyncio.timeout(3700):
        await asyncio.sleep(1800)
        await asyncio.to_thread(sum, [1, 2])
        await advance(1800)
    assert asyncio.get_running_loop().time() == 3600
"""


@pytest.mark.parametrize("plugin", ["anyio", "asyncio"])
def test_a_pytest_plugin_runs_its_tests_on_virtual_time(plugin: str, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "conftest.py").write_text(IMPORTS + SET_UP[plugin])
    (tmp_path / "test_time.py").write_text(f"{IMPORTS}pytestmark = pytest.mark.{plugin}\n{TEST}")
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "== 1 passed in " in ran.stdout, ran.stdout + ran.stderr
