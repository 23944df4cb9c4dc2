"""The laws of attempts that were used up by a process that died: no step is tried more often than it may be."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.persistence.crashes import PATIENCE, ROOT

Live = Callable[[str, int], tuple[int, list[str]]]


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """Runs one process; how it ended, and what it said."""

    def run(what: str, attempts: int) -> tuple[int, list[str]]:
        command = [sys.executable, "-m", "tests.persistence.mortal", str(tmp_path), what, str(attempts)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout.splitlines()

    return run


@pytest.mark.parametrize("what", ["first", "branch", "many", "undo"])
def test_a_step_that_may_run_once_is_not_run_again_after_its_process_died_in_it(
    live: Live, what: str, tmp_path: Path
) -> None:
    code, said = live(what, 1)
    assert (code, said.count(what)) == (-signal.SIGKILL, 1)
    code, said = live(what, 1)
    assert (code, said) == (0, ["failed attempts ", "UsedUp: its process died in it"])
    (tmp_path / "mended").touch()
    code, said = live(what, 1)
    assert (code, said[0], said[-1]) == (0, what, "rejected" if what == "undo" else "completed")


def test_one_that_may_run_twice_is_run_twice(live: Live) -> None:
    for _ in range(2):
        assert live("first", 2) == (-signal.SIGKILL, ["first"])
    assert live("first", 2) == (0, ["failed attempts ", "UsedUp: its process died in the last of 2 attempts"])


def test_on_failure_leads_elsewhere_then(live: Live) -> None:
    assert live("last", 1) == (-signal.SIGKILL, ["first", "branch", "many", "last"])
    assert live("last", 1) == (0, ["look", "completed"])
