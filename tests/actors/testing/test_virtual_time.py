"""The laws of the virtual clock: when it jumps, when it holds still, and what it says when nothing can come."""

import asyncio
import functools
import logging
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from asyncio.subprocess import PIPE, create_subprocess_exec, create_subprocess_shell
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors.testing.virtual_time import VirtualDeadlock, VirtualTimeLoop, advance, hold_time

pytestmark = pytest.mark.anyio

CALLS = 250


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def run(main: Coroutine[Any, Any, object], *, debug: bool = False, deadlock_after: float | None = 0.01) -> None:
    factory = functools.partial(VirtualTimeLoop, deadlock_after=deadlock_after)
    with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
        runner.run(main)


def loop() -> VirtualTimeLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running


def insert(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS row (at INTEGER)")
        connection.execute("INSERT INTO row VALUES (1)")


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


class TestHolds:
    @pytest.mark.parametrize("in_thread", [asyncio.to_thread, anyio.to_thread.run_sync])
    async def test_no_time_out_passes_while_a_thread_works(
        self, in_thread: Callable[..., Awaitable[None]], tmp_path: Path
    ) -> None:
        for _ in range(CALLS):
            async with asyncio.timeout(0.05):
                await in_thread(insert, tmp_path / "rows.db")
        assert loop().time() == 0

    async def test_no_time_out_passes_while_aiosqlite_works(self, tmp_path: Path) -> None:
        async with asyncio.timeout(0.05), aiosqlite.connect(tmp_path / "rows.db") as connection:
            await connection.execute("CREATE TABLE row (at INTEGER)")
            for at in range(CALLS):
                async with asyncio.timeout(0.05):
                    await connection.execute("INSERT INTO row VALUES (?)", (at,))
                    await connection.commit()
            async with connection.execute("SELECT count(*) FROM row") as cursor:
                assert await cursor.fetchone() == (CALLS,)
        for _ in range(20):
            async with asyncio.timeout(0.05), aiosqlite.connect(tmp_path / "rows.db"):
                pass
        assert loop().time() == 0

    async def test_an_open_but_idle_aiosqlite_connection_does_not_hold_time(self) -> None:
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("SELECT 1")
            await asyncio.sleep(3600)

    @pytest.mark.parametrize("library", ["asyncio", "anyio", "aiosqlite"])
    async def test_a_thread_holds_time_even_when_nobody_waits_for_it_any_more(self, library: str) -> None:
        started, ended = threading.Event(), threading.Event()

        def work() -> None:
            started.set()
            time.sleep(0.05)
            ended.set()

        async with aiosqlite.connect(":memory:") as connection:
            await connection.create_function("work", 0, work)  # pyright: ignore[reportUnknownMemberType]
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "asyncio": lambda: asyncio.to_thread(work),
                "anyio": lambda: anyio.to_thread.run_sync(work, abandon_on_cancel=True),
                "aiosqlite": lambda: connection.execute("SELECT work()"),
            }
            task = asyncio.ensure_future(calls[library]())
            await asyncio.to_thread(started.wait)
            task.cancel()
            await asyncio.wait([task])
            assert not ended.is_set()
            await asyncio.sleep(1)
            assert ended.is_set()

    async def test_hold_keeps_time_still_for_a_thread_of_ones_own(self) -> None:
        for _ in range(CALLS):
            done = asyncio.Event()
            with hold_time(), loop().hold("nested"):
                async with asyncio.timeout(0.001):
                    threading.Timer(0.001, loop().call_soon_threadsafe, [done.set]).start()
                    await done.wait()
        assert loop().time() == 0

    async def test_a_hold_let_go_in_a_thread_wakes_the_loop(self) -> None:
        held = threading.Event()

        def hold(clock: VirtualTimeLoop) -> None:
            with clock.hold():
                held.set()
                time.sleep(0.05)

        thread = threading.Thread(target=hold, args=[loop()])
        thread.start()
        held.wait()
        assert repr(loop()) == "<VirtualTimeLoop at 0.0 running held by hold()>"
        await asyncio.sleep(60)
        assert repr(loop()) == "<VirtualTimeLoop at 60.0 running>"
        thread.join()

    def test_threads_are_joined_at_the_end_without_a_false_time_out(self) -> None:
        class SlowToShut(ThreadPoolExecutor):
            def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
                time.sleep(0.05)
                super().shutdown(wait, cancel_futures=cancel_futures)

        async def main() -> None:
            loop().set_default_executor(SlowToShut())
            assert await loop().run_in_executor(None, len, "four") == 4

        run(main())

    def test_a_clock_that_stands_still_for_long_names_its_holders(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "upright.actors.testing.virtual_time"):
            run(asyncio.to_thread(time.sleep, 0.05))
        assert "stands still at 0.0, held by run_in_executor(sleep)" in caplog.text

    async def test_an_anyio_that_keeps_other_books_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        await anyio.to_thread.run_sync(time.sleep, 0)
        with monkeypatch.context() as patch:
            patch.delattr("anyio._backends._asyncio._threadpool_workers")
            with pytest.raises(RuntimeError, match=r"anyio keeps .*_threadpool_workers"):
                repr(loop())


class TestTheOutsideWorld:
    async def test_a_socket_echo_inside_the_process_meets_its_time_outs(self) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line)
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for n in range(CALLS):
                async with asyncio.timeout(0.05):
                    writer.write(b"%d\n" % n)
                    assert await reader.readline() == b"%d\n" % n
            writer.close()
            await writer.wait_closed()
        assert loop().time() == 0

    def test_a_socket_is_waited_for_and_not_taken_for_a_deadlock(self) -> None:
        async def main() -> None:
            near, far = socket.socketpair()
            with near, far:
                near.setblocking(False)
                threading.Timer(0.05, far.send, [b"hello"]).start()
                assert await loop().sock_recv(near, 5) == b"hello"

        run(main())

    @pytest.mark.parametrize("pipe", [None, PIPE])
    def test_a_running_child_is_waited_for_and_not_taken_for_a_deadlock(self, pipe: int | None) -> None:
        async def main() -> None:
            child = await create_subprocess_exec("sleep", "0.1", stdout=pipe)
            assert await child.wait() == 0
            child = await create_subprocess_shell("sleep 0.05; exit 3", stdout=pipe)
            with loop().hold():
                assert await asyncio.wait_for(child.wait(), 0.001) == 3

        run(main())

    def test_a_signal_handler_is_waited_for_and_not_taken_for_a_deadlock(self) -> None:
        async def main() -> None:
            came = asyncio.Event()
            loop().add_signal_handler(signal.SIGUSR1, came.set)
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            await came.wait()
            assert loop().remove_signal_handler(signal.SIGUSR1)

        run(main())


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
