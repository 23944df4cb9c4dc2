"""An installed copy as users have it: checked types and packaged files are those of the wheel, not of the checkout."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, WINGS


@dataclass(frozen=True)
class Installed:
    """A wheel, and the interpreter of an environment that holds it beside our requirements."""

    wheel: Path
    python: Path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a fresh copy: setuptools keeps removed modules alive in the checkout's build folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for wing in WINGS:
        if (ROOT / wing).is_dir():
            shutil.copytree(ROOT / wing, source / wing, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install it beside our requirements; the editable copy stays hidden, since .pth files do not chain."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(wheel, python)


def pip(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
