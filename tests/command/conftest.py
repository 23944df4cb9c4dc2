"""What the tests of the command line share: a store with something in it, and a way to call a command."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.command.town import fill
from upright.command.app import ending

ROOT = Path(__file__).parents[2]


class Said(NamedTuple):
    """What came of a command."""

    status: int
    out: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a town; nobody may change it."""
    path = tmp_path_factory.mktemp("town") / "town.db"
    asyncio.run(fill(path))
    return path


@pytest.fixture
def store(town: Path, tmp_path: Path) -> Path:
    """A copy of it, for the test alone."""
    return Path(shutil.copy(town, tmp_path / "jobs.db"))


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service is to be found by accident, and there is no colour."""
    for name in ("UPRIGHT_HEALTH", "UPRIGHT_ADMIN", "UPRIGHT_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command in this process."""

    def called(*words: object) -> Said:
        status = ending([str(word) for word in words])
        shown = capsys.readouterr()
        return Said(status, shown.out, shown.err)

    return called


@pytest.fixture
def service(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A service on a store of a town, in a process of its own: its folder, and its admin socket."""
    folder = tmp_path_factory.mktemp("s")
    store, socket = Path(shutil.copy(town, folder / "jobs.db")), folder / "upright.sock"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.command.town", str(store), str(socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield folder, socket
        finally:
            process.terminate()
    assert process.returncode == 0


def upright(*words: object, cwd: Path, **more: Any) -> Said:
    """Run the command line in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "upright.command", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL, timeout=60, **more
    )
    return Said(done.returncode, done.stdout, done.stderr)
