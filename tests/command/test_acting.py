"""The laws of what changes something, on a store alone: nothing is dropped unasked, and what was missing is said."""

from pathlib import Path

import pytest

from tests.command.conftest import Call
from upright.command.send import read, value_of


def ids(call: Call, store: Path) -> list[int]:
    return [letter["id"] for letter in call("dlq", "ls", "--json", "--store", store).document["letters"]]


def test_redrive_puts_letters_back(store: Path, call: Call) -> None:
    said = call("dlq", "redrive", 2, 7, "--store", store)
    assert (said.status, said.out) == (0, "2 letters redriven\n")
    assert ids(call, store) == [3]
    assert call("dlq", "redrive", "--all", "--rate", 1000, "--json", "--store", store).document == {"redriven": 1}
    assert ids(call, store) == []


def test_a_named_letter_that_is_not_there_is_1(store: Path, call: Call) -> None:
    said = call("dlq", "redrive", 2, 4711, "--store", store)
    assert (said.status, said.out) == (1, "1 letter redriven\n")
    assert "1 letter of those named" in said.errors


def test_a_choice_that_is_empty_is_no_error(store: Path, call: Call) -> None:
    assert call("dlq", "redrive", "--error", "nothing like it", "--store", store).status == 0


@pytest.mark.parametrize(
    "words",
    [
        ["redrive"],
        ["redrive", "1", "--all"],
        ["redrive", "--all", "--error", "x"],
        ["redrive", "1", "--reason", "expired"],
        ["redrive", "1", "--rate", "5"],
        ["redrive", "--all", "--rate", "0"],
        ["discard", "--yes"],
        ["discard", "one"],
        ["discard", "--yes", "--error", ""],
        ["redrive", "--address", ""],
    ],
)
def test_what_is_chosen_is_said_in_one_way(words: list[str], store: Path, call: Call) -> None:
    assert call("dlq", *words, "--store", store).status == 2
    assert ids(call, store) == [2, 3, 7]


def test_without_a_terminal_more_than_one_is_dropped_only_with_yes(store: Path, call: Call) -> None:
    for words in (["--all"], ["2", "3"], ["--error", "eve"]):
        said = call("dlq", "discard", *words, "--store", store)
        assert said.status == 2
        assert "--yes" in said.errors
    assert ids(call, store) == [2, 3, 7]
    assert call("dlq", "discard", 2, "--store", store).out == "1 letter discarded\n"
    assert call("dlq", "discard", "--all", "--yes", "--store", store).out == "2 letters discarded\n"


@pytest.mark.parametrize(("answer", "status", "left"), [(True, 0, []), (False, 1, [2, 3, 7])])
def test_on_a_terminal_it_asks(
    answer: bool, status: int, left: list[int], store: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr("upright.command.dlq.on_a_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    assert call("dlq", "discard", "--all", "--store", store).status == status
    assert asked == ["Discard 3 letters for good?"]
    assert ids(call, store) == left


def test_a_message_is_stored_once_for_its_key(store: Path, call: Call) -> None:
    words = ("send", "bank/till", "pay", "account=ada", "cents=3", "--once", "k", "--store", store)
    first, second = call(*words, "--json"), call(*words)
    assert first.document == {"id": first.document["id"], "duplicate": False}
    assert second.out == f"message {first.document['id']} was there already, with this key: nothing was changed\n"
    assert call("send", "bank/till", "pay", "account=ada", "--store", store).out.startswith("stored as message ")


def test_a_store_alone_answers_no_ask(store: Path, call: Call) -> None:
    assert call("send", "bank/till", "pay", "account=ada", "--ask", "--store", store).status == 2
    assert call("send", "bank/till", "pay", "--within", 3, "--store", store).status == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-1.5", -1.5), ("true", True), ("null", None), ('"3"', "3"), ("[1]", [1]), ("ada", "ada"), ("", ""),
        ("NaN", "NaN"), ("01", "01"), ("[" * 100_000, "[" * 100_000), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_a_value_is_json_where_it_can_be(text: str, value: object) -> None:
    assert value_of(text) == value
    assert read([f"name={text}"], None) == {"name": value}


@pytest.mark.parametrize(
    "words", [["ada"], ["=3"], ["a b=3"], ["a=1", "a=2"], ["--json-arguments", "[]"], ["--json-arguments", "{"],
              ["a=1", "--json-arguments", '{"a": 2}']]
)  # fmt: skip
def test_arguments_that_cannot_be_meant_are_2(words: list[str], store: Path, call: Call) -> None:
    assert call("send", "bank/till", "pay", *words, "--store", store).status == 2
