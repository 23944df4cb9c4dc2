"""The API reference says what the docstrings say."""

import subprocess
import sys

from tests.house.rooms import ROOT

MAKE = ROOT / "docs" / "make_reference.py"


def test_the_committed_pages_are_what_a_fresh_run_writes() -> None:
    done = subprocess.run([sys.executable, str(MAKE), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
