"""The laws of words that cannot be meant, where the system beneath would take them: they are told of, in a line."""

import os
from pathlib import Path

import pytest

from tests.command.conftest import Call, upright
from upright.command import app

SENDS = ("send", "bank/till", "pay")


def no_json(call: Call, *target: object) -> None:
    """Send what JSON has and no encoding: it is told of."""
    said = call(*SENDS, "--json-arguments", r'{"s": "\ud800"}', *target)
    assert (said.status, said.out) == (2, "")
    assert said.errors.strip()
    assert "Traceback" not in said.errors


def test_arguments_that_cannot_be_sent_to_a_service_are_2(service: tuple[Path, Path], call: Call) -> None:
    no_json(call, "--admin", service[1])


def test_arguments_that_cannot_be_stored_are_2(store: Path, call: Call) -> None:
    no_json(call, "--store", store)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*SENDS, "--once", ""), "expected --once to get a key, got an empty string"),
        ((*SENDS, "--ask", "--within", "nan"), "expected --within to be a number of seconds, 1e9 at most, got nan"),
        ((*SENDS, "--ask", "--within", "inf"), "expected --within to be a number of seconds, 1e9 at most, got inf"),
        (("dlq", "redrive", "--all", "--rate", "nan"), "expected --rate to be a number, 1e9 at most, got nan"),
        (("dlq", "redrive", "--all", "--rate", "inf"), "expected --rate to be a number, 1e9 at most, got inf"),
    ],
)
def test_numbers_and_keys_that_are_none_are_2_and_change_nothing(
    words: tuple[str, ...], said: str, store: Path, call: Call
) -> None:
    before = call("dlq", "ls", "--json", "--store", store).document
    got = call(*words, "--store", store)
    assert (got.status, got.out) == (2, "")
    assert said in " ".join(got.errors.split())
    assert call("dlq", "ls", "--json", "--store", store).document == before


@pytest.mark.parametrize("option", ["--address", "--reason", "--error"])
def test_a_choice_that_chooses_nothing_is_said_to_be_one(option: str, town: Path, call: Call) -> None:
    word = "expired" if option == "--reason" else "" if option == "--address" else "nothing like it"
    assert call("dlq", "ls", option, word, "--store", town).out == "nothing in quarantine is like that\n"


def test_a_quarantine_in_which_nothing_is_is_said_to_be_empty(store: Path, call: Call) -> None:
    assert call("dlq", "discard", "--all", "--yes", "--store", store).status == 0
    assert call("dlq", "ls", "--store", store).out == "nothing is in quarantine\n"


@pytest.mark.parametrize("words", [["tree"], ["ps"], ["dlq", "ls"], ["story", "1"], SENDS])
def test_a_pipe_in_the_place_of_a_store_is_3_at_once(words: list[str], tmp_path: Path, call: Call) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    said = call(*words, "--store", "pipe.db")
    assert (said.status, said.out) == (3, "")
    assert "pipe.db cannot be opened: it is no regular file" in said.errors


def test_a_service_does_not_wait_for_a_pipe_in_the_place_of_its_store(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "app.py").write_text('from upright.supervision import supervisor\ntree = supervisor("top")\n')
    said = upright("run", "app:tree", "--store", "pipe.db", "--admin", "", cwd=tmp_path)
    assert said.status == 1
    assert "it is no regular file" in said.errors


@pytest.mark.parametrize(
    ("code", "status", "errors"),
    [(None, 0, ""), (0, 0, ""), (4, 4, ""), ("no such town", 1, "no such town\n"), ("", 1, "\n")],
)
def test_what_exits_with_a_text_says_it_and_is_1(
    code: object, status: int, errors: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: object, **__: object) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(app.app, "make_context", leave)
    said = call("tree")
    assert (said.status, said.out, said.errors) == (status, "", errors)
