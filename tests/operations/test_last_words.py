"""That a tree gave up is kept in its store, for whoever comes next."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.operations.bank import Ledger, Quiet, system_on
from upright.actors import ActorSystem
from upright.operations import Service
from upright.operations.last_words import KIND, NAME, LastWord, read_word
from upright.persistence import Memory, Sqlite, Store
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio
Stores = Callable[[], Store]

PROGRAM = """
import asyncio, os, sys
sys.path.insert(0, {root!r})
from tests.operations.test_last_words import gives_up
from upright.persistence import Sqlite
print(os.getpid(), flush=True)
sys.exit(asyncio.run(gives_up(Sqlite("jobs.db"))))
"""


@pytest.fixture(params=["sqlite", "memory"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Opens the store of the test."""
    memory = Memory()
    return (lambda: Sqlite(tmp_path / "jobs.db")) if request.param == "sqlite" else lambda: memory


async def gives_up(store: Store | None) -> int:
    """The status of a service whose tree gives up."""
    tree = supervisor("top", child("ledger", Ledger), max_restarts=0)
    system = ActorSystem(tree, store=store, log=None, dead_letters=Quiet)

    async def strike() -> None:
        await system.kill(system.ref("/top/ledger", Ledger))

    service = Service(system, signals=False)
    await service.start()
    await strike()
    await system.wait()
    await service.stop()
    return 1


async def kept(store: Store) -> LastWord | None:
    """What a next process reads."""
    async with system_on(store):
        return read_word(await store.read(NAME, KIND))


async def test_the_next_process_reads_when_why_and_where(stores: Stores) -> None:
    before = time.time()
    await gives_up(stores())
    word = await kept(stores())
    assert word is not None
    assert before - 1 <= word.at <= time.time() + 1
    assert "/top" in word.why or "ledger" in word.why
    assert (word.pid, word.times) == (os.getpid(), 1)


async def test_it_counts_how_often(stores: Stores) -> None:
    for _ in range(3):
        await gives_up(stores())
    word = await kept(stores())
    assert word is not None
    assert word.times == 3


async def test_another_process_reads_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(root=root)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    word = await kept(Sqlite("jobs.db"))
    assert word is not None
    assert word.pid == int(done.stdout)


async def test_a_clean_end_leaves_no_word(stores: Stores) -> None:
    async with Service(system_on(stores()), signals=False):
        pass
    assert await kept(stores()) is None


async def test_without_a_store_nothing_is_kept_and_nothing_breaks() -> None:
    assert await gives_up(None) == 1


@pytest.mark.parametrize("body", [b"", b"rubbish", b"\x81"])
def test_a_word_that_cannot_be_read_is_none(body: bytes) -> None:
    record: Any = SimpleNamespace(body=body)
    assert read_word(record) is None
    assert read_word(None) is None
