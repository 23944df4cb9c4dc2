"""A worker tells its parent how it does, at each change, in datagrams that are small."""

from pathlib import Path

import pytest

from tests.operations.crews import APP, REAL, holds, parenting
from tests.operations.notes import managing
from tests.operations.watching import beat, watched
from upright.actors import ActorSystem
from upright.operations import Check, HealthReport, Notifier
from upright.operations.worker_health import HealthNotes, WorkerHealth, line_of, read_line, summed_up
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_what_makes_it_not_ready_comes_first_and_all_of_it_is_small() -> None:
    checks = tuple(Check(f"check {number}", "degraded", "x" * 9_000) for number in range(100))
    ready = HealthReport("failed", (Check("tree"), Check("store", "failed", "the disk is full\nline 2")))
    said = summed_up(ready, HealthReport("failed", (*checks, *ready.checks)))
    assert not said.ready
    assert said.checks[0] == Check("store", "failed", "the disk is full")
    assert len(line_of(said).encode()) < 8_000


def test_what_was_told_is_read_and_nothing_else() -> None:
    said = WorkerHealth(False, (Check("store", "failed", 'a "quoted"\u2028 line'),))
    assert read_line(line_of(said)) == said
    assert [read_line(line) for line in ("READY=1", "X_UPRIGHT_HEALTH=", "X_UPRIGHT_HEALTH={}", "")] == [None] * 4


async def test_it_is_told_at_the_beat_at_which_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Check("pump", "failed", "stuck")]
    with managing(tmp_path, monkeypatch) as manager:
        async with watched(ActorSystem(supervisor("shop")), more=lambda: tuple(found)) as health:
            notes = HealthNotes(health, Notifier())
            notes.start()
            await beat(health, lambda: not health.ready().ok)
            manager.until('"ready":false')
            found.clear()
            await beat(health, lambda: health.ready().ok)
            manager.until('"ready":true')
            notes.stop()
    assert "pump" in manager.said[0]


async def test_a_worker_with_too_much_to_do_is_not_ready_and_neither_is_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    async with parenting((*REAL, "--high-water", "1"), 1, admin="parent.sock") as parent:
        await parent.ready(1)
        (worker,) = parent.crew.workers
        await holds(lambda: worker.said is not None and worker.said.ready)
        system = parent.workers
        await beat(system.health, lambda: system.health.ready().ok)
        sent = parent.workers.service.controls.do(
            "send", {"to": "/shop/clerk", "handler": "hold", "arguments": {"gate": "gate"}}
        )
        assert [answer async for answer in sent]
        await beat(system.health, lambda: not system.health.ready().ok)
        assert "worker 1: backlog: 1 messages wait" in system.health.ready().why
        (tmp_path / "gate").touch()
        await beat(system.health, lambda: system.health.ready().ok)
