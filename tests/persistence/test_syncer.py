"""The laws of the syncer, with real files and processes: nothing is done before the disk has it, nothing hangs."""

import asyncio
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.loops import LOOPS, MakeLoop
from tests.persistence.gate import gated
from tests.persistence.syncers import GATED, KINDS, Belongings, Gate, run
from upright.actors.testing import VirtualTimeLoop
from upright.persistence import sync_program
from upright.persistence.syncer import Syncer, SyncFailed, ThreadSyncer


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    monkeypatch.setattr(sync_program, "flush", gated(sync_program.flush, gate.folder))
    yield gate
    gate.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path with a log beside it. No SQLite is needed to sync a file."""
    (tmp_path / "a.db-wal").write_bytes(b"log")
    return tmp_path / "a.db"


def make(kind: type[Syncer], database: Path, gate: Gate) -> Syncer:
    return kind(str(database), program=(*GATED, gate.folder))


async def turns() -> None:
    """Let the loop turn often enough for any answer that has come to be noticed."""
    for _ in range(20):
        await asyncio.sleep(0)


async def fails(future: "asyncio.Future[None]") -> SyncFailed:
    with pytest.raises(SyncFailed) as failure:
        await future
    return failure.value


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sync_is_done_when_the_log_was_flushed_and_not_before(
    kind: type[Syncer], make_loop: MakeLoop, database: Path, gate: Gate
) -> None:
    async def scene() -> None:
        syncer = make(kind, database, gate)
        await syncer.start()
        for _ in range(3):
            future = syncer.sync()
            pid, inode = await gate.entered()
            assert inode == os.stat(f"{database}-wal").st_ino
            assert (pid == os.getpid()) == (syncer.kind == "thread")
            await turns()
            assert not future.done()
            gate.let()
            await future
        await syncer.close()
        assert gate.nobody_waits()

    run(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_while_a_flush_runs_waits_for_one_that_begins_later_and_all_of_it_for_the_same(
    kind: type[Syncer], make_loop: MakeLoop, database: Path, gate: Gate
) -> None:
    async def scene() -> None:
        syncer = make(kind, database, gate)
        await syncer.start()
        first = syncer.sync()
        await gate.entered()
        later = [syncer.sync() for _ in range(5)]
        later[0].cancel()
        gate.let()
        await first
        await gate.entered()
        await turns()
        assert not any(future.done() for future in later[1:])
        gate.let()
        await asyncio.gather(*later[1:])
        await turns()
        assert gate.nobody_waits()
        await syncer.close()

    run(make_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_who_gives_up_waiting_takes_nothing_from_the_next(kind: type[Syncer], database: Path, gate: Gate) -> None:
    async def scene() -> None:
        syncer = make(kind, database, gate)
        await syncer.start()
        given_up = syncer.sync()
        await gate.entered()
        given_up.cancel()
        kept = syncer.sync()
        gate.let()
        await gate.entered()
        assert not kept.done()
        gate.let()
        await kept
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_sync_is_told_with_its_error_and_never_tried_again(
    kind: type[Syncer], make_loop: MakeLoop, database: Path, gate: Gate
) -> None:
    async def scene() -> None:
        syncer = make(kind, database, gate)
        await syncer.start()
        first = syncer.sync()
        await gate.entered()
        later = syncer.sync()
        gate.let("e")
        for future in (first, later, syncer.sync()):
            error = await fails(future)
            assert error.errno == errno.EIO
            assert "outcome unknown" in str(error)
        await turns()
        assert gate.nobody_waits()
        await syncer.close()

    run(make_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_made_anew_is_the_one_that_is_flushed(kind: type[Syncer], database: Path, gate: Gate) -> None:
    async def scene() -> None:
        syncer = make(kind, database, gate)
        await syncer.start()
        log = Path(f"{database}-wal")
        gate.let()
        await syncer.sync()
        _, before = await gate.entered()
        log.unlink()
        log.write_bytes(b"another")
        gate.let()
        await syncer.sync()
        _, after = await gate.entered()
        assert after == log.stat().st_ino != before
        log.unlink()
        assert (await fails(syncer.sync())).errno == errno.ENOENT
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_was_not_there_at_the_start_is_found_later(kind: type[Syncer], tmp_path: Path) -> None:
    async def scene() -> None:
        syncer = kind(str(tmp_path / "b.db"))
        await syncer.start()
        (tmp_path / "b.db-wal").write_bytes(b"log")
        await syncer.sync()
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("end", ["exits", "killed"])
def test_when_its_process_dies_all_that_was_asked_fails_and_all_that_will_be(
    end: str, make_loop: MakeLoop, database: Path, gate: Gate
) -> None:
    async def scene() -> None:
        syncer = make(Syncer, database, gate)
        await syncer.start()
        futures = [syncer.sync()]
        pid, _ = await gate.entered()
        futures.append(syncer.sync())
        if end == "exits":
            gate.let("d")
        else:
            os.kill(pid, signal.SIGKILL)
        for future in futures:
            assert f"exit status {7 if end == 'exits' else -9}); outcome unknown" in str(await fails(future))
        assert (await fails(syncer.sync())).errno == errno.EPIPE
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        await syncer.close()

    run(make_loop, scene)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_its_thread_crashes_all_that_was_asked_fails(database: Path, gate: Gate) -> None:
    async def scene() -> None:
        syncer = make(ThreadSyncer, database, gate)
        await syncer.start()
        future = syncer.sync()
        await gate.entered()
        gate.let("x")
        assert (await fails(future)).errno == errno.EPIPE
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_close_waits_for_what_is_under_way_and_leaves_no_process_thread_or_descriptor(
    kind: type[Syncer], make_loop: MakeLoop, database: Path, gate: Gate
) -> None:
    async def scene() -> None:
        before = Belongings()
        syncer = make(kind, database, gate)
        await syncer.start()
        futures = [syncer.sync()]
        pid, _ = await gate.entered()
        futures.append(syncer.sync())
        closing = asyncio.ensure_future(syncer.close())
        await turns()
        assert not closing.done()
        gate.let()
        await gate.entered()
        gate.let()
        await asyncio.gather(*futures, closing)
        if syncer.kind == "process":
            with pytest.raises(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        assert before.are_all()
        await syncer.close()
        assert "closed" in str(await fails(syncer.sync()))

    run(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_close_that_is_cancelled_kills_the_process_and_says_that_the_outcome_is_unknown(
    make_loop: MakeLoop, database: Path, gate: Gate
) -> None:
    async def scene() -> None:
        before = Belongings()
        syncer = make(Syncer, database, gate)
        await syncer.start()
        future = syncer.sync()
        await gate.entered()
        closing = asyncio.ensure_future(syncer.close())
        await turns()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert "outcome unknown" in str(await fails(future))
        await syncer.close()
        assert before.are_all()

    run(make_loop, scene)


def test_virtual_time_stands_still_while_the_disk_is_at_work(database: Path) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        syncer = Syncer(str(database))
        async with asyncio.timeout(3600):
            await syncer.start()
            for _ in range(20):
                await syncer.sync()
            await syncer.close()
        assert loop.time() == 0

    run(VirtualTimeLoop, scene)
