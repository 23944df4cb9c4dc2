"""The laws of the doctor: each check finds what is wrong, says what to do, changes nothing, and raises nothing."""

import asyncio
import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from upright.actors import Actor, ActorSystem
from upright.actors.accelerator import METHODS
from upright.operations import Service, doctor
from upright.operations.doctor import (
    Finding,
    examine,
    examine_store,
    is_reset_mended,
    of_health,
    open_files,
    packages,
    sqlite,
)
from upright.operations.last_words import LastWord
from upright.persistence import Durable, Retry, Sqlite
from upright.supervision import child, supervisor


class Jobs(Actor):
    mailbox = Durable("jobs", retry=Retry(max_attempts=1))

    async def do(self, name: str) -> None:
        if name == "broken":
            raise ValueError(name)


class Quiet(Actor):
    async def letter(self, letter: object) -> None: ...


TREE = supervisor("work", child("jobs", Jobs))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one letter in quarantine."""
    path = tmp_path / "jobs.db"

    async def fill() -> None:
        async with ActorSystem(TREE, store=Sqlite(path), log=None, dead_letters=Quiet) as system:
            await system.ref("/work/jobs", Jobs).tell_many(Jobs.do, ["one", "broken"])
            await system.idle()

    asyncio.run(fill())
    return path


def named(path: Path, patience: float = 10.0) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine_store(path, patience)}


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def test_a_healthy_store_fails_nothing(store: Path) -> None:
    found = named(store)
    assert {name for name, finding in found.items() if finding.verdict != "ok"} <= {"quarantine", "free space"}
    assert found.keys() == {
        "place", "free space", "size", "schema", "sessions", "quarantine", "clock", "quick check",
    }  # fmt: skip
    assert found["quarantine"].found == "1 in quarantine"
    assert found["sessions"].found == "nobody has it open"


def test_whether_messages_pass_in_c_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages().found.split(", ")[-1].startswith("with the accelerator" if METHODS else "without the accelerator")
    monkeypatch.setattr(doctor, "METHODS", {})
    assert packages().verdict == "ok"
    assert packages().found.endswith("without the accelerator: messages in memory are slower")


def test_whatever_is_not_ok_says_what_to_do(store: Path, tmp_path: Path) -> None:
    for path in (store, tmp_path / "none.db", tmp_path / "no" / "folder.db", tmp_path):
        for finding in examine(path, tmp_path / "none.sock"):
            assert finding.advice if finding.verdict != "ok" else finding.found


def test_a_store_that_is_not_there_fails_and_is_not_made(tmp_path: Path) -> None:
    assert named(tmp_path / "none.db")["file"].verdict == "fail"
    assert named(tmp_path / "no" / "folder.db")["place"].verdict == "fail"
    assert named(tmp_path)["place"].verdict == "fail"
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebody_else_fails(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("These are notes." * 1000)
    assert "is damaged or no database" in named(tmp_path / "notes.db")["file"].found
    change(tmp_path / "other.db", "CREATE TABLE message(id)")
    assert named(tmp_path / "other.db")["schema"].verdict == "fail"


def test_a_file_of_another_version_fails(store: Path) -> None:
    change(store, "PRAGMA user_version = 99")
    assert "use a newer upright" in named(store)["schema"].advice
    change(store, "PRAGMA user_version = 1")
    assert "brings the file to version" in named(store)["schema"].advice


def test_a_damaged_page_fails(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'failure'").fetchone()[0]
    with store.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    found = named(store)
    assert "fail" in {found[name].verdict for name in ("file", "quick check") if name in found}


def test_the_check_of_a_large_file_is_given_up_in_time(store: Path) -> None:
    assert named(store, patience=-1.0)["quick check"].verdict in ("ok", "warn")  # a small one is done before it looks
    with closing(sqlite3.connect(store)) as connection, connection:
        rows = ((number, 1, "x" * 100) for number in range(20_000))
        connection.executemany("INSERT INTO event VALUES (?, ?, 'failed', 1, '', ?, '')", rows)
    assert named(store, patience=-1.0)["quick check"].found.startswith("not done")


def test_a_session_whose_process_died_is_told(store: Path) -> None:
    change(store, "INSERT INTO session(name, pid, opened) VALUES ('1-0', 1, 1.0)")
    found = named(store)["sessions"]
    assert (found.verdict, "1-0 (process 1)" in found.found) == ("warn", True)


def test_a_session_that_lives_is_told(store: Path) -> None:
    async def beside() -> dict[str, Finding]:
        async with ActorSystem(TREE, store=Sqlite(store), log=None):
            return named(store)

    found = asyncio.run(beside())["sessions"]
    assert (found.verdict, f"(process {os.getpid()})" in found.found) == ("ok", True)


def test_that_a_tree_gave_up_is_told_as_a_warning_for_a_day(store: Path) -> None:
    class Fragile(Actor):
        async def break_down(self) -> None:
            raise ValueError("worn out")

    async def give_up() -> int:
        tree = supervisor("work", child("fragile", Fragile), max_restarts=0)
        service = Service(ActorSystem(tree, store=Sqlite(store), log=None))
        running = asyncio.create_task(service.run())
        async with asyncio.timeout(20):
            while not service.health.started:  # noqa: ASYNC110  # by the task that runs it
                await asyncio.sleep(0)
            await service.system.ref("/work/fragile", Fragile).tell(Fragile.break_down)
            return await running

    assert "gave up" not in named(store)
    assert [asyncio.run(give_up()) for _ in range(2)] == [1, 1]
    told = named(store)["gave up"]
    assert told.verdict == "warn"
    assert "2 times" in told.found
    assert "worn out" in told.found
    change(
        store, "UPDATE record SET body = ? WHERE kind = 'upright/service'", msgspec.msgpack.encode(LastWord(1, "x", 7))
    )
    assert (named(store)["gave up"].verdict, "once" in named(store)["gave up"].found) == ("ok", True)


def test_a_clock_that_was_set_back_is_told(store: Path) -> None:
    change(store, "UPDATE event SET at = ?", time.time() + 3600.0)
    assert named(store)["clock"].verdict == "warn"


def test_a_long_log_is_told(store: Path) -> None:
    with Path(f"{store}-wal").open("wb") as log:
        log.truncate(64 << 20)
    assert named(store)["size"].verdict == "warn"


@pytest.mark.parametrize(
    ("number", "verdict"), [((3, 34, 1), "fail"), ((3, 45, 0), "warn"), ((3, 50, 6), "warn"), ((3, 51, 3), "ok")]
)
def test_an_sqlite_that_is_too_old_or_has_the_bug_is_told(number: tuple[int, int, int], verdict: str) -> None:
    assert sqlite(number).verdict == verdict
    assert is_reset_mended((3, 50, 7))
    assert not is_reset_mended((3, 50, 6))


def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(_: int) -> tuple[int, int]:
        return 256, 512

    monkeypatch.setattr("resource.getrlimit", few)
    assert "ulimit -n 512" in open_files().advice


def test_the_socket_of_a_service_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"

    def found() -> dict[str, str]:
        return {finding.name: finding.verdict for finding in examine(None, path)}

    assert found()["admin socket"] == "fail"
    path.write_text("")
    assert found()["admin socket"] == "fail"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        assert (found()["admin socket"], found()["service"]) == ("ok", "fail")
        listener.listen()
        assert found()["service"] == "ok"
        path.chmod(0o660)
        assert found()["admin socket"] == "fail"


def test_what_a_service_says_of_itself_is_told() -> None:
    ill = {"ok": False, "status": "failed", "checks": [{"name": "loop", "status": "failed", "why": "it hangs"}]}
    assert [(one.verdict, one.found) for one in of_health(ill)] == [("fail", "failed; loop: it hangs")]
    assert [one.verdict for one in of_health({"ok": True, "status": "degraded", "checks": []})] == ["warn"]
    assert [one.verdict for one in of_health({"ok": True, "status": "ok", "checks": []})] == ["ok"]


def test_what_may_not_be_looked_at_is_a_finding_too(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    change(store, "INSERT INTO session(name, pid, opened) VALUES ('1-0', 1, 1.0)")
    monkeypatch.setattr("upright.operations.doctor.is_dead", refused)
    assert named(store)["sessions"].found == "1-0 cannot be looked at: permission denied"
    monkeypatch.setattr("upright.operations.doctor.check_place", refused)
    assert named(store)["file"].verdict == "fail"


def test_a_place_where_no_store_can_be_made_or_written_fails_with_its_reason(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(folder: Path) -> str:
        return f"{folder} is read-only"

    monkeypatch.setattr("upright.operations.doctor.unwritable", unwritable)
    (place,) = examine_store(store.with_name("none.db"))
    assert (place.name, place.verdict) == ("place", "fail")
    assert place.found.endswith(f"none.db cannot be made: {store.parent} is read-only")
    found = named(store)
    assert found["place"].found == f"{store} cannot be written: {store.parent} is read-only"
    assert found["quick check"].verdict == "ok"


def test_a_socket_of_another_user_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refused)
    (found,) = doctor.answering(tmp_path / "a.sock")
    assert (found.verdict, found.found) == ("fail", f"{tmp_path / 'a.sock'} may not be used: permission denied")
    assert found.advice.startswith("call as the user of the service")
