"""What a parent knows of its workers are plain facts: their commands, their sockets, how they do."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operations.crews import is_gone
from upright.operations.crew import Crew

pytestmark = pytest.mark.anyio


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew(["run", "{number}", "--admin", "{admin}", "{other}"], 3, environment={"A": "1"})
    yield made
    made.close()


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
    def found() -> tuple[str, str]:
        (check,) = crew.checks()
        return check.status, check.why

    assert found() == ("failed", "not ready: 1, 2, 3")
    crew.workers[1].ready = True
    assert found() == ("degraded", "not ready: 1, 3")
    crew.workers[0].ready = crew.workers[2].ready = True
    assert found() == ("ok", "")


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
