"""The laws of the virtual clock: what it waits for in earnest, threads and the world outside the process."""

import asyncio
import logging
import os
import signal
import socket
import sqlite3
import threading
import time
from asyncio.subprocess import PIPE, create_subprocess_exec, create_subprocess_shell
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import anyio.to_thread
import pytest

from tests.actors.testing.clock import CALLS, loop, run
from upright.actors.testing.virtual_time import VirtualTimeLoop, hold_time

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


def insert(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS row (at INTEGER)")
        connection.execute("INSERT INTO row VALUES (1)")


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
