"""The laws of `upright health`: one line, an exit status that says all, and nothing imported that costs time."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command.listeners import Talk, at_a_path, at_a_port, body, dripping, hanging, saying
from upright.command.probe import health, host_and_port

WELL = {"ok": True, "status": "ok", "checks": [{"name": "loop", "status": "ok", "why": ""}]}
ILL = {
    "ok": False,
    "status": "failed",
    "checks": [
        {"name": "draining", "status": "failed", "why": "it takes no new work"},
        {"name": "loop", "status": "ok"},
    ],
}
DEGRADED = {"ok": True, "status": "degraded", "checks": [{"name": "guards", "status": "degraded", "why": "smtp"}]}


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service is to be found by accident."""
    monkeypatch.delenv("UPRIGHT_HEALTH", raising=False)
    monkeypatch.delenv("UPRIGHT_ADMIN", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("talk", "status", "said"),
    [
        (body("200 OK", json.dumps(WELL)), 0, "ready: ok\n"),
        (body("200 OK", json.dumps(DEGRADED)), 0, "ready: degraded; guards: smtp\n"),
        (body("503 Unavailable", json.dumps(ILL)), 1, "ready: failed; draining: it takes no new work\n"),
        (body("200 OK", "all is well\nreally"), 0, "ready: all is well\n"),
        (body("503 Unavailable", ""), 1, "ready: failed\n"),
        (body("200 OK", "[1]"), 0, "ready: ok\n"),
        (body("200 OK", "a\x1b[2Jb"), 0, "ready: a\\x1b[2Jb\n"),
    ],
)
def test_the_status_of_the_answer_is_the_exit_status(
    talk: Talk, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_a_port(talk) as address:
        assert health(["--health", address]) == status
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (body("404 Not Found", ""), "404"),
        (saying(b"SSH-2.0-OpenSSH\r\n"), "does not speak HTTP"),
        (saying(b""), "does not speak HTTP"),
        (hanging, "timed out"),
        (dripping, "timed out"),
    ],
)
def test_what_is_no_answer_of_a_service_is_3(talk: Talk, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with at_a_port(talk) as address:
        assert health(["--health", address, "--timeout=0.1"]) == 3
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert said in errors


def test_a_port_where_nobody_listens_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert health(["--health", f"{port}"]) == 3
    assert f"nobody answers at 127.0.0.1:{port}: connection refused" in capsys.readouterr().err


def test_without_anybody_to_ask_it_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert health([]) == 3
    assert "--health HOST:PORT or --admin PATH" in capsys.readouterr().err


def test_each_probe_asks_for_its_own_path() -> None:
    asked: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        asked.append(connection.recv(65536).split(b" ")[1])
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")

    with at_a_port(talk) as address:
        for probe in ("startup", "live", "ready"):
            assert health([f"--health={address}", "--probe", probe]) == 0
    assert asked == [b"/startupz", b"/livez", b"/readyz"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"result": {"health": WELL}}, 0),
        ({"result": {"health": ILL}}, 1),
        ({"error": "no such thing", "kind": "wrong"}, 3),
        ({"progress": {}}, 3),
        ("hello", 3),
    ],
)
def test_the_admin_socket_tells_it_too(answer: object, status: int, tmp_path: Path) -> None:
    with at_a_path(tmp_path / "s", saying(json.dumps(answer).encode() + b"\n")) as path:
        assert health(["--admin", path]) == status


def test_a_socket_that_is_left_over_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with at_a_path(tmp_path / "s", hanging) as path:
        assert health(["--admin", path, "--timeout", "0.05"]) == 3
    assert health(["--admin", path]) == 3
    assert "connection refused" in capsys.readouterr().err
    assert health(["--admin", str(tmp_path / "none")]) == 3


def test_the_environment_and_the_folder_say_whom_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ill = saying(json.dumps({"result": {"health": ILL}}).encode() + b"\n")
    with at_a_path(tmp_path / "upright.sock", ill), at_a_port(body("200 OK", "ok")) as address:
        assert health([]) == 1
        monkeypatch.setenv("UPRIGHT_ADMIN", str(tmp_path / "none"))
        assert health([]) == 3
        monkeypatch.setenv("UPRIGHT_HEALTH", address)
        assert health([]) == 0
        assert health(["--admin", str(tmp_path / "upright.sock")]) == 1


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    with at_a_port(body("503 Unavailable", json.dumps(ILL))) as address:
        assert health(["--json", "--health", address]) == 1
    assert json.loads(capsys.readouterr().out) == {"probe": "ready", "ok": False, "report": ILL}


@pytest.mark.parametrize(
    "given",
    [
        ["--helth", "8080"],
        ["8080"],
        ["--health"],
        ["--health", "ada"],
        ["--health", ":0"],
        ["--health", ":99999"],
        ["--health", "²:1²"],
        ["--health", "8080", "--admin", "s"],
        ["--health", "8080", "--probe", "well"],
        ["--health", "8080", "--timeout", "0"],
        ["--health", "8080", "--timeout", "nan"],
        ["--health", "8080", "--timeout", "soon"],
        ["--json=1"],
    ],
)
def test_what_cannot_be_meant_is_2_and_shows_the_usage(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert health(given) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert "Usage: upright health" in errors


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert health(["--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: upright health")


def test_what_listens_everywhere_is_asked_here() -> None:
    assert [host_and_port(text) for text in ("8080", ":8080", "0.0.0.0:8080", "[::]:8080", "[::1]:80")] == [
        ("127.0.0.1", 8080),
        ("127.0.0.1", 8080),
        ("127.0.0.1", 8080),
        ("::1", 8080),
        ("::1", 80),
    ]


def test_it_stands_on_the_standard_library_alone(tmp_path: Path) -> None:
    program = (
        "import sys; seen = {*sys.modules}; sys.argv = ['upright', 'health', '--health', '127.0.0.1:1'];"
        " from upright.command.main import main; status = main(); print(status, *{*sys.modules} - seen)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    status, *names = done.stdout.split()
    assert status == "3"
    assert {name for name in names if name.startswith("upright")} <= {
        "upright",
        "upright.command",
        "upright.command.main",
        "upright.command.probe",
        "upright.command.streams",
    }
    tops = {name.split(".")[0] for name in names}
    assert tops - {"upright"} - sys.stdlib_module_names == set()
    # What costs more than the question is worth.
    assert tops & {"asyncio", "http", "urllib", "argparse", "ssl", "email", "logging", "sqlite3"} == set()
