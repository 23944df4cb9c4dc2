"""The law of ids after a power cut: none is given again that a message may have had which the disk never got."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from upright.persistence import boot
from upright.persistence.records import Batch, Outgoing
from upright.persistence.sqlite_engine import SqliteEngine
from upright.persistence.syncer import Syncer

pytestmark = pytest.mark.anyio


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the machine says which boot this is."""
    place = tmp_path / "boot_id"
    place.write_text("first\n")
    monkeypatch.setattr(boot, "BOOT_ID", place)
    return place


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[SqliteEngine]:
    engine = SqliteEngine(path, "full")
    await engine.open(lambda _: None)
    try:
        yield engine
    finally:
        await engine.close()


async def put(engine: SqliteEngine, count: int = 1) -> list[int]:
    written = await engine.write(Batch(puts=[Outgoing("work", "do", b"")] * count))
    if written.lasting is not None:
        await written.lasting
    return [receipt.id for receipt in written.receipts]


async def in_use(path: Path) -> Path:
    """A store with three messages, whose session has not ended: as it is found after a power cut."""
    async with opened(path / "jobs.db") as engine:
        assert await put(engine, 3) == [1, 2, 3]
        for ending in ("", "-wal"):
            shutil.copy(path / f"jobs.db{ending}", path / f"found.db{ending}")
    return path / "found.db"


async def test_after_a_crash_and_another_boot_ids_are_left_out_once(tmp_path: Path, machine: Path) -> None:
    found = await in_use(tmp_path)
    machine.write_text("second\n")
    async with opened(found) as engine:
        assert await put(engine, 2) == [3 + boot.LEFT_OUT + 1, 3 + boot.LEFT_OUT + 2]
    async with opened(found) as engine:
        assert await put(engine) == [3 + boot.LEFT_OUT + 3]


async def test_a_killed_process_alone_loses_no_id(tmp_path: Path, machine: Path) -> None:
    assert machine.is_file()
    async with opened(await in_use(tmp_path)) as engine:
        assert await put(engine) == [4]


async def test_a_store_that_was_closed_in_order_goes_on_after_a_boot(tmp_path: Path, machine: Path) -> None:
    await in_use(tmp_path)
    machine.write_text("second\n")
    async with opened(tmp_path / "jobs.db") as engine:
        assert await put(engine) == [4]


async def test_where_the_system_tells_no_boots_every_crash_may_have_been_one(tmp_path: Path, machine: Path) -> None:
    machine.unlink()
    async with opened(await in_use(tmp_path)) as engine:
        assert await put(engine) == [3 + boot.LEFT_OUT + 1]


async def test_the_disk_knows_of_each_session_before_the_store_is_open(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was closed in order leaves no row, and the next one's would be gone with its messages."""
    synced: list[str] = []
    sync = Syncer.sync

    def noted(self: Syncer) -> object:
        synced.append(machine.read_text().strip())
        return sync(self)

    monkeypatch.setattr(Syncer, "sync", noted)
    path = tmp_path / "jobs.db"
    for word in ("first", "first", "second"):
        machine.write_text(f"{word}\n")
        async with opened(path):
            assert synced[-1] == word
    assert len(synced) == 3
