"""The laws of the lease: a thread keeps it as long as the process goes on, and each is judged by his own promise."""

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.persistence.crashes import PATIENCE
from tests.persistence.sessions import process
from upright.persistence import Sqlite, lease, session_header
from upright.persistence.lease import Lease, Lookout
from upright.persistence.session_file import SessionFile, is_dead, read_header


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


class Clock(SimpleNamespace):
    """Stands for the module `time` in the room of the lease."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(now=time.monotonic())
    monkeypatch.setattr(lease, "time", clock)
    return clock


def test_each_is_judged_by_his_own_promise_and_by_none_when_he_gave_none(tmp_path: Path, clock: Clock) -> None:
    files = [SessionFile.create(tmp_path / str(promise), promise) for promise in (0.0, 2.0, 60.0)]
    paths, lookout, seen = [Path(file.path) for file in files], Lookout(), list[list[str]]()
    for _ in range(6):
        seen.append([path.name for path in lookout.late(paths)])
        clock.now += 1.5
    assert seen == [[], [], [], ["2.0"], ["2.0"], ["2.0"]]
    for file in files:
        file.remove()


def test_one_look_is_not_enough_for_he_may_have_been_stopped_together_with_who_looks(
    tmp_path: Path, clock: Clock
) -> None:
    file = SessionFile.create(tmp_path / "a", 2.0)
    path, lookout = Path(file.path), Lookout()
    clock.now += 60.0
    assert lookout.late([path]) == []
    clock.now += lease.SECOND_LOOK
    assert lookout.late([path]) == [path]
    assert lookout.running(path) == []
    file.beat()
    clock.now = time.monotonic()
    assert lookout.late([path]) == []
    assert lookout.running(path) is None
    clock.now += 60.0
    assert lookout.late([path]) == [], "it is another beat, seen for the first time"
    file.remove()


def test_a_clock_of_another_boot_is_not_compared(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = tmp_path / "boot"
    boot.write_text("00000000-0000-0000-0000-000000000001")
    lookout = Lookout()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(session_header, "BOOT_ID", str(boot))
        file = SessionFile.create(tmp_path / "a", 2.0)
    for _ in range(3):
        clock.now += 60.0
        assert lookout.late([Path(file.path)]) == []
    file.remove()


@pytest.mark.parametrize("content", [b"", b"somebody's", bytes(64)])
def test_a_file_that_cannot_be_read_says_nothing_of_its_owner(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert Lookout().late([path, path.with_name("none")]) == []
    assert Lookout().running(path) is None


def leases() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "upright lease"]


def beat_of(path: Path) -> float:
    header = read_header(path)
    assert header is not None
    return header.beat


def soon(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_a_thread_says_again_and_again_that_the_process_goes_on_until_it_is_stopped(path: Path) -> None:
    file = SessionFile.create(path, 0.1)
    kept = Lease(file, 0.1)
    kept.start()
    for _ in range(3):
        before = beat_of(path)
        soon(lambda: beat_of(path) > before)  # noqa: B023
    for _ in range(2):
        kept.stop()
        assert leases() == []
    file.remove()


def test_a_disk_that_fails_for_a_moment_ends_no_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, failed = SessionFile.create(path, 0.1), list[float]()

    def failing(self: SessionFile) -> bool:
        failed.append(time.monotonic())
        raise OSError(5, "a broken disk")

    with monkeypatch.context() as broken:
        broken.setattr(SessionFile, "beat", failing)
        kept = Lease(file, 0.1)
        kept.start()
        soon(lambda: len(failed) > 1)
    soon(lambda: beat_of(path) > failed[-1])
    kept.stop()
    file.remove()


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_the_thread_ends_by_itself_with_its_file(how: str, path: Path) -> None:
    file = SessionFile.create(path, 0.1)
    Lease(file, 0.1).start()
    fd = file._fd
    if how == "closed":
        file.close()
    else:
        del file
    soon(lambda: not leases())
    if how == "forgotten":
        os.close(fd)


FORKED = """
from upright.persistence.lease import Lease
import threading
file = SessionFile.create(sys.argv[1], 0.2)
lease = Lease(file, 0.2)
lease.start()
file._beating.acquire()  # as if it were in the middle of a beat
if not os.fork():
    lease.stop()
    file.remove()
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
    print("ready", flush=True)
    os.close(1)
sys.stdin.read()
"""


def test_a_child_of_a_fork_keeps_nobody_s_lease_and_does_not_hang(path: Path) -> None:
    with process(FORKED, path) as parent:
        assert not is_dead(path)
        parent.kill()
        parent.wait()
        assert is_dead(path)
        beat = beat_of(path)
        assert not threading.Event().wait(0.3)
        assert beat_of(path) == beat


def test_a_process_with_a_lease_ends_when_its_program_does(path: Path) -> None:
    program = "from upright.persistence.lease import Lease\nfile = SessionFile.create(sys.argv[1], 60.0)\n"
    program += "Lease(file, 60.0).start()\nprint('ready', flush=True)\n"
    with process(program, path) as owner:
        assert owner.wait(PATIENCE) == 0
    assert is_dead(path)


@pytest.mark.parametrize("wrong", [0, 0.1, -1, math.nan, "1", True, None])
def test_a_lease_that_could_not_be_kept_is_refused(wrong: Any, path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected lease to be more than 0\.1 seconds, got "):
        Sqlite(path, lease=wrong)


def test_a_lease_without_end_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="expected lease to be finite, got inf"):
        Sqlite(path, lease=math.inf)
