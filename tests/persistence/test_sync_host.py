"""The laws of a syncer's process: it starts or says why not, outlives no parent, and dies of no stray signal."""

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.actors.loops import LOOPS, MakeLoop
from tests.persistence.syncers import KINDS, Belongings, run
from upright.persistence import sync_host
from upright.persistence.syncer import Syncer, SyncFailed, ThreadSyncer, start_syncer

MUTE = ("-c", "import time; time.sleep(600)")
PARENT = """
import asyncio, os, sys
from upright.persistence.syncer import Syncer

async def main():
    syncer = Syncer(sys.argv[1])
    await syncer.start()
    for number in range(200 if sys.argv[2] == "busy" else 1):
        await syncer.sync()
    if sys.argv[2] == "forks":
        child = os.fork()
        if child == 0:
            os.close(2)
            os.write(1, b"%d\\n" % os.getpid())
            os.read(0, 1)
            os._exit(0)
    else:
        print("ready", flush=True)
    while sys.argv[2] == "busy":
        await syncer.sync()
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "a.db-wal").write_bytes(b"log")
    return str(tmp_path / "a.db")


def pid_of(syncer: Syncer) -> int:
    host = syncer._host
    assert isinstance(host, sync_host.ProcessHost)
    assert host._process is not None
    return host._process.pid


@pytest.mark.parametrize("kept", ["idle", "busy", "forks"])
def test_its_process_ends_when_the_parent_is_killed_even_where_a_forked_child_of_that_lives_on(
    kept: str, path: str
) -> None:
    """Its process has the parent's standard error: the pipe ends when both are gone, and not before."""
    command = [sys.executable, "-W", "ignore", "-c", PARENT, path, kept]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as parent:
        assert parent.stdin
        assert parent.stdout
        assert parent.stderr
        said = parent.stdout.readline()
        os.kill(parent.pid, signal.SIGKILL)
        assert select.select([parent.stderr], [], [], 20)[0], "its process lives on"
        assert parent.stderr.read() == b""
        if kept == "forks":
            os.kill(int(said), 0)  # it lives still: it waits for the end of its input


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_service_leaves_it_at_work(number: signal.Signals, path: str) -> None:
    async def scene() -> None:
        syncer = Syncer(path)
        await syncer.start()
        os.kill(pid_of(syncer), number)
        for _ in range(10):
            await syncer.sync()
        await syncer.close()

    run(asyncio.new_event_loop, scene)


def test_it_has_a_session_of_its_own_so_that_the_terminal_does_not_interrupt_it(path: str) -> None:
    async def scene() -> None:
        syncer = Syncer(path)
        await syncer.start()
        assert os.getsid(pid_of(syncer)) == pid_of(syncer)
        await syncer.close()

    run(asyncio.new_event_loop, scene)


def test_what_stands_in_the_environment_of_the_parent_does_not_reach_its_interpreter(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        syncer = Syncer(path)
        await syncer.start()
        await syncer.sync()
        await syncer.close()

    for name in ("sqlite3", "sitecustomize", "fcntl"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run(asyncio.new_event_loop, scene)


def test_threads_have_ended_when_the_syncer_is_closed(path: str) -> None:
    async def scene() -> None:
        syncer = ThreadSyncer(path)
        await syncer.start()
        serving = [thread for thread in threading.enumerate() if thread.name.startswith("upright serve")]
        assert len(serving) == 2
        await syncer.close()
        assert not any(thread.is_alive() for thread in serving)

    for _ in range(20):
        run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_where_no_process_can_be_started_threads_do_it(
    make_loop: MakeLoop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        before = Belongings()
        with pytest.raises(FileNotFoundError):
            await Syncer(path).start()
        assert before.are_all()
        syncer = await start_syncer(path)
        assert syncer.kind == "thread"
        await syncer.sync()
        await syncer.close()

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    run(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_where_a_process_can_be_started_a_process_does_it(make_loop: MakeLoop, path: str) -> None:
    async def scene() -> None:
        syncer = await start_syncer(path)
        assert syncer.kind == "process"
        await syncer.sync()
        await syncer.close()

    run(make_loop, scene)


@pytest.mark.parametrize(("executable", "frozen"), [("", False), (sys.executable, True)])
def test_a_program_that_is_no_interpreter_is_not_started_a_second_time(
    executable: str, frozen: bool, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        with pytest.raises(ChildProcessError, match=r"interpreter in sys\.executable"):
            await Syncer(path).start()

    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_process_that_ends_at_once_or_never_answers_is_a_failed_start_and_leaves_nothing_behind(
    make_loop: MakeLoop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        before = Belongings()
        with pytest.raises(ChildProcessError, match="ended"):
            await Syncer(path, program=("-c", "")).start()
        mute = Syncer(path, program=MUTE)
        with pytest.raises(TimeoutError):
            await mute.start()
        await mute.close()
        with pytest.raises(ChildProcessError):
            os.waitpid(pid_of(mute), os.WNOHANG)
        assert before.are_all()

    monkeypatch.setattr(sync_host, "READY_WITHIN", 0.3)
    run(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_start_that_is_cancelled_ends_the_process(
    make_loop: MakeLoop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        before = Belongings()
        syncer = Syncer(path, program=MUTE)
        starting = asyncio.ensure_future(syncer.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await syncer.close()
        assert before.are_all()

    monkeypatch.setattr(sync_host, "READY_WITHIN", 500.0)
    run(make_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_syncer_starts_once(kind: type[Syncer], path: str) -> None:
    async def scene() -> None:
        syncer = kind(path)
        await syncer.close()
        with pytest.raises(SyncFailed, match="not open"):
            await syncer.sync()
        await syncer.start()
        with pytest.raises(RuntimeError, match="not started before"):
            await syncer.start()
        await syncer.sync()
        await syncer.close()
        with pytest.raises(RuntimeError, match="not started before"):
            await syncer.start()

    run(asyncio.new_event_loop, scene)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make_loop", LOOPS)
def test_one_that_was_forgotten_with_its_loop_does_not_keep_its_process(make_loop: MakeLoop, path: str) -> None:
    pids: list[int] = []

    async def scene() -> None:
        syncer = Syncer(path)
        await syncer.start()
        await syncer.sync()
        pids.append(pid_of(syncer))

    before = Belongings()
    run(make_loop, scene)
    gc.collect()
    assert before.are_all()
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)
