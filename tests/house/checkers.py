"""mypy and pyright as functions: programs in a folder in, errors out."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.house.rooms import ROOT


@dataclass(frozen=True)
class Finding:
    """One error of a type checker; lines count from 1."""

    file: str
    line: int
    text: str


def mypy(python: Path, folder: Path, *names: str) -> list[Finding]:
    """Check files as a stranger would, with `--strict` and no config, against the packages of `python`."""
    cache = ROOT / ".mypy_cache" / "installed"
    words = ["--strict", "--config-file=", f"--cache-dir={cache}", "--output=json", f"--python-executable={python}"]
    done = run("mypy", folder, *words, *names)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line]
    return [Finding(error["file"], error["line"], error["message"]) for error in found if error["severity"] == "error"]


def pyright(python: Path, folder: Path, *names: str) -> list[Finding]:
    """Check files as a stranger would, without any config, against the packages of `python`."""
    done = run("pyright", folder, "--outputjson", f"--pythonpath={python}", *names)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [
        Finding(Path(error["file"]).name, error["range"]["start"]["line"] + 1, error["message"])
        for error in found
        if error["severity"] == "error"
    ]


def run(checker: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", checker, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
