"""The start of a service of several processes: who is told that it is up, and what becomes of a worker that hangs."""

import asyncio
from pathlib import Path

import pytest

from tests.operations.crews import APP, REAL, parenting, script
from tests.operations.notes import managing
from tests.operations.watching import BOUND, beat
from upright.operations import ServiceStarted, WorkerHung, WorkerReady, WorkerStarted

pytestmark = pytest.mark.anyio
SLEEPS = "import time; time.sleep(3600)"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program of the workers is."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_manager_hears_that_it_is_up_when_its_first_worker_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with managing(folder, monkeypatch) as manager:
        async with parenting(script(SLEEPS)) as parent:
            await parent.until(WorkerStarted)
            await beat(parent.workers.health, lambda: parent.workers.system.running)
            assert not any("READY=1" in said for said in manager.rest())
            health = parent.workers.health
            assert (health.startup().ok, health.ready().ok, health.live().ok) == (False, False, True)
            assert not any(isinstance(event, ServiceStarted) for event in parent.told)
        async with parenting(REAL, 2) as parent:
            await parent.until(WorkerReady)
            await parent.until(WorkerReady, times=2)
            assert parent.workers.health.startup().ok
            await parent.until(ServiceStarted)
            said = manager.rest()
            assert sum("READY=1" in one for one in said) == 1
        assert await asyncio.wait_for(parent.running, BOUND) == 0


async def test_one_that_hangs_before_it_is_up_is_killed_after_a_longer_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upright.operations.worker_process.STARTING", 2)
    monkeypatch.setattr("upright.operations.worker_process.DUMPING", 0.1)
    async with parenting(script(SLEEPS), silent=0.2) as parent:
        hung = await parent.until(WorkerHung)
        assert hung.silent_s > 0.4
        await parent.until(WorkerHung, times=2)
