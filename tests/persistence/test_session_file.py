"""The laws of a session's record: what was begun and not ended is read, whole, whatever happens to disk and process."""

import errno
import os
import random
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.persistence import session_file, session_header
from upright.persistence.errors import StoreCorrupt, StoreTooNew
from upright.persistence.session_file import (
    SLOT,
    SLOTS,
    Running,
    SessionFile,
    is_dead,
    read_header,
    read_running,
    take_over,
)
from upright.persistence.session_header import HEADER, MAGIC, Header, parse_header


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db-session-1"


def test_the_file_says_whose_it_is(path: Path) -> None:
    before = time.time()
    file = SessionFile.create(path)
    header = read_header(path)
    assert header is not None
    assert header.pid == os.getpid()
    assert before <= header.created <= time.time()
    if os.path.exists(session_header.BOOT_ID):
        assert header.boot == Path(session_header.BOOT_ID).read_text().strip().replace("-", "")
    file.remove()


def test_a_system_that_names_no_boot_is_one_without_a_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_header, "BOOT_ID", "/nowhere/boot_id")
    file = SessionFile.create(path)
    header = read_header(path)
    assert header is not None
    assert (header.pid, header.boot) == (os.getpid(), "")
    file.remove()


def test_the_file_says_for_how_long_a_beat_holds_and_when_the_last_one_was(path: Path) -> None:
    before = time.monotonic()
    file = SessionFile.create(path, lease=2.5)
    header = read_header(path)
    assert header is not None
    assert (header.lease, before <= header.beat <= time.monotonic()) == (2.5, True)
    slots = [file.begin(number, 1, 1.0) for number in range(SLOTS + 1)]  # it grows: what was mapped is another map now
    between = time.monotonic()
    assert file.beat()
    later = read_header(path)
    assert later is not None
    assert between <= later.beat <= time.monotonic()
    assert (later.lease, later.created, later.pid) == (2.5, header.created, header.pid)
    assert len(read_running(path)) == len(slots)
    file.remove()


def test_a_file_that_was_closed_takes_no_beat_and_no_other_file_gets_it(path: Path) -> None:
    file = SessionFile.create(path, lease=1.0)
    file.close()
    fd = os.open(path.with_name("another"), os.O_RDWR | os.O_CREAT)  # it gets the number that is free now
    assert not file.beat()
    assert os.fstat(fd).st_size == 0
    os.close(fd)


@given(
    st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16), st.floats(allow_nan=False),
    st.floats(allow_nan=False), st.floats(allow_nan=False),
)  # fmt: skip
def test_a_header_is_read_as_it_was_written(pid: int, boot: bytes, created: float, lease: float, beat: float) -> None:
    written = HEADER.pack(MAGIC, session_header.VERSION, pid, boot, created, lease, beat)
    assert parse_header("file", written) == Header(pid, boot.hex() if any(boot) else "", created, lease, beat)


def test_there_is_one_file_of_a_name_and_a_failed_one_leaves_nothing(path: Path) -> None:
    file = SessionFile.create(path)
    file.begin(1, 1, 1.0)
    with pytest.raises(FileExistsError):
        SessionFile.create(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert read_running(path) == [Running(1, 1, 1.0)]
    assert not is_dead(path)
    file.remove()


def test_it_is_locked_before_anybody_can_find_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, seen = os.rename, list[bool]()

    def renamed(old: str, new: str) -> None:
        seen.append(path.exists())
        rename(old, new)
        seen.append(is_dead(path))
        seen.append(len(read_running(path)) > 0)

    monkeypatch.setattr(os, "rename", renamed)
    SessionFile.create(path).remove()
    assert seen == [False, False, False]


ANY_RUNNING = st.builds(
    Running, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1), st.floats(allow_nan=False)
)


@given(st.lists(ANY_RUNNING | st.integers(0, 1000)))
def test_what_was_begun_and_not_ended_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Running | int]
) -> None:
    path = tmp_path_factory.mktemp("session") / "file"
    file = SessionFile.create(path)
    held: dict[int, Running] = {}
    for step in steps:
        if isinstance(step, Running):
            slot = file.begin(*step)
            assert slot not in held
            held[slot] = step
        elif held:
            slot = sorted(held)[step % len(held)]
            file.end(slot)
            del held[slot]
        assert read_running(path) == [held[slot] for slot in sorted(held)]
    file.remove()


def test_it_grows_when_all_slots_are_taken_and_uses_each_again(path: Path) -> None:
    file = SessionFile.create(path)
    many = [Running(number, number + 1, number / 2) for number in range(SLOTS * 4)]
    for _ in range(3):
        slots = [file.begin(*one) for one in many]
        assert len({*slots}) == len(many)
        assert sorted(read_running(path)) == many
        assert path.stat().st_size == HEADER.size + len(many) * SLOT.size
        for slot in random.Random(1).sample(slots, len(slots)):
            file.end(slot)
        assert read_running(path) == []
    file.remove()


