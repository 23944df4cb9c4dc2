"""The laws of checkpoints, on a real database: the log moves, the first write after it is made, nobody is held up."""

import asyncio
import errno
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.actors.loops import LOOPS, MakeLoop
from tests.persistence.syncers import KINDS, run
from upright.persistence import sync_program
from upright.persistence.errors import StoreCorrupt, StoreUnavailable
from upright.persistence.syncer import Checkpointed, Mode, Syncer

PAGE = 4096 + 24
LOG_HEADER = 32
LOCK = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


@pytest.fixture(params=["a.db", "a?b%20#c d.db"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def connections(path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Connections as the engine has them; the first makes the table."""
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        for setting in ("page_size = 4096", "journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 0"):
            connection.execute(f"PRAGMA {setting}")
        if not made:
            connection.execute("CREATE TABLE pulse(beats)")
            connection.execute("INSERT INTO pulse VALUES (0)")
            connection.execute("CREATE TABLE letter(body)")
        made.append(connection)
        return connection

    yield connect
    for connection in made:
        connection.close()


def test_after_an_error_each_answer_is_that_error_and_the_disk_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []

    def flush(fd: int) -> None:
        flushed.append(fd)
        if len(flushed) == 2:
            raise OSError(errno.EIO, "a broken disk")

    (tmp_path / "a.db-wal").write_bytes(b"log")
    monkeypatch.setattr(sync_program, "flush", flush)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"ssss")
        ours.shutdown(socket.SHUT_WR)
        sync_program.serve_syncs(theirs.fileno(), str(tmp_path / "a.db"))
        assert ours.recv(100) == bytes([0, 0, errno.EIO, errno.EIO, errno.EIO])
    assert len(flushed) == 2


def log_of(path: Path) -> bytes:
    return Path(f"{path}-wal").read_bytes()


def beats(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT beats FROM pulse").fetchone()[0])


def write(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO letter VALUES (randomblob(100))")


Connect = Callable[[], sqlite3.Connection]


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["PASSIVE", "RESTART", "TRUNCATE"])
def test_the_log_begins_anew_with_the_pulse_so_that_the_next_commit_writes_no_header_that_it_had_to_sync(
    mode: Mode, kind: type[Syncer], make_loop: MakeLoop, path: Path, connections: Connect
) -> None:
    async def scene() -> None:
        connection = connections()
        for _ in range(20):
            write(connection)
        before = log_of(path)
        pages = (len(before) - LOG_HEADER) // PAGE
        syncer = kind(str(path))
        await syncer.start()
        done = await syncer.checkpoint(mode)
        assert done == Checkpointed(False, *((0, 0) if mode == "TRUNCATE" else (pages, pages)), True)
        assert beats(connection) == 1
        after = log_of(path)
        assert after[:LOG_HEADER] != before[:LOG_HEADER]
        if mode == "TRUNCATE":
            assert len(after) == LOG_HEADER + PAGE
        write(connection)
        assert log_of(path)[: LOG_HEADER + PAGE] == after[: LOG_HEADER + PAGE]
        assert connection.execute("SELECT count(*) FROM letter").fetchone() == (21,)
        await syncer.close()

    run(make_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_pulse_nothing_is_written(kind: type[Syncer], path: Path, connections: Connect) -> None:
    async def scene() -> None:
        connection = connections()
        syncer = kind(str(path), pulse="")
        await syncer.start()
        assert await syncer.checkpoint("TRUNCATE") == Checkpointed(False, 0, 0, False)
        assert log_of(path) == b""
        assert beats(connection) == 0
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_in_the_way_is_told_of_and_the_pulse_left_out(
    kind: type[Syncer], path: Path, connections: Connect
) -> None:
    async def scene() -> None:
        writer, reader = connections(), connections()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM letter").fetchall()
        write(writer)
        syncer = kind(str(path))
        await syncer.start()
        busy, log, moved, pulsed = await syncer.checkpoint()
        assert (busy, moved < log, pulsed) == (False, True, False)
        busy, _, _, pulsed = await syncer.checkpoint("TRUNCATE", patience=0)
        assert (busy, pulsed) == (True, False)
        assert beats(writer) == 0
        reader.execute("COMMIT")
        assert (await syncer.checkpoint("TRUNCATE", patience=0)).pulsed
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_in_the_way_costs_the_pulse_alone(kind: type[Syncer], path: Path, connections: Connect) -> None:
    async def scene() -> None:
        connection = connections()
        connection.execute("BEGIN IMMEDIATE")
        syncer = kind(str(path))
        await syncer.start()
        busy, log, moved, pulsed = await syncer.checkpoint(patience=0)
        assert (busy, moved, pulsed) == (False, log, False)
        connection.execute("ROLLBACK")
        assert beats(connection) == 0
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_takes_its_time_holds_up_neither_the_syncs_nor_the_loop(
    kind: type[Syncer], make_loop: MakeLoop, path: Path, connections: Connect
) -> None:
    async def scene() -> None:
        connection = connections()
        syncer = kind(str(path))
        await syncer.start()
        connection.execute("BEGIN IMMEDIATE")
        under_way = syncer.checkpoint(patience=50)  # waits for the transaction above
        with pytest.raises(RuntimeError, match="under way"):
            syncer.checkpoint()
        for _ in range(50):
            await syncer.sync()
        closing = asyncio.ensure_future(syncer.close())
        await asyncio.sleep(0)
        assert not under_way.done()
        assert not closing.done()
        connection.execute("COMMIT")
        assert (await under_way).pulsed
        await closing

    run(make_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_gone_is_told_of_and_not_made_anew(kind: type[Syncer], tmp_path: Path) -> None:
    async def scene() -> None:
        syncer = kind(str(tmp_path / "none.db"))
        await syncer.start()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="SQLITE_CANTOPEN"):
                await syncer.checkpoint()
        await syncer.close()
        assert list(tmp_path.iterdir()) == []

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_database_is_told_of(kind: type[Syncer], tmp_path: Path) -> None:
    async def scene() -> None:
        (tmp_path / "a.db").write_bytes(b"no database" * 1000)
        syncer = kind(str(tmp_path / "a.db"))
        await syncer.start()
        with pytest.raises(StoreCorrupt, match="SQLITE_NOTADB"):
            await syncer.checkpoint()
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pulse_that_is_wrong_is_told_of_and_does_not_end_the_syncer(
    kind: type[Syncer], path: Path, connections: Connect
) -> None:
    async def scene() -> None:
        connections()
        syncer = kind(str(path), pulse="UPDATE missing SET x = 1")
        await syncer.start()
        with pytest.raises(StoreUnavailable, match="no such table: missing"):
            await syncer.checkpoint()
        await syncer.sync()
        await syncer.close()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_syncer_makes_no_checkpoint(kind: type[Syncer], path: Path) -> None:
    async def scene() -> None:
        syncer = kind(str(path))
        with pytest.raises(StoreUnavailable, match="not open"):
            await syncer.checkpoint()
        await syncer.start()
        await syncer.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await syncer.checkpoint()

    run(asyncio.new_event_loop, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_the_locks_of_the_database_survive_a_syncer(kind: type[Syncer], path: Path, connections: Connect) -> None:
    """Closing a descriptor of the database file in a process drops all POSIX locks that SQLite has on it there."""

    async def scene() -> None:
        connection = connections()
        connection.execute("BEGIN IMMEDIATE")
        syncer = kind(str(path))
        await syncer.start()
        await syncer.sync()
        await syncer.checkpoint(patience=0)
        await syncer.close()
        command = [sys.executable, "-c", LOCK, str(path)]
        other = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, said = await other.communicate()
        assert b"database is locked" in said

    run(asyncio.new_event_loop, scene)
