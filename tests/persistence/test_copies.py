"""The laws of a copy that does not come to be: nothing under its name, and nothing of anybody else's is touched."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.persistence.jobs import Book, Worker, running, worker, worker_ref
from upright.actors import ActorSystem
from upright.persistence import Sqlite, StoreError, StoreUnavailable, sqlite_upkeep

ROOM = 131_072
"""Bytes that a file of the child process may have; the store has more."""
COPY = """
import asyncio, os, resource, signal, sys
from upright.actors import ActorSystem
from upright.persistence import Sqlite, StoreError

path, manner = sys.argv[1:]
if manner != "dies when it is to be synced":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if manner == "dies while it is written" else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (131072, 131072))
else:
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
try:
    asyncio.run(Sqlite(path).backup(os.path.join(os.path.dirname(path), "copies", "copy.db")))
except StoreError as error:
    print(error)
"""


@pytest.fixture
def store(tmp_path: Path) -> Sqlite:
    """A store with something in it, and a folder for its copies, which is empty."""

    async def fill() -> None:
        async with running(ActorSystem, worker(Book()), store=Sqlite(tmp_path / "jobs.db")) as s:
            await worker_ref(s).later(9_999).tell_many(Worker.note, ["x" * 500] * 1_000)

    asyncio.run(fill())
    assert (tmp_path / "jobs.db").stat().st_size > 2 * ROOM
    (tmp_path / "copies").mkdir()
    return Sqlite(tmp_path / "jobs.db")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def copied(folder: Path, manner: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", COPY, str(folder / "jobs.db"), manner]
    return subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("manner", "died_of"),
    [
        ("dies while it is written", signal.SIGXFSZ),
        ("dies when it is to be synced", signal.SIGKILL),
    ],
)
def test_a_process_that_dies_while_it_copies_leaves_nothing_under_the_name_of_the_copy(
    tmp_path: Path, copies: Path, manner: str, died_of: signal.Signals
) -> None:
    assert copied(tmp_path, manner).returncode == -died_of
    left = {path.name for path in copies.iterdir()}
    assert left
    assert all(name.startswith("copy.db-unfinished-") for name in left)


@pytest.mark.usefixtures("store")
def test_a_copy_for_which_there_is_no_room_fails_and_leaves_nothing(tmp_path: Path, copies: Path) -> None:
    done = copied(tmp_path, "has no room")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path) in done.stdout
    assert list(copies.iterdir()) == []


@pytest.mark.parametrize("which", ["the file", "its folder"])
@pytest.mark.anyio
async def test_a_copy_that_cannot_be_synced_fails_and_leaves_nothing_that_is_not_whole(
    store: Sqlite, copies: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    def fails(path: Path) -> None:
        if path.is_dir() == (which == "its folder"):
            if path.is_file():
                path.with_name(f"{path.name}-journal").touch()  # as SQLite leaves one where it cannot write any more
            raise OSError(5, "a broken disk")

    monkeypatch.setattr(sqlite_upkeep, "sync", fails)
    with pytest.raises(StoreError, match="a broken disk"):
        await store.backup(copies / "copy.db")
    assert [path.name for path in copies.iterdir()] == (["copy.db"] if which == "its folder" else [])


@pytest.mark.parametrize("kind", ["file", "link to nothing"])
@pytest.mark.anyio
async def test_a_copy_replaces_no_file_that_has_come_meanwhile(
    store: Sqlite, copies: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target = copies / "copy.db"

    def comes(_: Path) -> None:
        if not os.path.lexists(target):
            target.write_text("mine") if kind == "file" else target.symlink_to("nowhere")

    monkeypatch.setattr(sqlite_upkeep, "sync", comes)
    with pytest.raises(StoreUnavailable, match=r"expected a new file for the copy, but there is .*copy\.db"):
        await store.backup(target)
    assert list(copies.iterdir()) == [target]
    assert target.read_text() == "mine" if kind == "file" else os.readlink(target) == "nowhere"


@pytest.mark.anyio
async def test_where_the_file_system_knows_no_links_the_copy_gets_its_name_all_the_same(
    store: Sqlite, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    await store.backup(copies / "copy.db")
    assert [path.name for path in copies.iterdir()] == ["copy.db"]
    with contextlib.closing(sqlite3.connect(copies / "copy.db")) as connection:
        assert connection.execute("SELECT count(*) FROM message").fetchone() == (1_000,)


@pytest.mark.anyio
async def test_a_folder_that_is_not_there_is_told_by_name(store: Sqlite, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=f"expected a folder for the copy, but there is no {tmp_path}/nowhere"):
        await store.backup(tmp_path / "nowhere" / "copy.db")
    assert not (tmp_path / "nowhere").exists()
