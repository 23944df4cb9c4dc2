"""The folder of a crew goes with its parent, and if that was killed, with the next one; nobody else's is touched."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from upright.operations.crew_folder import OWNER, CrewFolder, remove_if_dead

KILLED = """
import os
from upright.operations.crew_folder import CrewFolder
print(CrewFolder().path, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files are; short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


def test_what_a_killed_parent_has_left_is_removed_by_the_next_one(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, env=environment
    )  # fmt: skip
    left = killed.stdout.strip()
    (Path(left) / "1.notify").touch()
    assert Path(left).parent == place
    folder = CrewFolder()
    assert folder.path.exists()
    assert not Path(left).exists()
    folder.close()


def test_one_whose_owner_lives_is_let_be() -> None:
    first, second = CrewFolder(), CrewFolder()
    assert first.path != second.path
    assert first.path.exists()
    assert not remove_if_dead(first.path)
    second.close()
    assert first.path.exists()
    first.close()


def test_what_is_no_folder_of_a_crew_is_let_be(place: Path) -> None:
    (place / "upright-strange").mkdir()
    (place / "upright-file").touch()
    real = place / "real"
    real.mkdir()
    (real / OWNER).touch()
    (place / "upright-link").symlink_to(real)
    lock = place / "upright-lock"
    lock.mkdir()
    (lock / OWNER).symlink_to(real / OWNER)
    folder = CrewFolder()
    assert folder.path.exists()
    folder.close()
    assert sorted(path.name for path in place.iterdir()) == [
        "real", "upright-file", "upright-link", "upright-lock", "upright-strange",
    ]  # fmt: skip
    assert (real / OWNER).exists()
