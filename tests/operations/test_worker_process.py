"""The actor of a worker process hears what it tells; whatever becomes of the actor, the process does not outlive it."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.operations.crews import holds, is_gone, parenting, script
from upright.actors import Actor
from upright.operations import WorkerReady
from upright.operations.events import WorkerStarted
from upright.operations.worker_process import WorkerProcess, how

pytestmark = pytest.mark.anyio
TELLS = """
import os, signal, socket, sys, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def tell(words):
    manager.sendto(words, os.environ["NOTIFY_SOCKET"])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"), (137, "ended with status 137"), (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-63, "was killed by signal 63"),
    ],
)  # fmt: skip
def test_how_a_process_ended_is_said_in_words(status: int, words: str) -> None:
    assert how(status) == words


@pytest.mark.parametrize("first", ["READY=1", "STATUS=up\\nREADY=1", "WATCHDOG=1"])
async def test_it_is_ready_when_it_says_so_or_gives_a_sign_of_life(first: str) -> None:
    async with parenting(script(f"{TELLS}\ntell(b'{first}'); time.sleep(3600)")) as parent:
        assert await parent.ready(1) == [parent.crew.workers[0].pid]
        assert parent.workers.health.live().ok


async def test_one_that_is_up_before_its_parent_knows_its_number_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    start = asyncio.create_subprocess_exec

    async def slow_start(*words: Any, **options: Any) -> Any:
        process = await start(*words, **options, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(0.01)  # the loop reads what has come
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow_start)
    program = f"{TELLS}\ntell(b'READY=1'); print('told', flush=True); time.sleep(3600)"
    async with parenting(script(program)) as parent:
        (worker,) = parent.crew.workers
        pid = (await parent.until(WorkerStarted)).pid
        assert await parent.ready(1) == [pid]
        assert worker.ready


async def test_one_that_drains_is_ready_no_more_whatever_it_tells_then() -> None:
    program = f"{TELLS}\ntell(b'READY=1'); tell(b'STOPPING=1'); tell(b'WATCHDOG=1'); tell(b'READY=1'); time.sleep(3600)"
    async with parenting(script(program)) as parent:
        await parent.ready(1)
        (worker,) = parent.crew.workers
        await holds(lambda: worker.draining)
        assert not worker.ready


async def test_rubbish_harms_nobody() -> None:
    rubbish = "tell(b'\\xff\\0'); tell(b''); tell(b'X_UPRIGHT_HEALTH=5'); tell(b'X_UPRIGHT_HEALTH={\\xff')"
    async with parenting(script(f"{TELLS}\n{rubbish}; tell(b'READY=1'); time.sleep(3600)")) as parent:
        await parent.ready(1)
        assert parent.crew.workers[0].said is None


async def test_what_it_tells_of_its_health_is_no_sign_of_life() -> None:
    program = "tell(b'X_UPRIGHT_HEALTH={\"ready\":false}'); time.sleep(3600)"
    async with parenting(script(f"{TELLS}\n{program}")) as parent:
        await parent.until(WorkerStarted)
        (worker,) = parent.crew.workers
        await holds(lambda: worker.said is not None)
        assert not worker.ready
        assert worker.beat == worker.since
        assert worker.heard > worker.beat


async def test_when_its_actor_is_killed_the_process_is_too_before_the_next_one_starts() -> None:
    async with parenting(script(f"{TELLS}\ntell(b'READY=1'); time.sleep(3600)")) as parent:
        (first,) = await parent.ready(1)
        system = parent.workers.system
        actor: type[Actor] = WorkerProcess
        await system.kill(system.ref("/workers/worker-1", actor))
        second = (await parent.until(WorkerReady, times=2)).pid
        assert second != first
        assert is_gone(first)


async def test_a_process_that_ends_while_it_starts_is_heard_of() -> None:
    async with parenting(script("import os; os.kill(os.getpid(), 9)")) as parent:
        await parent.until(WorkerStarted, times=3)
        assert parent.crew.workers[0].status == -9


async def test_its_standard_input_ends_with_its_parent() -> None:
    async with parenting(script(f"{TELLS}\ntell(b'READY=1'); sys.stdin.read(); os._exit(0)")) as parent:
        (pid,) = await parent.ready(1)
        stdin = parent.crew.processes[1].stdin
        assert stdin is not None
        stdin.close()  # what the end of this process would do
        assert await parent.end() == 0
        assert is_gone(pid)
        assert os.getpid() != pid
