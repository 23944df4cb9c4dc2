"""The C of the accelerator keeps house too: every file is built, none is long, and the compiler has nothing to say."""

import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.house.rooms import ROOT

NATIVE = ROOT / "actors" / "native"
LONGEST = 350
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-unused-parameter"]


def test_each_file_is_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (extension,) = project["tool"]["setuptools"]["ext-modules"]
    assert extension["optional"], "without a compiler the package must be installed all the same"
    named = {ROOT / name for name in (*extension["sources"], *extension["depends"])}
    assert named == {*NATIVE.glob("*.c"), *NATIVE.glob("*.h")}


def test_no_file_is_long_and_no_line_is() -> None:
    files = {path.name: path.read_text("utf-8").splitlines() for path in NATIVE.iterdir()}
    assert files
    assert [name for name, lines in files.items() if len(lines) > LONGEST] == []
    assert [f"{name}: {line}" for name, lines in files.items() for line in lines if len(line) > 120] == []


def test_the_compiler_has_nothing_to_say(tmp_path: Path) -> None:
    compiler, include = shutil.which("cc"), Path(sysconfig.get_path("include"))
    if compiler is None or not (include / "Python.h").is_file():
        pytest.skip("there is no C compiler here, or no header of Python's")
    sources = [str(path) for path in sorted(NATIVE.glob("*.c"))]
    command = [compiler, "-O2", *WARNINGS, "-fPIC", "-shared", f"-I{include}", *sources, "-o", str(tmp_path / "it.so")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
