"""Each guarantee of the docs names the tests that hold it, and these tests exist."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.rooms import ROOT

PAGE = ROOT / "docs" / "guarantees.md"
NAME = re.compile(r"`(tests/[\w/]+\.py::[\w:]+)`")
ROWS = [
    line.strip("| ").split(" | ")
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| guarantee"))
]


def known_in(path: str) -> set[str]:
    """The tests of a file, each as pytest names it."""
    file = ROOT / path
    return {f"{path}::{name}" for name in named(ast.parse(file.read_text("utf-8")))} if file.is_file() else set()


def named(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    for member in node.body:
        match member:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test"):
                yield name
            case ast.ClassDef(name=name) if name.startswith("Test"):
                yield from (f"{name}::{inner}" for inner in named(member))
            case _:
                pass


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_the_guarantee_names_tests_that_exist(row: list[str]) -> None:
    tests = NAME.findall(row[-1])
    assert tests, "expected the line to name its test"
    missing = [name for name in tests if name not in known_in(name.split("::")[0])]
    assert not missing, f"expected these tests to exist: {', '.join(missing)}"


def test_the_page_is_read_whole() -> None:
    """A pattern that finds no line would hold for ever."""
    assert len(ROWS) > 30
    assert sum(len(NAME.findall(row[-1])) for row in ROWS) == PAGE.read_text("utf-8").count("tests/")


def test_a_test_that_does_not_exist_is_not_found() -> None:
    known = known_in("tests/house/test_guarantees.py")
    assert "tests/house/test_guarantees.py::test_a_test_that_does_not_exist_is_not_found" in known
    assert "tests/house/test_guarantees.py::test_nothing" not in known
    assert known_in("tests/house/test_nothing.py") == set()
