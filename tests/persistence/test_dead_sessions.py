"""The laws of a session's death, with real processes: it is seen at once, and one cleans up, with all that ran then."""

import fcntl
import os
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.persistence.sessions import BUSY, CHILD, OWNER, READY, kill, process
from upright.persistence import session_file
from upright.persistence.session_file import (
    SLOTS,
    Running,
    SessionFile,
    is_dead,
    read_running,
    take_over,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db-session-1"


def test_a_session_is_dead_when_its_process_was_killed_and_not_before(path: Path) -> None:
    with process(OWNER + READY, path, 5) as owner:
        assert not is_dead(path)
        assert take_over(path) is None
        kill(owner)
        assert is_dead(path)
        dead = take_over(path)
        assert dead is not None
        assert dead.running == (Running(0, 1, 0.5), Running(2, 1, 0.5), Running(4, 1, 0.5))
        assert dead.header is not None
        assert dead.header.pid == owner.pid
        dead.remove()
        assert not path.exists()


def test_a_session_of_this_process_is_alive_too(path: Path) -> None:
    file = SessionFile.create(path)
    for _ in range(2):
        assert not is_dead(path)
        assert take_over(path) is None
    file.remove()


def test_a_session_that_left_in_order_is_dead_and_left_nothing_behind(path: Path) -> None:
    file = SessionFile.create(path)
    file.remove()
    file.remove()
    file.close()
    assert list(path.parent.iterdir()) == []
    assert is_dead(path)
    dead = take_over(path)
    assert dead is not None
    assert (dead.header, dead.running) == (None, ())
    dead.remove()


def test_a_session_that_left_without_a_word_is_dead_with_what_it_ran(path: Path) -> None:
    file = SessionFile.create(path)
    file.begin(7, 2, 1.5)
    file.close()
    file.remove()
    dead = take_over(path)
    assert dead is not None
    assert dead.running == (Running(7, 2, 1.5),)
    dead.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_kill_at_any_instant_leaves_whole_slots(seed: int, path: Path) -> None:
    with process(BUSY, path) as owner:
        for _ in range(random.Random(seed).randrange(400)):
            read_running(path)
        kill(owner)
        dead = take_over(path)
    assert dead is not None
    assert len(dead.running) <= 3
    for one in dead.running:
        assert (one.attempt, one.started) == (one.message, one.message)
    dead.remove()


def test_of_many_who_take_over_one_gets_it_and_if_that_one_dies_another_does(path: Path) -> None:
    taker = "print('ready', flush=True)\nsys.stdin.readline()\ndead = take_over(sys.argv[1])\n"
    taker += "print(len(dead.running) if dead else None, flush=True)\nsys.stdin.read()\n"
    with process(OWNER + READY, path, 9) as owner:
        kill(owner)
    for _ in range(2):
        with ExitStack() as stack:
            takers = [stack.enter_context(process(taker, path)) for _ in range(3)]
            for one in takers:
                assert one.stdin
                one.stdin.write(b"go\n")
                one.stdin.flush()
            said = [one.stdout.readline() for one in takers if one.stdout]
            assert sorted(said) == [b"5\n"] + [b"None\n"] * 2
            assert take_over(path) is None


def test_a_clean_up_that_ends_well_removes_the_file_and_one_that_fails_leaves_it_to_the_next(path: Path) -> None:
    file = SessionFile.create(path)
    file.begin(1, 1, 1.0)
    file.close()
    with pytest.raises(KeyError), take_over(path) or pytest.fail("taken"):
        raise KeyError
    with take_over(path) or pytest.fail("taken") as dead:
        assert dead.running == (Running(1, 1, 1.0),)
    assert not path.exists()


@pytest.mark.parametrize("born_again", [False, True])
def test_what_was_cleaned_up_between_open_and_lock_is_not_cleaned_up_twice(
    born_again: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors = len(os.listdir("/dev/fd"))
    file = SessionFile.create(path)
    file.begin(1, 1, 1.0)
    file.close()
    first, lock, born = take_over(path), session_file._lock, list[SessionFile]()
    assert first is not None

    def late(fd: int, how: int) -> bool:
        first.remove()
        if born_again and not born:
            born.append(SessionFile.create(path))
        return lock(fd, how)

    monkeypatch.setattr(session_file, "_lock", late)
    second = take_over(path)
    if born_again:
        assert second is None
        born[0].remove()
    else:
        assert second is not None
        assert second.running == ()
    assert len(os.listdir("/dev/fd")) == descriptors


def test_those_who_look_do_not_hinder_each_other(path: Path) -> None:
    SessionFile.create(path).close()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert is_dead(path)
        assert take_over(path) is None
    assert take_over(path) is not None


@pytest.mark.parametrize("how", ["forks", "starts"])
def test_a_child_that_lives_on_does_not_keep_its_dead_parent_alive_nor_write_in_its_name(how: str, path: Path) -> None:
    program = "file = SessionFile.create(sys.argv[1])\nslot = file.begin(1, 1, 1.0)\n"
    if how == "forks":
        program += CHILD
    else:
        program += "import subprocess\nsubprocess.Popen(['cat'], close_fds=False)\n" + READY
    with process(program, path) as owner:
        kill(owner)
        dead = take_over(path)
        assert dead is not None
        assert dead.running == (Running(1, 1, 1.0),)
        dead.remove()


def test_no_descriptor_is_left(path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        file = SessionFile.create(path)
        for number in range(SLOTS + 1):
            file.begin(number, 1, 1.0)
        assert not is_dead(path)
        assert take_over(path) is None
        file.close()
        assert is_dead(path)
        with take_over(path) or pytest.fail("taken"):
            pass
        assert is_dead(path)
    assert len(os.listdir("/dev/fd")) == before
