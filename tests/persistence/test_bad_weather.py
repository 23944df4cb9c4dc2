"""The laws of a service whose disk does not do its part while it runs: full, gone, read-only, slow, broken, locked.

Each time an error names the file, actors stay up, and the service goes on by itself when the weather is over. More of
them, of several processes on one file, stand in `test_two_processes`.
"""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.persistence.syncers import Gate
from tests.persistence.weather import Hands, Service, Worker, disk, gate, locked, rows, service
from upright.actors.testing import VirtualTimeLoop
from upright.persistence import OutcomeUnknown, StoreUnavailable

__all__ = ["disk", "gate"]

ENDS = "SELECT state, count(*) FROM message GROUP BY state"
DONE = 2


@pytest.mark.anyio
async def test_what_a_handler_did_while_the_disk_was_full_is_written_when_there_is_room_and_not_done_again(
    disk: Path,
) -> None:
    hands = Hands()
    async with service(disk / "jobs.db", hands) as home:
        hands.open.clear()
        await home.tell(1, 2, 3)
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(4096))
        number = 4
        with pytest.raises((StoreUnavailable, OutcomeUnknown)) as refused:
            while True:
                await home.tell(number)
                number += 1
        assert str(home.path) in str(refused.value)
        hands.open.set()
        await home.told(3)
        await home.answers()
        (disk / "filler").unlink()
        await home.accepts_again(99)
        await home.rests()
        assert all(str(home.path) in error for error in home.errors)
    assert hands.handled == [*range(1, number), 99]
    assert rows(disk / "jobs.db", ENDS) == [(DONE, number)]


