"""A look that cannot be taken says what is in the way: no file, a folder, or a place where this user may not write."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import running
from upright.persistence import Sqlite, StoreUnavailable
from upright.persistence.sqlite_errors import told

pytestmark = pytest.mark.anyio
# Nobody is above permissions in this process: root gives up its privileges first.
PROGRAM = """
import asyncio, ctypes, os, sys
from upright.persistence import Sqlite, StoreError

CAPABILITIES = (ctypes.c_uint32 * 6)()
HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)
if os.geteuid() == 0 and ctypes.CDLL(None).capset(ctypes.byref(HEADER), ctypes.byref(CAPABILITIES)):
    sys.exit("the privileges of root could not be given up")
try:
    asyncio.run(Sqlite(sys.argv[1]).counts())
except StoreError as error:
    print(error)
"""
MADE = """
async def made(path):
    from upright.actors import ActorSystem
    async with ActorSystem(store=Sqlite(path), log=None):
        pass

try:"""


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"nowhere\.db cannot be read: there is no such file"):
        await Sqlite(tmp_path / "nowhere.db").counts()


async def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be read: it is a folder"):
        await Sqlite(tmp_path).counts()


async def test_a_folder_into_which_this_user_may_not_write(system: Systems, tmp_path: Path) -> None:
    path = tmp_path / "closed" / "jobs.db"
    path.parent.mkdir()
    async with running(system, store=Sqlite(path)):
        pass
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        command = [sys.executable, "-c", PROGRAM, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    finally:
        path.parent.chmod(0o755)
    assert f"{path} cannot be read: this user may not write into {path.parent}" in said
    assert "call as the user of the service" in said


def test_a_store_that_cannot_be_made_says_into_which_folder_one_may_not_write(tmp_path: Path) -> None:
    path = tmp_path / "closed" / "jobs.db"
    path.parent.mkdir()
    path.parent.chmod(0o555)
    program = PROGRAM.replace("Sqlite(sys.argv[1]).counts()", "made(sys.argv[1])").replace("try:", MADE)
    try:
        command = [sys.executable, "-c", program, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    finally:
        path.parent.chmod(0o755)
    assert said == f"{path} cannot be made: this user may not write into {path.parent}\n"


async def test_a_file_system_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    flags = [*real]
    flags[8] |= os.ST_RDONLY

    def read_only(_: object) -> os.statvfs_result:
        return os.statvfs_result(flags)

    monkeypatch.setattr(os, "statvfs", read_only)
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorname = "SQLITE_CANTOPEN"
    path = tmp_path / "jobs.db"
    assert str(told(error, path)) == f"{path} cannot be made: {tmp_path} is on a file system that is read-only"
    assert str(told(error, path, " cannot be read")) == f"{path} cannot be read: there is no such file"
    path.touch()
    assert f"{tmp_path} is on a file system that is read-only, where a file beside it" in str(told(error, path))
