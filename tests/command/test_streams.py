"""The laws of the standard streams: closed, full, or read by nobody, they keep no command from its work."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command.listeners import at_a_port, body

APP = """
from pathlib import Path
from upright.actors import Actor
from upright.supervision import child, supervisor

class Once(Actor):
    async def started(self) -> None:
        with open("mine", "w") as mine:
            Path("said").write_text(f"{mine.fileno()}")
        self.ctx.stop()

once = child("once", Once).options(restart="temporary", significant=True)
tree = supervisor("shop", once, auto_shutdown="all_significant")
"""
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
CLOSED = ["2>&-", ">&-", "<&- >&- 2>&-"]


def shell(words: str, redirected: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """A command whose streams a shell has redirected."""
    line = f'exec "{sys.executable}" -m upright.command {words} {redirected}'
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=cwd, timeout=60, check=False)


@pytest.mark.parametrize("redirected", [*CLOSED, pytest.param("2>/dev/full", marks=FULL)])
@pytest.mark.parametrize("form", ["auto", "json", "text"])
def test_a_service_runs_and_ends_as_ever(redirected: str, form: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = shell(f"run app:tree --admin '' --log-format {form}", redirected, tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert int((tmp_path / "said").read_text()) > 2  # no file of the user's gets what is meant for a stream


@pytest.mark.parametrize("redirected", [*CLOSED, pytest.param("2>/dev/full", marks=FULL)])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("ps --admin no.sock", 3), ("health --admin no.sock", 3), ("health --no-such", 2), ("tree --store no.db", 3),
        ("no-such", 2), ("run no_such:tree", 2), ("--help", 0),
    ],
)  # fmt: skip
def test_a_command_ends_with_its_status(words: str, status: int, redirected: str, tmp_path: Path) -> None:
    done = shell(words, redirected, tmp_path)
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (status, False)


@pytest.mark.parametrize(("answer", "status"), [("200 OK", 0), ("503 Service Unavailable", 1)])
def test_a_probe_that_nobody_reads_has_its_status_and_says_nothing(answer: str, status: int, tmp_path: Path) -> None:
    with at_a_port(body(answer, "told")) as place:
        command = [sys.executable, "-m", "upright.command", "health", "--health", place]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert (process.stderr.read(), process.wait()) == (b"", status)
