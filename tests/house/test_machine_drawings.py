"""The pictures of docs/machines.md show what its program draws today."""

import subprocess
import sys

from tests.house.rooms import ROOT

MAKE = ROOT / "docs" / "make_machine_drawings.py"


def test_the_committed_pictures_are_what_the_page_draws() -> None:
    done = subprocess.run([sys.executable, str(MAKE), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
