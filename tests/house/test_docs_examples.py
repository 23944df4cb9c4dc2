"""Every example that a reader may copy runs: the Python blocks of the pages, and the doctests of every room.

A page's blocks run in order in one program of their own. A block that cannot run says so after the fence's language:
`python no-run`.
"""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, House

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [room.module for room in House.read().wings]
FENCE = re.compile(r"^(?P<indent>\s*)(?P<mark>`{3,}|~{3,})\s*(?P<info>.*?)\s*$")


def program_of(page: str) -> str:
    """The page's Python blocks on the lines where they stand, so that a traceback names the page's own line."""
    lines: list[str] = []
    fence: re.Match[str] | None = None
    runs = False
    for text in page.splitlines():
        found = FENCE.match(text)
        line = ""
        if fence is None and found:
            fence, runs = found, found["info"] == "python"
        elif fence and found and not found["info"] and found["mark"].startswith(fence["mark"]):
            fence = None
        elif fence and runs:
            line = text.removeprefix(fence["indent"])
        lines.append(line)
    if fence is not None:
        raise ValueError("expected every fence to be closed")
    return "\n".join(lines).rstrip() + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_the_page_run(page: Path, tmp_path: Path) -> None:
    program = tmp_path / f"{page.stem}.py"
    program.write_text(program_of(page.read_text("utf-8")), "utf-8")
    command = [sys.executable, "-W", "error", program.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MODULES)
def test_the_doctests_of_the_room_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0, f"python -m doctest shows {outcome.failed} failures"


def test_blocks_stand_on_the_lines_of_their_page() -> None:
    page = "# Page\n```python\nx = 1\n```\n\n- item\n\n  ```python\n  if x:\n      y = 2\n  ```\n"
    assert program_of(page) == "\n\nx = 1\n\n\n\n\n\nif x:\n    y = 2\n"


def test_other_blocks_are_left_out() -> None:
    page = "```python no-run\nserve()\n```\n````markdown\n```python\nz\n```\n````\n```sh\nmake\n```\n"
    assert program_of(page).strip() == ""


def test_an_open_fence_is_refused() -> None:
    with pytest.raises(ValueError, match="closed"):
        program_of("```python\nx = 1\n")
