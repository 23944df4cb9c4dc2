"""The laws of where a store may lie, and of what is said where it may not."""

import os
from pathlib import Path

import pytest

from tests.persistence.weather import disk, refused, service
from upright.persistence import StoreUnavailable, place

__all__ = ["disk"]

pytestmark = pytest.mark.anyio


async def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.mkdir()
    await refused(path, StoreUnavailable, "is a folder")


async def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    await refused(tmp_path / "nowhere" / "jobs.db", StoreUnavailable, f"there is no folder {tmp_path / 'nowhere'}")


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
