"""The laws of the command line as a whole: its exit statuses, its errors, and quiet ends."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command.conftest import Call, upright

NAMES = ("tree", "ps", "send", "dlq", "story", "machine", "health", "doctor")


def test_help_names_every_command(call: Call) -> None:
    said = call("--help")
    assert said.status == 0
    assert all(f"\n  {name} " in said.out for name in NAMES)


def test_without_a_command_it_shows_what_there_is(tmp_path: Path) -> None:
    said = upright(cwd=tmp_path)
    assert said.status in (0, 2)  # by the version of click
    assert "Commands:" in said.out + said.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tre"], "there is no command tre: did you mean tree?"),
        (["machin", "ls"], "did you mean machine?"),
        (["xyzzy\x1b[2J"], "there is no command xyzzy\\x1b[2J"),
        (["dlq", "redriv", "1"], "did you mean redrive?"),
        (["tree", "--sore", "jobs.db"], "--store"),
        (["tree", "--store", "a", "--admin", "b"], "got both"),
        (["tree", "--store", "mysql:jobs"], "mysql:jobs"),
        (["tree", "--store", "memory:"], "its own process alone"),
        (["tree", "--watch", "--json", "--store", "a.db"], "got both"),
        (["story", "seven", "--store", "a.db"], "integer"),
    ],
)
def test_what_cannot_be_meant_is_2_and_says_what_can(words: list[str], said: str, call: Call) -> None:
    got = call(*words)
    assert (got.status, got.out) == (2, "")
    assert said in got.errors
    assert "Traceback" not in got.errors


@pytest.mark.parametrize("words", [["tree"], ["dlq", "ls"], ["story", "1"], ["send", "/a", "b"], ["ps", "--json"]])
def test_with_nobody_to_ask_it_is_3_and_names_both_ways(words: list[str], call: Call) -> None:
    said = call(*words)
    assert (said.status, said.out) == (3, "")
    assert "--admin PATH" in said.errors
    assert "--store STORE" in said.errors


def test_a_service_that_is_not_there_is_3(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("tree", "--admin", "none.sock").status == 3
    monkeypatch.setenv("UPRIGHT_ADMIN", str(tmp_path / "env.sock"))
    assert "env.sock" in call("tree").errors


def test_a_store_that_is_not_there_is_3_and_is_not_made(call: Call, tmp_path: Path) -> None:
    for words in (["tree"], ["dlq", "redrive", "--all"], ["dlq", "discard", "1"], ["send", "a", "b"], ["story", "1"]):
        said = call(*words, "--store", "none.db")
        assert (said.status, said.out) == (3, "")
        assert said.errors.startswith("upright: ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_3(call: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("These are notes." * 1000)
    assert call("tree", "--store", "notes.db").status == 3


def test_whoever_stops_reading_ends_it_quietly(store: Path) -> None:
    command = [sys.executable, "-m", "upright.command", "ps", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_ctrl_c_is_130_and_leaves_no_traceback(store: Path) -> None:
    command = [sys.executable, "-m", "upright.command", "tree", "--watch", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "/ stored 0\n"
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (130, "")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_names_it(missing: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['upright', 'tree'];"
        " from upright.command.main import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert 'pip install "upright[cli]"' in done.stderr


def on_a_terminal(*words: str, cwd: Path, **environment: str) -> str:
    """What a command writes to a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "upright.command", *words]
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=follower, stdin=follower, cwd=cwd, env=variables | environment) as process:
        os.close(follower)
        written = b""
        try:
            while part := os.read(leader, 65536):
                written += part
        except OSError:
            pass  # how Linux tells that nobody has the other end any more
        finally:
            os.close(leader)
    assert process.returncode == 0
    return written.decode()


def test_a_terminal_gets_colours_unless_it_says_no(store: Path) -> None:
    words = ("tree", "--store", str(store))
    plain = "2 quarantined"
    assert f"\x1b[31m{plain}\x1b[0m" in on_a_terminal(*words, cwd=store.parent)
    assert "\x1b" not in on_a_terminal(*words, cwd=store.parent, NO_COLOR="1")
    assert plain in on_a_terminal(*words, cwd=store.parent, NO_COLOR="1")


def test_no_control_character_of_the_data_gets_to_a_terminal(store: Path) -> None:
    for words in (["dlq", "ls"], ["dlq", "show", "2"], ["story", "2"], ["dlq", "ls", "--groups"]):
        written = on_a_terminal(*words, "--store", str(store), cwd=store.parent, COLUMNS="300")
        assert "no account \\x1b[2J\\u202e" in written
        assert "\x1b[2J" not in written
        assert "\u202e" not in written
