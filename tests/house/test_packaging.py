"""What users install: every room of every wing, its types, four requirements, and nothing heavy on import."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.house.checkers import mypy, pyright
from tests.house.conftest import Installed
from tests.house.rooms import ROOT, WINGS, House

CORE = {"anyio", "msgspec", "aiosqlite", "structlog"}
# Third-party modules that the import of the ground floor may bring: its requirements and what these stand on.
LIGHT = {"upright", "anyio", "msgspec", "structlog", "idna", "typing_extensions"}
# Parts of the standard library that cost at import and that messages in memory have no use for.
HEAVY = {"sqlite3", "unittest", "doctest", "multiprocessing", "tkinter", "xml", "http", "sysconfig", "pydoc"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def folders_with_rooms() -> set[str]:
    return {room.path.rsplit("/", 1)[0] for room in House.read().wings}


def test_every_folder_of_a_wing_is_packaged(project: dict[str, Any]) -> None:
    folders = {f"upright.{folder.replace('/', '.')}" for folder in folders_with_rooms()}
    assert folders <= set(project["tool"]["setuptools"]["packages"]), "add the folder to packages in pyproject.toml"


def test_every_folder_of_a_wing_has_a_face() -> None:
    """Without `__init__.py` a folder is a namespace that packaging and type checkers pass over."""
    assert [folder for folder in folders_with_rooms() if not (ROOT / folder / "__init__.py").is_file()] == []


def test_every_wing_is_marked_as_typed() -> None:
    wings = [wing for wing in WINGS if (ROOT / wing / "__init__.py").is_file()]
    assert [wing for wing in wings if not (ROOT / wing / "py.typed").is_file()] == []


def test_the_core_requires_four_packages(project: dict[str, Any]) -> None:
    names = [re.match(r"[\w.-]+", line) for line in project["project"]["dependencies"]]
    assert {name[0] for name in names if name} == CORE
    assert len(names) == len(CORE)


def test_the_wheel_holds_every_room_and_nothing_else(wheel: Path) -> None:
    kept = {f"upright/{room.path}" for room in House.read().wings}
    kept |= {f"upright/{wing}/py.typed" for wing in WINGS if (ROOT / wing / "py.typed").is_file()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name for name in held if name.endswith((".py", "py.typed"))} == kept
    assert all(name.startswith("upright/") for name in held)


def test_the_installed_copy_is_the_one_imported(installed: Installed) -> None:
    command = [str(installed.python), "-c", "import upright.actors; print(upright.actors.__file__)"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=installed.wheel.parent)
    assert Path(shown.stdout.strip()).is_relative_to(installed.python.parents[1])


def test_importing_the_ground_floor_is_light(tmp_path: Path) -> None:
    # structlog takes these two along where it finds them, and the peers of the benchmarks may have brought them.
    program = (
        "import sys; sys.modules['rich'] = sys.modules['greenlet'] = None; seen = {*sys.modules};"
        " import upright.actors; print(*{*sys.modules} - seen)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    tops = {name.split(".")[0] for name in done.stdout.split()}
    assert tops - LIGHT - sys.stdlib_module_names == set()
    assert tops & HEAVY == set()


@pytest.mark.types
@pytest.mark.parametrize("check", [mypy, pyright])
def test_checkers_see_the_types_of_an_installed_copy(check: Any, installed: Installed, tmp_path: Path) -> None:
    """The one error is ours: without py.typed everything imported would be Any, and the line would pass."""
    (tmp_path / "user.py").write_text("from upright.actors import Actor\n\nwrong: int = Actor\n")
    assert [(found.file, found.line) for found in check(installed.python, tmp_path, "user.py")] == [("user.py", 3)]
