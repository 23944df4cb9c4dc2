"""`upright run` as a process: what it ends with, what it says, and what it hands on to workers."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.examples.embedded import PATIENCE
from tests.operations.crews import APP, holds, is_gone, said
from tests.operations.processes import ran, running
from upright.operations import Launch, call, launch
from upright.operations.launch import address_of, worker_command
from upright.supervision import supervisor

STARTED = r'"event":"service\.started"'
QUIET = ("--log-format", "json", "--admin", "")
MORE = """
import sys
class Broken(Actor):
    async def started(self) -> None:
        raise LookupError("no config")

class Loop(Actor):
    async def started(self) -> None:
        self.ctx.background(self.crash())

    async def crash(self) -> None:
        raise LookupError("crashes again")

class Leaver(Actor):
    async def started(self) -> None:
        self.ctx.background(self.leave())

    async def leave(self) -> None:
        sys.exit({"": None, "0": 0, "9": 9}.get(os.environ["CODE"], os.environ["CODE"]))

class Job(Actor):
    mailbox = Durable("jobs")

    async def started(self) -> None:
        await self.ctx.self_ref.once("k").tell(Job.leave)

    async def leave(self) -> None:
        await Leaver.leave(self)

leaves = supervisor("shop", child("leaver", Leaver))
gone = supervisor("shop", child("job", Job))
broken = supervisor("shop", child("broken", Broken))
loops = supervisor("shop", child("loop", Loop), max_restarts=1, within=60.0)
number = 5
plain = supervisor("shop")

