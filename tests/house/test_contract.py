"""Programs that users would write run as they stand, and both type checkers accept them and reject their misuse."""

import filecmp
import importlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.checkers import Finding, mypy, pyright
from tests.house.conftest import Installed
from tests.house.rooms import ROOT, Room

CONTRACT = ROOT / "tests" / "contract"
ORIGINALS = ROOT.parent / "shared" / "contract"
# Program: the arguments that it is run with.
PROGRAMS = {"bank.py": [], "jobs.py": ["jobs.db"], "orders.py": ["orders.db"]}
MISUSE = "misuse.py"
Check = Callable[..., list[Finding]]


def skip_unless_importable(name: str) -> None:
    """A program waits, visibly, for the wings that it imports, and for the names that it takes from them."""
    seen = list(Room(name, (CONTRACT / name).read_text("utf-8")).imports())
    wanted = {one.module for one in seen}
    siblings = {Path(program).stem for program in PROGRAMS}
    for module in sorted(wanted - siblings):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{name} waits for {module}")
        face = importlib.import_module(module)
        missing = sorted(one.name for one in seen if one.module == module and one.name and not hasattr(face, one.name))
        if missing:
            pytest.skip(f"{name} waits for {module}: {', '.join(missing)}")
    for sibling in sorted(wanted & siblings):
        skip_unless_importable(f"{sibling}.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The programs in a folder of their own, where no config of this project reaches them."""
    return Path(shutil.copytree(CONTRACT, tmp_path / "contract"))


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="the originals of the contract programs do not lie beside us")
def test_the_copies_are_the_originals() -> None:
    names = sorted(path.name for path in ORIGINALS.iterdir() if path.is_file())
    assert names == sorted(path.name for path in CONTRACT.iterdir() if path.is_file())
    _, differing, unreadable = filecmp.cmpfiles(ORIGINALS, CONTRACT, names, shallow=False)
    assert not differing + unreadable


def test_every_program_is_run_or_checked() -> None:
    assert {path.name for path in CONTRACT.glob("*.py")} == {*PROGRAMS, MISUSE}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_runs_as_it_stands(name: str, folder: Path) -> None:
    skip_unless_importable(name)
    command = [sys.executable, "-W", "error", name, *PROGRAMS[name]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.types
@pytest.mark.parametrize("check", [mypy, pyright])
@pytest.mark.parametrize("name", PROGRAMS)
def test_checkers_accept_the_program(name: str, check: Check, installed: Installed, folder: Path) -> None:
    skip_unless_importable(name)
    assert check(installed.python, folder, name) == []


@pytest.mark.types
@pytest.mark.parametrize("check", [mypy, pyright])
def test_checkers_reject_exactly_the_marked_lines(check: Check, installed: Installed, folder: Path) -> None:
    skip_unless_importable(MISUSE)
    found = check(installed.python, folder, MISUSE)
    assert {(finding.file, finding.line) for finding in found} == {(MISUSE, line) for line in marked_lines()}


def marked_lines() -> set[int]:
    """Every comment of the file is a mark: it says what is wrong with its line."""
    tokens = tokenize.generate_tokens(io.StringIO((CONTRACT / MISUSE).read_text("utf-8")).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT}


def test_misuse_marks_its_lines() -> None:
    assert len(marked_lines()) == 5
