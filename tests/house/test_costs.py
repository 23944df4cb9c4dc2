"""No path of a message becomes longer unnoticed: counts of calls and instructions, the same on each machine."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.house.costs import IN_PYTHON, MARKS, VERSION
from tests.house.rooms import ROOT
from upright.actors.accelerator import METHODS

SLACK = 1.05
"""What a count may be above its mark: in which turn of the loop a message comes depends a little on the machine."""
MARKED: dict[str, Any] = json.loads(MARKS.read_text("utf-8"))


@pytest.fixture(scope="module", params=[VERSION, IN_PYTHON])
def way(request: pytest.FixtureRequest) -> str:
    """The name of the marks: with the accelerator, and without."""
    if request.param not in MARKED:
        pytest.skip(f"there are no marks for Python {request.param}")
    if request.param == VERSION and not METHODS:
        pytest.skip("the accelerator is not built here, or is turned off by UPRIGHT_PURE")
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def found(way: str) -> dict[str, list[float]]:
    """What the operations cost now, in a process of its own: coverage, plugins and debuggers would count as well."""
    command = [sys.executable, str(ROOT / "tests" / "house" / "costs.py")]
    environment = os.environ | {"UPRIGHT_PURE": "0" if way == VERSION else "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, cwd=ROOT, env=environment
    )  # fmt: skip
    costs: dict[str, list[float]] = json.loads(done.stdout)
    return costs


def test_each_python_that_is_tested_has_marks() -> None:
    versions = ["3.11", "3.12", "3.13"]
    assert sorted(MARKED) == sorted([*versions, *(f"{version} in Python" for version in versions)])


@pytest.mark.parametrize("operation", sorted(MARKED["3.11"]))
def test_an_operation_costs_no_more_than_its_mark(operation: str, way: str, found: dict[str, list[float]]) -> None:
    for name, cost, mark in zip(("calls", "instructions"), found[operation], MARKED[way][operation], strict=True):
        assert cost <= mark * SLACK, (
            f"{operation} takes {cost} {name} where it took {mark}: make it cheaper, or say in the commit why it costs"
            f" more, and write the marks anew with `python tests/house/costs.py --write` for each Python, with"
            f" UPRIGHT_PURE=1 and without"
        )


def test_the_marks_are_not_far_above_what_is(way: str, found: dict[str, list[float]]) -> None:
    """Else what was won could be lost again unnoticed."""
    loose = [name for name, (_, cost) in found.items() if cost < MARKED[way][name][1] / 1.15]
    assert not loose, f"write the marks of {', '.join(loose)} anew: python tests/house/costs.py --write"