@pytest.fixture
def no_growth() -> Iterator[Callable[[int], None]]:
    """Has every write fail that would make a file of this process longer than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda length: resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.anyio
async def test_when_a_write_fails_nothing_of_it_is_stored_and_all_goes_on_when_writes_do(
    tmp_path: Path, no_growth: Callable[[int], None]
) -> None:
    hands = Hands()
    async with service(tmp_path / "jobs.db", hands) as home:
        hands.open.clear()
        await home.tell(1)
        no_growth((tmp_path / "jobs.db-wal").stat().st_size)
        refused = await home.refuses(2, StoreUnavailable)
        assert "I/O error" in str(refused)
        hands.open.set()
        await home.told(2)
        await home.answers()
        no_growth(resource.RLIM_INFINITY)
        await home.accepts_again(3)
        await home.rests()
        assert hands.handled == [1, 3]
    assert rows(tmp_path / "jobs.db", ENDS) == [(DONE, 2)]


@pytest.mark.anyio
async def test_when_a_sync_fails_once_whoever_waited_hears_that_the_outcome_is_unknown_and_all_goes_on(
    tmp_path: Path, gate: Gate
) -> None:
    """What was accepted before comes to its end, and what was acked before does not run again."""
    hands = Hands()
    async with service(tmp_path / "jobs.db", hands) as home:
        gate.let("o")
        await home.tell(1)
        await home.rests()
        hands.open.clear()
        gate.let("o")
        await home.tell(2)
        gate.let("e")
        unknown = await home.refuses(3, OutcomeUnknown)
        assert os.strerror(errno.EIO) in str(unknown)
        gate.let("o" * 1000)
        hands.open.set()
        await home.accepts_again(4)
        await home.rests()
        times = Counter(hands.handled)
        assert times[1] == 1
        assert times[2] in (1, 2), "it was in hand when the store was opened again"
        assert times[4] == 1
        assert home.errors == [str(unknown)]
    assert rows(tmp_path / "jobs.db", ENDS) == [(DONE, len(times))]


@pytest.mark.anyio
async def test_while_the_disk_stalls_the_loop_answers_and_what_waits_for_the_disk_waits(
    tmp_path: Path, gate: Gate
) -> None:
    async with service(tmp_path / "jobs.db") as home:
        telling = asyncio.ensure_future(home.tell(1))
        await gate.entered()
        for _ in range(1000):
            await home.answers()
        assert not telling.done()
        gate.let("o" * 1000)
        await telling
        await home.rests()
        assert home.hands.handled == [1]
        assert not home.errors


@pytest.mark.anyio
async def test_while_another_process_holds_the_lock_the_loop_answers_and_what_is_told_waits(tmp_path: Path) -> None:
    async with service(tmp_path / "jobs.db") as home:
        await home.tell(1)
        async with locked(home.path) as go_on:
            telling = asyncio.ensure_future(home.tell(2))
            for _ in range(1000):
                await home.answers()
            assert not telling.done()
            await go_on()
            await telling
        await home.rests()
        assert home.hands.handled == [1, 2]
        assert not home.errors


@pytest.mark.anyio
async def test_when_the_log_is_deleted_nothing_that_was_accepted_is_lost(tmp_path: Path) -> None:
    hands = Hands()
    async with service(tmp_path / "jobs.db", hands) as home:
        hands.open.clear()
        await home.tell(1, 2, 3)
        (tmp_path / "jobs.db-wal").unlink()
        unknown = await home.refuses(4, OutcomeUnknown)
        assert "was deleted" in str(unknown)
        hands.open.set()
        await home.accepts_again(5)
        await home.rests()
        assert set(hands.handled) >= {1, 2, 3, 5}
    assert {state for state, _ in rows(tmp_path / "jobs.db", ENDS)} == {DONE}
    assert rows(tmp_path / "jobs.db", "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.anyio
async def test_when_the_file_is_deleted_nothing_more_is_accepted_into_the_void(tmp_path: Path) -> None:
    """Its log is kept as long as somebody may still have the file; when both are gone, a new one is made."""
    async with service(tmp_path / "jobs.db") as home:
        await home.tell(1)
        await home.rests()
        home.path.unlink()
        unknown = await home.refuses(2, OutcomeUnknown)
        assert "was deleted" in str(unknown)
        await home.told(3)
        await home.answers()
        assert "put that very file back" in home.errors[-1]
        assert all(str(home.path) in error for error in home.errors)
        (tmp_path / "jobs.db-wal").unlink()
        await home.accepts_again(3)
        await home.rests()
        assert [one for one in home.hands.handled if one != 2] == [1, 3]  # whether 2 was done nobody can tell
    assert rows(home.path, ENDS) == [(DONE, 1)]


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["moved away", "replaced by an empty one"])
async def test_when_the_file_is_moved_away_nothing_is_lost_once_it_is_back(how: str, tmp_path: Path) -> None:
    hands = Hands()
    async with service(tmp_path / "jobs.db", hands) as home:
        hands.open.clear()
        await home.tell(1, 2)
        home.path.rename(tmp_path / "old.db")
        if how != "moved away":
            home.path.write_bytes(b"")
        unknown = await home.refuses(3, OutcomeUnknown)
        assert "was deleted, or moved away" in str(unknown)
        await home.told(3)
        await home.answers()
        (tmp_path / "old.db").replace(home.path)
        hands.open.set()
        await home.accepts_again(4)
        await home.rests()
        assert set(hands.handled) >= {1, 2, 4}
    assert {state for state, _ in rows(home.path, ENDS)} == {DONE}


@pytest.mark.anyio
async def test_another_file_in_its_place_is_left_as_it_is_until_that_very_file_is_back(tmp_path: Path) -> None:
    """A copy of before, say, which somebody wants to go back to, and forgets the log."""
    hands = Hands()
    async with service(tmp_path / "jobs.db", hands) as home:
        await home.tell(1, 2)
        await home.rests()
        with contextlib.closing(sqlite3.connect(home.path)) as copying:
            copying.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        copied = (tmp_path / "copy.db").read_bytes()
        hands.open.clear()
        await home.tell(3, 4)
        home.path.rename(tmp_path / "old.db")
        (tmp_path / "copy.db").rename(home.path)
        await home.refuses(5, OutcomeUnknown)
        await home.told(6)
        await home.answers()
        with pytest.raises(StoreUnavailable, match="another file is at"):
            await home.store.sweep()
        assert "put that very file back" in home.errors[-1]
        assert home.path.read_bytes() == copied
        (tmp_path / "old.db").replace(home.path)
        hands.open.set()
        await home.accepts_again(7)
        await home.rests()
        assert set(hands.handled) >= {1, 2, 3, 4, 7}
    assert rows(home.path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.anyio
async def test_when_the_folder_is_deleted_it_is_asked_for_again_and_again_until_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with service(folder / "jobs.db") as home:
        await home.tell(1)
        await home.rests()
        shutil.rmtree(folder)
        await home.refuses(2, OutcomeUnknown)
        await home.told(3)
        await home.answers()
        assert all(str(home.path) in error for error in home.errors)
        folder.mkdir()
        await home.accepts_again(3)
        await home.rests()
        assert [one for one in home.hands.handled if one != 2] == [1, 3]  # whether 2 was done nobody can tell


@pytest.mark.anyio
async def test_when_the_file_has_become_read_only_the_store_opens_again_as_soon_as_it_is_not(
    disk: Path, gate: Gate
) -> None:
    """A sync fails; when the store is to be opened anew, the file may not be written any more."""
    folder, hands = disk / "folder", Hands()
    folder.mkdir()
    gate.let("oo")
    async with service(folder / "jobs.db", hands) as home:
        hands.open.clear()
        await home.tell(1, 2)
        for how in (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)]):
            subprocess.check_call(["mount", *how])
        try:
            gate.let("e")
            await home.refuses(3, OutcomeUnknown)
            await home.told(3)
            await home.answers()
            assert all(str(home.path) in error for error in home.errors)
            assert "read" in home.errors[-1]
        finally:
            subprocess.check_call(["umount", str(folder)])
        gate.let("o" * 1000)
        hands.open.set()
        await home.accepts_again(4)
        await home.rests()
        assert set(hands.handled) >= {1, 2, 4}
    assert {state for state, _ in rows(folder / "jobs.db", ENDS)} == {DONE}


class SetClock:
    """The clock of the machine, which follows the loop and may be set."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def __call__(self) -> float:
        return 1_700_000_000.0 + self.set_by + asyncio.get_running_loop().time()