def make():
    raise ValueError("expected SHOP_TOKEN to be set")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the program is."""
    (tmp_path / "app.py").write_text(APP + MORE)
    (tmp_path / "zero.py").write_text("1 / 0\n")
    (tmp_path / "raises.py").write_text("import deeper\n")
    (tmp_path / "deeper.py").write_text("raise ValueError('no such shop')\n")
    (tmp_path / "slip.py").write_text("tree = supervisor(\n)]\n")
    (tmp_path / "needs.py").write_text("import nowhere_at_all\n")
    return tmp_path


def lines(said: str) -> list[dict[str, object]]:
    """Each line of a log, as JSON."""
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere:tree",), "expected a module nowhere"),
        (("app:nothing",), "expected app to have 'nothing'; trees in it: broken, gone, leaves, loops, plain, tree"),
        (("app:number",), "expected app:number to be a tree"),
        (("app.py:tree",), "such as shop.app:tree, got 'app.py:tree'"),
        (("app:tree", "--store", "mysql:jobs"), "got 'mysql:jobs'"),
        (("app:tree", "--store", ":memory:"), "got ':memory:': memory:?"),
        (("app:tree", "--store", "memory:", "--health", "host:port"), "got 'host:port'"),
        (("app:tree", "--store", "memory:", "--health", "99999"), "got '99999'"),
        (("app:tree", "--store", "memory:", "--workers", "2"), "expected a store that several processes share"),
        (("app:tree", "--store", "mysql:jobs", "--workers", "2"), "got 'mysql:jobs'"),
        (("app:tree",), "give its system a store: ActorSystem(tree, store=Sqlite(path)); add --store FILE"),
        (("app:plain", "--admin", "x" * 200), "expected a path that the system has room for"),
        (("slip:tree",), "unmatched ']' (slip.py, line 2)"),
        (("needs:tree",), "No module named 'nowhere_at_all'"),
    ],
)
def test_what_cannot_run_as_it_was_called_ends_with_2_and_says_what_was_expected(
    folder: Path, words: tuple[str, ...], expected: str
) -> None:
    done = ran(folder, *QUIET, *words)
    assert done.status == 2
    line = lines(done.said)[-1]
    assert expected in str(line["error_text"])
    assert line["event"] == "service.refused"


@pytest.mark.parametrize(("words", "why"), [(("--no-such",), "No such option"), (("--log-level", "loud"), "'loud'")])
def test_an_unknown_option_or_value_ends_with_2(folder: Path, words: tuple[str, ...], why: str) -> None:
    done = ran(folder, "app:tree", *words)
    assert (done.status, why in done.said) == (2, True)


@pytest.mark.parametrize(
    ("words", "event"),
    [
        (("app:broken",), "service.refused"),
        (("app:tree", "--store", "no/such/folder/jobs.db"), "service.refused"),
        (("app:loops",), "service.stopped"),
        (("zero:tree",), "service.failed"),
        (("raises:tree",), "service.failed"),
        (("app:make",), "service.failed"),
        (("app:broken", "--workers", "2"), "service.stopped"),
        (("zero:tree", "--workers", "2"), "service.stopped"),
    ],
)
def test_what_does_not_come_up_or_gives_up_ends_with_1_and_each_line_of_its_log_is_json(
    folder: Path, words: tuple[str, ...], event: str
) -> None:
    done = ran(folder, *words, *QUIET)
    assert done.status == 1, done.said
    assert lines(done.said)[-1]["event"] == event


@pytest.mark.parametrize(("code", "status"), [("9", 9), ("0", 1), ("", 1), ("no config", 1)])
@pytest.mark.parametrize("tree", ["leaves", "gone"])
def test_a_handler_that_exits_ends_the_service_as_failed_with_its_status_or_with_1(
    folder: Path, tree: str, code: str, status: int
) -> None:
    done = ran(folder, f"app:{tree}", "--store", "jobs.db", *QUIET, CODE=code)
    assert done.status == status, done.said
    line = lines(done.said)[-1]  # each of which is one of the log: nobody else says anything
    assert (line["event"], line["error"]) == ("service.failed", "SystemExit")
    assert str(line["error_text"]).startswith("SystemExit")
    assert code in str(line["error_text"])


@pytest.mark.parametrize("words", [("raises:tree",), ("app:make",), ("zero:tree",)])
def test_what_the_program_raises_is_one_line_with_its_frames_alone(folder: Path, words: tuple[str, ...]) -> None:
    (line,) = lines(ran(folder, *words, *QUIET).said)
    frames = re.findall(r'File "(.*?)"', str(line["stack"]))
    assert {Path(name).parent for name in frames} == {folder}
    assert str(line["error_text"]) in str(line["stack"])


def test_called_wrongly_with_workers_it_ends_with_2_and_says_so_last(folder: Path) -> None:
    done = ran(folder, "slip:tree", "--workers", "2", *QUIET)
    assert done.status == 2
    assert lines(done.said)[-1]["status"] == 2


def test_a_port_that_is_taken_ends_with_1_for_it_may_be_free_again(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ran(folder, "app:tree", "--store", "memory:", "--health", str(port), *QUIET)
    assert done.status == 1
    assert f"expected 127.0.0.1:{port} to be free for probes" in done.said


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_on_either_loop_and_each_line_is_json(
    folder: Path, loop: str, number: signal.Signals
) -> None:
    if loop == "uvloop" and find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    with running(folder, "app:tree", "--store", "jobs.db", "--loop", loop, *QUIET) as service:
        service.log.until(STARTED)
        service.signal(number)
        assert service.end() == 0
    told = [line["event"] for line in lines(service.log.all())]
    assert [event for event in told if str(event).startswith("service.")] == [
        "service.started",
        "service.draining",
        "service.stopped",
    ]


def test_a_third_signal_ends_it_at_once(folder: Path) -> None:
    words = ("app:tree", "--store", "jobs.db", "--admin", "upright.sock", "--log-format", "json")
    with running(folder, *words) as service:
        service.log.until(STARTED)

        async def block() -> None:
            sending = asyncio.ensure_future(
                call(folder / "upright.sock", "send", to="/shop/clerk", handler="block", arguments={})
            )
            await said(folder, "blocking")
            sending.cancel()  # it may block before it has answered

        asyncio.run(block())
        while service.process.poll() is None:  # those that come within an instant count as one
            service.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(0.05)
        assert service.end() == 128 + signal.SIGTERM


def test_probes_and_metrics_are_answered_at_its_port(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(folder, "app:tree", "--store", "jobs.db", "--health", str(port), *QUIET) as service:
        service.log.until(STARTED)
        url = f"http://127.0.0.1:{port}"
        assert [httpx.get(f"{url}/{path}", timeout=PATIENCE).status_code for path in ("livez", "readyz")] == [200, 200]
        assert "upright_probe_ok" in httpx.get(f"{url}/metrics", timeout=PATIENCE).text
        service.signal(signal.SIGTERM)
        assert service.end() == 0


class TestWorkers:
    WORDS = ("app:tree", "--store", "jobs.db", "--workers", "2", "--log-format", "json", "--admin", "parent.sock")

    def test_a_signal_ends_all_of_them_with_0_and_each_line_is_json(self, folder: Path) -> None:
        with running(folder, *self.WORDS) as service:
            service.log.until(r'"worker\.ready"', 2)
            service.signal(signal.SIGTERM)
            assert service.end() == 0
        told = lines(service.log.all())
        pids = {int(str(line["pid"])) for line in told if line["event"] == "worker.ready"}
        assert len(pids) == 2
        assert all(is_gone(pid) for pid in pids)

    def test_workers_end_when_their_parent_is_killed(self, folder: Path) -> None:
        with running(folder, *self.WORDS) as service:
            service.log.until(r'"worker\.ready"', 2)
            os.kill(service.process.pid, signal.SIGKILL)
            assert service.end() == -signal.SIGKILL
            told = lines(service.log.all())  # it ends with the last of them, who have the same standard error
        assert [line["why"] for line in told if line["event"] == "service.draining"] == ["its parent has gone"] * 2
        pids = {int(str(line["pid"])) for line in told if line["event"] == "worker.ready"}
        asyncio.run(holds(lambda: all(is_gone(pid) for pid in pids)))

    def test_called_wrongly_it_ends_with_2(self, folder: Path) -> None:
        assert ran(folder, "app:nothing", *self.WORDS[1:]).status == 2

    def test_what_is_the_parents_alone_reaches_no_worker(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        managed = folder / "manager"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(managed))
            listening.settimeout(PATIENCE)
            ours = {"UPRIGHT_HEALTH": str(port), "NOTIFY_SOCKET": str(managed), "WATCHDOG_USEC": "60000000"}
            with running(folder, *self.WORDS, **ours, UPRIGHT_WORKERS="2") as service:
                service.log.until(r'"worker\.ready"', 2)
                while f"MAINPID={service.process.pid}" not in listening.recv(4_096).decode():
                    pass
                sent: dict[str, Any] = {"to": "/shop/clerk", "handler": "environment", "arguments": {}, "ask": True}
                found = asyncio.run(call(folder / "parent.sock", "send", **sent))["reply"]
                assert not {"UPRIGHT_HEALTH", "UPRIGHT_ADMIN", "UPRIGHT_WORKERS", "WATCHDOG_PID"} & set(found)
                assert found["NOTIFY_SOCKET"] != str(managed)
                service.signal(signal.SIGTERM)
                assert service.end() == 0
            listening.setblocking(False)
            notes: list[str] = []
            while True:
                try:
                    notes.append(listening.recv(4_096).decode())
                except BlockingIOError:
                    break
            assert all("READY" not in note for note in notes)


def test_a_worker_is_called_as_its_parent_but_for_what_only_one_can_have() -> None:
    wanted = Launch(
        "app:tree", store="jobs.db", workers=3, health=":8080", admin="own.sock", high_water=7, log_level="debug",
        log_format="text", loop="uvloop",
    )  # fmt: skip
    words = worker_command(wanted, 23.0)[3:]
    assert words == [
        "run", "app:tree", "--admin", "{admin}", "--drain", "23", "--log-level", "debug", "--log-format", "text",
        "--loop", "uvloop", "--store", "jobs.db", "--high-water", "7",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", ":", "host", "host:", ":x", "1.5", "-1", "80:http", "65536", "٣"])
def test_what_is_no_address_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=f"got {re.escape(repr(text))}"):
        address_of(text)


def no_logs(level: int = 0, json: bool | None = None) -> None:
    """Leave the logs of the test as they are."""


@pytest.mark.parametrize("wanted", [Launch("app:tree", log_level="loud"), Launch("app:tree", drain=-1.0)])
def test_values_that_make_no_sense_end_with_2(wanted: Launch, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    program: Any = ModuleType("app")
    program.tree = supervisor("shop")
    monkeypatch.setitem(sys.modules, "app", program)
    monkeypatch.setattr(sys.modules["upright.operations.launch"], "configure_logs", no_logs)
    assert launch(wanted) == 2