def test_a_slot_is_ended_once_and_only_if_it_was_begun(path: Path) -> None:
    file = SessionFile.create(path)
    slot = file.begin(1, 1, 1.0)
    file.end(slot)
    for wrong in (slot, slot + 1, -1, SLOTS, 10**9):
        with pytest.raises(ValueError, match="has begun"):
            file.end(wrong)
    assert file.begin(2, 1, 1.0) != file.begin(3, 1, 1.0)
    file.remove()


@pytest.mark.parametrize("wrong", [(2**63, 1, 1.0), (1, 2**32, 1.0), (1, -1, 1.0)])
def test_a_number_that_does_not_fit_is_refused_and_takes_no_slot(wrong: tuple[int, int, float], path: Path) -> None:
    file = SessionFile.create(path)
    for _ in range(SLOTS + 1):
        with pytest.raises(struct.error):
            file.begin(*wrong)
    assert read_running(path) == []
    assert path.stat().st_size == HEADER.size + SLOTS * SLOT.size
    file.remove()


def test_a_closed_file_takes_nothing(path: Path) -> None:
    file = SessionFile.create(path)
    slot = file.begin(1, 1, 1.0)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.begin(2, 1, 1.0)
    with pytest.raises(ValueError, match="closed"):
        file.end(slot)
    assert read_running(path) == [Running(1, 1, 1.0)]


def test_a_death_amid_the_bytes_leaves_no_half_slot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Death:
        @staticmethod
        def pack_into(buffer: "bytearray", at: int, *numbers: object) -> None:
            buffer[at : at + 9] = b"\xff" * 9
            raise MemoryError

    file = SessionFile.create(path)
    file.end(file.begin(1, 1, 1.0))
    monkeypatch.setattr(session_file, "PAYLOAD", Death)
    with pytest.raises(MemoryError):
        file.begin(2, 2, 2.0)
    assert read_running(path) == []
    file.remove()


def test_a_file_of_a_newer_version_is_refused_and_left(path: Path) -> None:
    path.write_bytes(HEADER.pack(MAGIC, 99, 1, bytes(16), 1.0, 0.0, 0.0))
    for look in (take_over, read_running, read_header) * 2:
        with pytest.raises(StoreTooNew, match="got 99"):
            look(path)
    assert is_dead(path)
    assert path.exists()


@pytest.mark.parametrize("content", [b"somebody's", b"somebody's" * 100, MAGIC])
def test_a_file_of_somebody_else_is_refused_and_left(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    for look in (take_over, read_running, read_header) * 2:
        with pytest.raises(StoreCorrupt):
            look(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("length", [0, 10, HEADER.size + SLOTS * SLOT.size])
def test_of_a_power_cut_the_file_may_be_empty_and_the_session_is_dead_with_nothing_known(
    length: int, path: Path
) -> None:
    path.write_bytes(bytes(length))
    assert read_header(path) is None
    with take_over(path) or pytest.fail("taken") as dead:
        assert (dead.header, dead.running) == (None, ())
    assert not path.exists()


def test_a_slot_that_was_cut_off_is_left_out(path: Path) -> None:
    file = SessionFile.create(path)
    for number in range(3):
        file.begin(number, 1, 1.0)
    file.close()
    os.truncate(path, HEADER.size + 2 * SLOT.size + 20)
    assert [one.message for one in read_running(path)] == [0, 1]


def test_a_full_disk_refuses_the_next_begin_and_loses_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out when the file grows, not when a slot is written: that would be a SIGBUS, and the end of the process."""
    file, pwrite, room = SessionFile.create(path), os.pwrite, [1000]

    def scarce(fd: int, data: bytes, at: int) -> int:
        if not (taken := min(len(data), room[0])):
            raise OSError(errno.ENOSPC, "no space left")
        room[0] -= taken
        return pwrite(fd, data[:taken], at)

    monkeypatch.setattr(os, "pwrite", scarce)
    slots = [file.begin(number, 1, 1.0) for number in range(SLOTS)]
    for _ in range(2):
        with pytest.raises(OSError, match="no space left"):
            file.begin(SLOTS, 1, 1.0)
    file.end(slots[3])
    file.begin(SLOTS, 1, 1.0)
    room[0] = 10**6
    file.begin(SLOTS + 1, 1, 1.0)
    assert {one.message for one in read_running(path)} == {*range(SLOTS + 2)} - {3}
    room[0] = 100
    with pytest.raises(OSError, match="no space left"):
        SessionFile.create(path.with_name("b"))
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    file.remove()