def set_clock(home: Service, clock: SetClock) -> None:
    engine = home.store._sqlite
    engine._clock = engine.now = clock


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["ahead", "back"])
def test_when_the_clock_is_set_nothing_is_lost_or_done_twice_and_what_is_not_bound_to_a_time_goes_on(
    jump: float, tmp_path: Path
) -> None:
    """What is due at a time is due when the clock says so, within a minute of it."""

    async def scene() -> None:
        clock, hands, loop = SetClock(), Hands(), asyncio.get_running_loop()
        home = Service(tmp_path / "jobs.db", hands)
        set_clock(home, clock)
        async with home.system:
            due = clock() + 1800.0
            await home.worker.later(1800.0).tell(Worker.work, 100)
            hands.open.clear()
            await home.tell(1, 2)
            clock.set_by = jump
            hands.open.set()
            await home.tell(3)
            await home.worker.tell(Worker.stumble, 4)
            await home.tell(5)
            await hands.until(5)
            assert [number for number in hands.handled if number != 100] == [1, 2, 3, 4, 5]
            assert loop.time() < 60
            await hands.until(100)
            assert loop.time() <= max(1800 - jump, 0) + 60
            assert clock() >= due
            await home.tell(6)
            await home.rests()
            assert not home.errors
        assert Counter(hands.handled) == Counter([1, 2, 3, 4, 5, 6, 100])

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(asyncio.wait_for(scene(), 100_000))
