"""Stores for the tests of durable mailboxes."""

import importlib
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.persistence.contract import RIGS, Bench
from tests.persistence.jobs import Stores
from upright.persistence import Sqlite

KINDS = ["sqlite", "memory"] if find_spec("upright.persistence.memory") is not None else ["sqlite"]


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Opens the store of the test: each time another object, where one stands for a file."""
    if request.param == "sqlite":
        return lambda: Sqlite(tmp_path / "jobs.db")
    memory: Any = importlib.import_module("upright.persistence.memory").Memory()
    return lambda: memory


@pytest.fixture(params=RIGS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Bench]:
    """A store of each kind, for its contract."""
    bench = Bench(RIGS[request.param](tmp_path))
    yield bench
    await bench.close()
