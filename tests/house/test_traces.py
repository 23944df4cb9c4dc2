"""The pictures of docs/resilience.md show what the policies do today."""

import subprocess
import sys

from tests.house.rooms import ROOT

MAKE = ROOT / "docs" / "make_traces.py"


def test_the_committed_pictures_are_what_a_fresh_run_records() -> None:
    done = subprocess.run([sys.executable, str(MAKE), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
