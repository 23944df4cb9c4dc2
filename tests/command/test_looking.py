"""The laws of what only looks, on a store alone: what is shown, what JSON has, what is said of what is not there."""

import json
from pathlib import Path

import pytest

from tests.command.conftest import Call, upright


def test_the_addresses_of_a_store_are_drawn_as_a_tree(town: Path, call: Call) -> None:
    assert call("tree", "--store", town).out.splitlines() == [
        "/ stored 0",
        "├── bank stored 0",
        "│   └── till stored 1 2 quarantined",
        "└── machine stored 0",
        "    └── imports stored 0 1 quarantined",
    ]


def test_a_tree_as_json_is_nodes_in_nodes(town: Path, call: Call) -> None:
    tree = call("tree", "--json", "--store", town).document["tree"]
    assert [node["path"] for node in tree["children"]] == ["bank", "machine"]
    assert tree["children"][0]["children"][0]["quarantined"] == 2


def test_ps_lists_mailboxes_and_machines(town: Path, call: Call) -> None:
    rows = [line.split() for line in call("ps", "--store", town).out.splitlines()]
    assert ["bank/till", "1", "0", "2"] in rows
    assert ["machine/imports", "1", "completed,", "1", "failed"] in rows
    document = call("ps", "--json", "--store", town).document
    assert document["sessions"] == []
    assert document["mailboxes"][0] == {"address": "bank/till", "waiting": 1, "running": 0, "quarantined": 2}


def test_letters_are_plain_columns_without_a_terminal(town: Path, call: Call) -> None:
    said = call("dlq", "ls", "--store", town)
    heading, *rows = said.out.splitlines()
    assert heading.split() == ["id", "address", "handler", "reason", "attempts", "quarantined", "error"]
    assert [row.split()[:5] for row in rows] == [
        ["2", "bank/till", "pay", "attempts", "2"],
        ["3", "bank/till", "pay", "attempts", "2"],
        ["7", "machine/imports", "go", "attempts", "1"],
    ]
    assert all(" ago)" in row or " (now)" in row for row in rows)
    assert said.errors == ""


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--address", "bank/till"], [2, 3]),
        (["--error", "eve"], [3]),
        (["--reason", "attempts", "--limit", "1"], [2]),
        (["--reason", "expired"], []),
    ],
)
def test_letters_are_chosen_by_what_they_are(words: list[str], ids: list[int], town: Path, call: Call) -> None:
    document = call("dlq", "ls", "--json", *words, "--store", town).document
    assert [letter["id"] for letter in document["letters"]] == ids


def test_what_is_not_shown_is_counted_beside(town: Path, call: Call) -> None:
    said = call("dlq", "ls", "--limit", 1, "--store", town)
    assert len(said.out.splitlines()) == 2
    assert "and 2 letters more" in said.errors
    assert "like that" in call("dlq", "ls", "--reason", "expired", "--store", town).out


def test_groups_are_letters_by_what_went_wrong(town: Path, call: Call) -> None:
    rows = call("dlq", "ls", "--groups", "--store", town).out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["2", "1"]
    document = call("dlq", "ls", "--groups", "--json", "--store", town).document
    assert [group["ids"] for group in document["groups"]] == [[2, 3], [7]]


def test_a_letter_is_shown_with_its_arguments_and_tracebacks(town: Path, call: Call) -> None:
    said = call("dlq", "show", 2, "--store", town)
    assert said.out.startswith("letter 2 for bank/till, handler pay\nreason: attempts\n")
    assert '"account": "bob"' in said.out
    assert said.out.count("Traceback (most recent call last)") == 1
    assert said.out.count("the same traceback as before") == 1
    assert "  quarantined, in " in said.out
    assert upright("dlq", "show", 2, "--store", town, cwd=town.parent).errors == ""
    letter = call("dlq", "show", 2, "--json", "--store", town).document["letter"]
    assert letter["arguments"] == {"account": "bob", "cents": 5}
    assert [attempt["attempt"] for attempt in letter["attempts"]] == [1, 2]


def test_a_story_is_told_in_order(town: Path, call: Call) -> None:
    rows = call("story", 2, "--store", town).out.splitlines()[1:]
    names = ["stored", "claimed", "failed", "claimed", "failed", "quarantined"]
    assert [name for row, name in zip(rows, names, strict=True) if name in row] == names
    assert [event["name"] for event in call("story", 2, "--json", "--store", town).document["story"]] == names


def test_machines_and_their_runs_are_listed(town: Path, call: Call) -> None:
    assert call("machine", "ls", "--store", town).out.splitlines()[1:] == ["machine/imports  1 completed, 1 failed"]
    rows = call("machine", "ls", "imports", "--store", town).out.splitlines()[1:]
    assert [row.split()[:3] for row in rows] == [["bad", "failed", "read"], ["good", "completed", "done"]]
    document = call("machine", "ls", "imports", "--status", "failed", "--json", "--store", town).document
    assert [run["id"] for run in document["runs"]] == ["bad"]
    assert call("machine", "ls", "imports", "--state", "new", "--store", town).out == "no runs\n"


def test_a_run_is_shown_with_its_history_and_its_letter(town: Path, call: Call) -> None:
    said = call("machine", "show", "imports", "bad", "--store", town).out
    assert said.startswith("machine/imports bad failed in read\n")
    assert "error: ValueError: it does not add up" in said
    assert "see upright dlq show 7" in said
    assert '"id": "bad"' in said
    run = call("machine", "show", "imports", "bad", "--json", "--store", town).document["run"]
    assert (run["status"], run["letters"], run["data"]) == ("failed", [7], {"id": "bad"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dlq", "show", "1"], "its story ends with acked"),
        (["dlq", "show", "4711"], "the store knows nothing of it"),
        (["story", "4711"], "4711"),
        (["machine", "ls", "import"], "machine/imports"),
        (["machine", "show", "imports", "ugly"], "ugly"),
        (["send", "bank/tll", "pay"], "bank/till"),
    ],
)
def test_what_is_not_there_is_1_and_says_so(words: list[str], said: str, town: Path, call: Call) -> None:
    for more in ([], ["--json"]):
        got = call(*words, *more, "--store", town)
        assert (got.status, got.out) == (1, "")
        assert said in got.errors


def test_a_wrong_status_names_those_that_there_are(town: Path, call: Call) -> None:
    said = call("machine", "ls", "imports", "--status", "broken", "--store", town)
    assert said.status == 2
    assert "compensating" in said.errors
    assert call("machine", "ls", "--status", "failed", "--store", town).status == 2


def test_json_has_no_character_that_moves_a_cursor(town: Path, call: Call) -> None:
    said = call("dlq", "ls", "--json", "--store", town)
    assert said.out.isascii()
    assert said.out.strip().isprintable()
    assert "\x1b[2J" in json.loads(said.out)["letters"][0]["error"]
