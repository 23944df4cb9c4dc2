"""The demo as a program: small runs with every kind of order, and the audit of what they left."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.command.demo.orders import line
from upright.command.demo.audit import Counted, audit
from upright.command.demo.books import read_books
from upright.command.demo.sample import sample

DEMO = [sys.executable, "-W", "error", "-c", "from upright.command.demo.command import demo; demo()"]
LINES = 40


def demo(*words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*DEMO, *words], input=given, capture_output=True, timeout=120, check=False)


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that still work in that folder."""
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The files of a small run with chaos, and its audit."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    words = "--orders", "-", "--json", "--chaos", "--trouble", "short", "--keep", str(folder)
    done = demo(*words, given=b"\n".join(sample(5, LINES)))
    assert (done.returncode, done.stderr) == (0, b""), done.stdout + done.stderr
    assert processes_of(folder) == []
    return folder, json.loads(done.stdout)


def test_a_run_with_chaos_comes_to_its_end_and_is_right(kept: tuple[Path, dict[str, Any]]) -> None:
    _, told = kept
    assert told["right"] is True
    assert told["read"] == LINES == told["accepted"] + told["refused"] + told["duplicates"]
    assert told["accepted"] == told["completed"] + told["called_off"] + len(told["quarantined"])
    assert sorted(one["reason"] for one in told["quarantined"]) == ["attempts", "crash_loop"]
    assert told["effects"]["ship"] == told["effects"]["notify"] == told["completed"]
    assert told["refused_lines"][0]["line"] >= 1
    assert told["kills"] >= 1


def sql(service: str, statement: str) -> Callable[[Path], None]:
    def tampered(folder: Path) -> None:
        with closing(sqlite3.connect(folder / f"{service}.db")) as database, database:
            database.execute(statement)

    return tampered


def unwritten(folder: Path) -> None:
    lines = (folder / "accepted.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "accepted.jsonl").write_bytes(b"".join(lines[1:]))


def removed(folder: Path) -> None:
    (folder / "mail.db").unlink()


def cut_off(folder: Path) -> None:
    (folder / "accepted.jsonl").write_text("{\n")


COPY = "INSERT INTO effect(key, kind, order_id, cents, at) SELECT 'other', kind, order_id, cents, at FROM effect "
DONE = "(SELECT name FROM record WHERE kind = 'machine/orders' AND status = 'completed' LIMIT 1)"


TAMPERED: list[tuple[Callable[[Path], None], str]] = [
    (sql("payments", COPY + "WHERE kind = 'charge' LIMIT 1"), "once"),
    (sql("mail", "DELETE FROM effect WHERE id = 1"), "notify exactly once"),
    (sql("payments", "DELETE FROM effect WHERE kind = 'refund'"), "refunded once"),
    (sql("carrier", "UPDATE effect SET order_id = 'mallory' WHERE id = 1"), "nobody accepted"),
    (sql("orders", f"DELETE FROM record WHERE name = {DONE}"), "nothing is lost"),
    (sql("orders", f"UPDATE message SET state = 0 WHERE id = (SELECT max(id) FROM message WHERE key = {DONE})"),
         "nothing is left over"),
    (unwritten, "nobody accepted"),
    (removed, "all files can be read"),
    (cut_off, "all files can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("tamper", "check"), TAMPERED)
def test_what_is_changed_in_the_files_is_found(
    kept: tuple[Path, dict[str, Any]], tmp_path: Path, tamper: Callable[[Path], Any], check: str
) -> None:
    folder, told = kept
    copy = tmp_path / "copy"
    # A worker that was killed just before the end has left its bell, which the next one would take away.
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.sock", "*-bell-*"))
    counted = Counted(told["read"], told["refused"], told["duplicates"])
    assert audit(read_books(copy), counted).is_right
    tamper(copy)
    failed = [one.name for one in audit(read_books(copy), counted).checks if not one.is_ok]
    assert any(check in name for name in failed), failed


def test_without_a_terminal_it_tells_plain_lines_and_the_audit() -> None:
    given = b"\n".join([line(), b"nonsense", line(id="o-2"), line()])
    done = demo("--orders", "-", "--trouble", "none", given=given)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "accepted 2, completed 2" in text
    assert "line      2  JSON is malformed" in text
    assert "line      4  order o-1 was accepted before" in text
    assert "The audit is right" in text
    assert "\x1b[" not in text


def test_nothing_at_all_is_right() -> None:
    done = demo("--orders", "-", "--json", given=b"")
    assert done.returncode == 0
    assert json.loads(done.stdout)["accepted"] == 0


@pytest.mark.parametrize(
    "words", [("--orders", "/nowhere"), ("--orders", "/"), ("--keep", "/proc"), ("--rate", "-1"), ("more",)]
)
def test_wrong_usage_is_told_and_nothing_begins(words: tuple[str, ...]) -> None:
    done = demo(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Error: " in done.stderr


def test_a_port_that_is_taken_is_told_and_nothing_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo("--port", str(port))
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"expected port {port} to be free".encode() in done.stderr


def test_ctrl_c_drains_audits_what_is_there_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    words = "--orders", "-", "--keep", str(folder), "--trouble", "none"
    with subprocess.Popen(
        [*DEMO, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line() + b"\n")  # and it waits for more
        process.stdin.flush()
        while b"completed 1" not in process.stdout.readline():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"")
    assert b"It was interrupted. What is there is right" in out
    assert processes_of(folder) == []


def test_orders_that_come_by_http_take_part(tmp_path: Path) -> None:
    words = "--orders", "-", "--trouble", "none"
    with subprocess.Popen([*DEMO, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while b"POST " not in (told := process.stdout.readline()):
            assert process.poll() is None
        url = told.partition(b"POST ")[2].partition(b" ")[0].decode()
        for number in range(5):
            request = urllib.request.Request(url, data=line(id=f"p-{number}"), method="POST")
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 202
        out, _ = process.communicate(line() + b"\n", timeout=60)
    assert process.returncode == 0
    assert b"accepted 6, completed 6" in out


def test_one_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    words = "--orders", "-", "--keep", str(folder), "--trouble", "none"
    with subprocess.Popen([*DEMO, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line() + b"\n")
        process.stdin.flush()
        while b"completed 1" not in process.stdout.readline():
            assert process.poll() is None
        assert len(processes_of(folder)) >= 6
        process.kill()
    while processes_of(folder):
        pass


def test_who_reads_no_more_ends_it() -> None:
    with subprocess.Popen([*DEMO], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 1
        assert process.stderr.read() == b""
