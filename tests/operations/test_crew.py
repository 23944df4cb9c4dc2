"""What a parent knows of its workers are plain facts: their commands, their sockets, how they do."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operations.crews import is_gone
from upright.operations import Check
from upright.operations.crew import STILL, Crew, Worker
from upright.operations.worker_health import WorkerHealth

pytestmark = pytest.mark.anyio


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew(["run", "{number}", "--admin", "{admin}", "{other}"], 3, environment={"A": "1"})
    yield made
    made.close()


def up(worker: Worker) -> None:
    """A worker that has just told that it is ready."""
    worker.pid, worker.ready, worker.heard = 1, True, time.monotonic()


def test_each_worker_has_its_number_and_its_socket_in_its_command(crew: Crew) -> None:
    assert crew.argv(2) == ["run", "2", "--admin", str(crew.admin_of(2)), "{other}"]
    assert len({*map(crew.admin_of, (1, 2, 3)), *map(crew.notes_of, (1, 2, 3))}) == 6


def test_the_environment_is_a_copy(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    assert crew.environment == {"A": "1"}
    monkeypatch.setenv("ONLY_FOR_THIS_TEST", "1")
    made = Crew(["run"], 1)
    made.environment["ANOTHER"] = "1"
    assert made.environment["ONLY_FOR_THIS_TEST"] == "1"
    assert "ANOTHER" not in os.environ


def test_its_folder_is_made_when_it_is_wanted_for_the_user_alone_and_removed(crew: Crew) -> None:
    crew.close()
    folder = crew.folder
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "left.sock").touch()
    crew.close()
    crew.close()
    assert not folder.exists()


def test_where_temporary_files_lie_too_deep_for_a_socket_it_is_elsewhere(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert len(os.fsencode(crew.notes_of(1_000))) < 100


def test_it_is_ready_while_one_is_and_says_who_is_not(crew: Crew) -> None:
    def found() -> tuple[str, list[str]]:
        first, *others = crew.checks()
        assert all(check.status == "degraded" for check in others)
        return f"{first.status} {first.why}".strip(), [f"{check.name}: {check.why}" for check in others]

    assert found() == (
        "failed 0 of 3 are ready",
        ["worker 1: it does not run", "worker 2: it does not run", "worker 3: it does not run"],
    )
    up(crew.workers[1])
    crew.workers[0].pid = 1
    assert found() == ("degraded 1 of 3 are ready", ["worker 1: it is not up yet", "worker 3: it does not run"])
    up(crew.workers[0])
    up(crew.workers[2])
    assert found() == ("ok", [])


def test_a_worker_that_says_it_is_not_ready_counts_as_such_with_its_reason(crew: Crew) -> None:
    for worker in crew.workers:
        up(worker)
    crew.workers[0].said = WorkerHealth(False, (Check("store", "failed", "the disk is full"),))
    assert [(check.name, check.status, check.why) for check in crew.checks()] == [
        ("workers", "degraded", "2 of 3 are ready"),
        ("worker 1", "degraded", "store: the disk is full"),
    ]
    for worker in crew.workers:
        worker.said = crew.workers[0].said
    assert [check.status for check in crew.checks()] == ["failed", "degraded", "degraded", "degraded"]


def test_one_that_should_be_given_no_work_is_asked_last(crew: Crew) -> None:
    for worker in crew.workers:
        up(worker)
        crew.admin_of(worker.number).touch()
        worker.beat = -float(worker.number)
    first, second, third = crew.workers
    assert crew.answering() == [first, second, third]
    first.said = WorkerHealth(False, (Check("store", "failed", "the disk is full"),))
    second.ready = False
    assert crew.answering() == [third, first, second]
    crew.admin_of(3).unlink()
    first.pid = 0
    assert crew.answering() == [second]


def test_what_is_degraded_in_a_worker_is_in_the_service(crew: Crew) -> None:
    for worker in crew.workers:
        up(worker)
    crew.workers[2].said = WorkerHealth(True, (Check("guards", "degraded", "not closed: till open"),))
    assert [(check.name, check.status, check.why) for check in crew.checks()] == [
        ("workers", "ok", ""),
        ("worker 3", "degraded", "guards: not closed: till open"),
    ]


def test_one_that_has_told_nothing_for_some_seconds_is_not_ready_long_before_it_is_killed(crew: Crew) -> None:
    for worker in crew.workers:
        up(worker)
    crew.workers[1].heard -= STILL + 1
    first, second = crew.checks()
    assert (first.status, second.name, second.why) == ("degraded", "worker 2", "it has told nothing for 6 s")
    assert crew.silent / 4 > STILL


def test_while_none_was_ever_up_all_must_fail_or_one_must_have_been_called_wrongly(crew: Crew) -> None:
    first, second, third = crew.workers
    crew.ended(first, -9, False)
    crew.ended(first, 1, False)
    crew.ended(first, 3, False)
    crew.ended(second, 1, False)
    crew.ended(third, -9, False)
    assert crew.refused is None
    crew.ended(third, 1, False)
    assert crew.refused == 1


def test_once_one_was_up_none_that_fails_ends_the_service(crew: Crew) -> None:
    crew.was_up = True
    for worker in crew.workers:
        crew.ended(worker, 1, False)
        crew.ended(worker, 2, False)
    assert crew.refused is None


def test_each_is_asked_once_and_again_only_where_there_is_a_hurry(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []

    def note(pid: int, number: int) -> None:
        sent.append((pid, number))

    monkeypatch.setattr(os, "kill", note)
    crew.workers[0].pid, crew.workers[1].pid = 11, 12
    crew.ask_all()
    crew.ask_all()
    assert sent == [(11, signal.SIGTERM), (12, signal.SIGTERM)]
    assert crew.ending
    crew.hurry_all()
    crew.hurry_all()
    assert sent[2:] == [(11, signal.SIGTERM), (12, signal.SIGTERM)]


def test_one_that_has_ended_just_now_is_asked_in_vain(crew: Crew) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    crew.workers[0].pid = ended.pid
    crew.ask_all()


async def test_those_that_are_left_are_hurried_and_then_killed(monkeypatch: pytest.MonkeyPatch, crew: Crew) -> None:
    monkeypatch.setattr("upright.operations.crew.HURRYING", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)"
    )
    pids = list[int]()
    for worker in crew.workers:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"import signal, time; {deaf}", stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        crew.processes[worker.number], worker.pid = process, process.pid
        pids.append(process.pid)
    await crew.leave()
    assert all(is_gone(pid) for pid in pids)
    assert crew.processes == {}
    await crew.leave()
