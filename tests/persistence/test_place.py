"""The laws of where a store may lie, and of what is said where it may not."""

import os
import shutil
from pathlib import Path

import pytest

from tests.persistence.weather import Hands, disk, refused, service
from upright.persistence import Sqlite, StoreCorrupt, StoreUnavailable, place

__all__ = ["disk"]

pytestmark = pytest.mark.anyio


async def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.mkdir()
    await refused(path, StoreUnavailable, "is a folder")


async def test_a_pipe_in_the_place_of_the_file_is_refused_at_once(tmp_path: Path) -> None:
    """To open one means to wait for whoever writes into it."""
    path = tmp_path / "jobs.db"
    os.mkfifo(path)
    await refused(path, StoreUnavailable, "is no regular file")
    with pytest.raises(StoreUnavailable, match="is no regular file"):
        await Sqlite(path).counts()
    assert [one.name for one in tmp_path.iterdir()] == ["jobs.db"]


async def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    await refused(tmp_path / "nowhere" / "jobs.db", StoreUnavailable, f"there is no folder {tmp_path / 'nowhere'}")


@pytest.mark.parametrize("left", [None, b"", b"x"], ids=["gone", "emptied", "a byte"])
async def test_a_log_without_its_file_is_told_of_and_kept_until_the_file_is_back(
    left: bytes | None, tmp_path: Path
) -> None:
    """As a kill leaves them, and somebody who loses the file."""
    hands, path = Hands(), tmp_path / "killed" / "jobs.db"
    path.parent.mkdir()
    async with service(tmp_path / "jobs.db", hands) as home:
        hands.open.clear()
        await home.tell(1, 2, 3)
        for name in ("jobs.db", "jobs.db-wal"):
            shutil.copy(tmp_path / name, path.with_name(name))
        hands.open.set()
    path.rename(path.with_name("lost"))
    log = path.with_name("jobs.db-wal")
    before = log.read_bytes()
    if left is not None:
        path.write_bytes(left)
    await refused(path, StoreCorrupt, str(log))
    assert log.read_bytes() == before
    path.with_name("lost").replace(path)
    async with service(path) as home:
        await home.rests()
        assert home.hands.handled == [1, 2, 3]


async def test_a_link_leads_to_the_store_and_its_log_lies_there(tmp_path: Path) -> None:
    link, path = tmp_path / "jobs.db", tmp_path / "elsewhere" / "real.db"
    path.parent.mkdir()
    link.symlink_to(path)
    async with service(link) as home:
        await home.tell(1)
        await home.rests()
        assert path.with_name("real.db-wal").exists()
    async with service(path) as home:
        await home.tell(2)
        await home.rests()
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["jobs.db"]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
async def test_a_network_file_system_is_refused_by_its_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux would tell of it; there is none to mount here."""
    device = os.stat(tmp_path).st_dev
    mounts = tmp_path / "mounts"
    line = f"36 35 {os.major(device)}:{os.minor(device)} / /data rw,noatime shared:7 - {kind} server:/data rw\n"
    mounts.write_text(f"22 27 0:5 / /proc rw - proc proc rw\n{line}")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    await refused(tmp_path / "jobs.db", StoreUnavailable, "local disk", kind)
    assert [path.name for path in tmp_path.iterdir()] == ["mounts"]


async def test_a_disk_of_this_machine_is_known_by_its_name(disk: Path) -> None:
    assert place.file_system(disk) == "tmpfs"
    async with service(disk / "jobs.db") as home:
        await home.tell(1)
        await home.rests()
