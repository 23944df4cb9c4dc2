"""The laws of a service that runs: the commands find it, see it as it is, and act on it."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.command.conftest import ROOT, Call, upright

Running = tuple[Path, Path]


def test_a_service_is_found_in_its_folder_and_drawn(service: Running) -> None:
    folder, _ = service
    said = upright("tree", cwd=folder)
    assert said.status == 0
    assert [line.rpartition(" ")[0] for line in said.out.splitlines()] == [
        "/ Root running",
        "├── dead-letters Quiet running",
        "└── town Supervisor running",
        "    ├── bank Bank running",
        "    ├── echo Echo running",
        "    └── imports ImportRunner running",
    ]
    assert {node["path"] for node in upright("tree", "--json", cwd=folder).document["tree"]["children"]} >= {"/town"}


def test_the_environment_names_it_too(service: Running, tmp_path: Path) -> None:
    said = upright("ps", "--json", cwd=tmp_path, env=os.environ | {"UPRIGHT_ADMIN": str(service[1])})
    assert said.document["process"]["draining"] is False
    assert [breaker["name"] for breaker in said.document["breakers"]] == ["smtp"]
    assert {row["address"] for row in said.document["mailboxes"]} == {"bank/till", "machine/imports"}


def test_ps_shows_all_of_it_to_people(service: Running, call: Call) -> None:
    said = call("ps", "--admin", service[1])
    for title in ("PROCESS", "ACTORS", "MAILBOXES", "BREAKERS", "MACHINES"):
        assert f"{title}\n" in said.out
    assert "smtp  CircuitBreaker  closed" in said.out


def test_an_actor_is_asked_and_told(service: Running, call: Call) -> None:
    at = ("--admin", service[1])
    assert call("send", "/town/echo", "say", "word=hello", "--ask", "--within", 20, *at).out == '"hello"\n'
    assert call("send", "/town/echo", "say", "word=hello", *at).out == "sent\n"
    durable = call("send", "/town/bank", "pay", "--json-arguments", '{"account": "ada", "cents": 3}', "--ask", *at)
    assert durable.out == '"3 paid"\n'
    stored = call("send", "/town/bank", "pay", "account=ada", "--once", "k", "--json", *at).document
    assert call("send", "/town/bank", "pay", "account=ada", "--once", "k", "--json", *at).document == {
        "id": stored["id"],
        "duplicate": True,
    }


def test_what_does_not_fit_is_refused_with_what_would(service: Running, call: Call) -> None:
    at = ("--admin", service[1])
    nobody = call("send", "/town/bnk", "pay", "account=ada", *at)
    assert (nobody.status, "bank" in nobody.errors) == (1, True)
    handler = call("send", "/town/bank", "pya", "account=ada", *at)
    assert (handler.status, "pay" in handler.errors) == (2, True)
    assert call("send", "/town/echo", "say", "word=3", *at).status == 2


def test_letters_are_redriven_and_dropped(service: Running, call: Call) -> None:
    at = ("--admin", service[1])
    assert call("dlq", "show", 2, *at).out.startswith("letter 2 for bank/till")
    assert call("dlq", "discard", 2, *at).out == "1 letter discarded\n"
    assert call("dlq", "redrive", "--address", "machine/imports", "--rate", 100, *at).out == "1 letter redriven\n"
    assert [event["name"] for event in call("story", 2, "--json", *at).document["story"]][-1] == "discarded"
    assert call("dlq", "show", 2, *at).status == 1


def test_runs_are_shown(service: Running, call: Call) -> None:
    at = ("--admin", service[1])
    assert call("machine", "ls", "imports", "--status", "completed", *at).out.splitlines()[1].startswith("good")
    assert call("machine", "show", "imports", "good", "--json", *at).document["run"]["state"] == "done"


def test_each_probe_is_answered(service: Running) -> None:
    folder, path = service
    for probe in ("startup", "live", "ready"):
        said = upright("health", "--probe", probe, "--admin", path, "--timeout", 30, cwd=folder)
        assert (said.status, said.errors) == (0, "")
        assert said.out.startswith(f"{probe}: ok")
    report = upright("health", "--json", "--timeout", 30, cwd=folder).document["report"]
    assert "draining" in {check["name"] for check in report["checks"]}


def test_a_store_may_be_looked_into_beside_its_service(service: Running, call: Call) -> None:
    folder, _ = service
    document = call("ps", "--json", "--store", folder / "jobs.db").document
    assert [session["lives"] for session in document["sessions"]] == [True]


def test_the_doctor_examines_both(service: Running, call: Call) -> None:
    folder, path = service
    findings = call("doctor", "--json", "--admin", path, "--store", folder / "jobs.db").document["findings"]
    verdicts = {finding["name"]: finding["verdict"] for finding in findings}
    assert {name for name, verdict in verdicts.items() if verdict == "fail"} == set()
    assert verdicts.keys() >= {"admin socket", "service", "health", "sessions", "quick check"}


def test_the_doctor_finds_the_store_of_a_service(service: Running, call: Call) -> None:
    folder, path = service
    findings = call("doctor", "--json", "--admin", path).document["findings"]
    places = [finding["found"] for finding in findings if finding["name"] == "place"]
    assert len(places) == 1
    assert str(folder / "jobs.db") in places[0]


def test_a_socket_that_others_may_use_fails(service: Running, call: Call) -> None:
    _, path = service
    path.chmod(0o666)
    said = call("doctor", "--admin", path)
    assert said.status == 1
    assert "fail admin socket" in said.out
    assert f"chmod 600 {path}" in said.out


def test_watching_ends_when_the_service_does(tmp_path: Path) -> None:
    folder = tmp_path
    command = [sys.executable, "-m", "tests.command.town", "jobs.db", "upright.sock"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        watch = [sys.executable, "-m", "upright.command", "tree", "--watch"]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, text=True) as watching:
            assert watching.stdout is not None
            assert watching.stderr is not None
            assert watching.stdout.readline() == "/ Root running 0/1000\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
            assert (watching.wait(), watching.stderr.read()[:9]) == (3, "upright: ")


def test_what_is_no_service_is_3(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(json.dumps({}))
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "old.sock"))
    for name in ("file", "old.sock", "none.sock", "x" * 300):
        said = call("tree", "--admin", tmp_path / name)
        assert (said.status, said.out, said.errors[:9]) == (3, "", "upright: ")
