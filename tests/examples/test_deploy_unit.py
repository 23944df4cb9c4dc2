"""The systemd unit: systemd reads it, and the very command that it starts comes up, tells so, and ends in order."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.examples.deploy_files import DEPLOY, manifest, run_of, seconds, text_of, unit

PATIENCE = 60.0
NEWER = {"RestartSteps": 254, "RestartMaxDelaySec": 254}
"""Settings that an older systemd ignores, with the version that brought them."""
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as it stands, but for the program, which must exist where it is checked."""
    program = shlex.split(unit(text_of("jobs.service"))["Service"]["ExecStart"][0])[0]
    path = tmp_path / "jobs.service"
    path.write_text(text_of("jobs.service").replace(program, sys.executable), encoding="utf-8")
    return path


@needs_systemd
def test_systemd_has_nothing_to_say_against_it(installed: Path) -> None:
    done = analyze("verify", "--man=no", str(installed))
    version = re.search(r"systemd (\d+)", analyze("--version").stdout)
    assert version is not None
    newer = [key for key, since in NEWER.items() if int(version[1]) < since]
    said = [line for line in done.stderr.splitlines() if not any(f"'{key}'" in line for key in newer)]
    assert (done.returncode, said) == (0, [])


@needs_systemd
def test_systemd_finds_it_little_exposed(installed: Path) -> None:
    done = analyze("security", "--offline=yes", "--threshold=20", "--no-pager", str(installed))
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_waits_for_its_word_and_restarts_what_fails_but_no_wrong_command_line() -> None:
    sections = unit(text_of("jobs.service"))
    service = {key: values[-1] for key, values in sections["Service"].items()}
    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert service["KillSignal"] == "SIGTERM"
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert seconds(service["WatchdogSec"]) > 0
    assert "ProcSubset" not in service  # hides /proc/sys/kernel/random/boot_id, by which a store tells the dead


def test_a_service_that_cannot_start_is_tried_for_ever_with_growing_pauses() -> None:
    sections = unit(text_of("jobs.service"))
    service = {key: float(sections["Service"][key][0]) for key in ("RestartSec", "RestartSteps", "RestartMaxDelaySec")}
    first, steps, most = service.values()
    pauses = [first * (most / first) ** (step / steps) for step in range(int(steps))]
    window = seconds(sections["Unit"]["StartLimitIntervalSec"][0])
    starts = 1 + len(pauses) + (window - sum(pauses)) / most
    assert starts < float(sections["Unit"]["StartLimitBurst"][0])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="upright-") as name:
        yield Path(name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def heard(notices: socket.socket, wanted: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the service says that to systemd."""
    said: list[str] = []
    until = time.monotonic() + PATIENCE
    while wanted not in said:
        with contextlib.suppress(TimeoutError):
            said += notices.recv(4096).decode().split("\n")
            continue
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"expected {wanted}, heard {said}; status {process.returncode}\n{log.read_text()}")


@contextlib.contextmanager
def started(words: list[str], environment: dict[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as out,
        subprocess.Popen(words, cwd=DEPLOY, env={**os.environ, **environment}, stdout=out, stderr=out) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def status(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        code: int = answer.status
        return code


def test_the_command_of_the_unit_tells_systemd_how_it_is_and_ends_with_0_after_sigterm(folder: Path) -> None:
    said = manifest("jobs.service")
    line, port = run_of(said.words), free_port()
    store, admin = folder / "jobs.db", folder / "upright.sock"
    replaced = {line.store: str(store), line.admin: str(admin), f"{line.host}:{line.port}": f"127.0.0.1:{port}"}
    words = [sys.executable, "-m", "upright.command", *(replaced.get(word, word) for word in said.words)]
    # A watchdog of a second, so that its pings come soon.
    environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1000000", "PYTHONUNBUFFERED": "1"}
    log = folder / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(environment["NOTIFY_SOCKET"])
        notices.settimeout(0.5)
        with started(words, environment, log) as process:
            heard(notices, "READY=1", process, log)
            assert [status(port, path) for path in ("/startupz", "/livez", "/readyz")] == [200, 200, 200]
            assert store.is_file()
            assert stat.S_IMODE(admin.stat().st_mode) == 0o600
            heard(notices, "WATCHDOG=1", process, log)
            process.send_signal(signal.SIGTERM)
            heard(notices, "STOPPING=1", process, log)
            assert process.wait(PATIENCE) == 0, log.read_text(encoding="utf-8", errors="replace")
    assert not admin.exists()
    assert [path.name for path in folder.glob("jobs.db*")] == ["jobs.db"]
