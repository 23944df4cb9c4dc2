"""The laws of plain JSON: whatever a value holds, there is a text for it, and only what has none is replaced."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.operations.plain_json import as_json, shown
from upright.persistence.judge import storable as escaped

HALF = "caf\udce9.txt"
"""As `os.fsdecode` gives the name of a file that is no UTF-8."""
WHOLE = "caf\\udce9.txt"


class Broken:
    def __repr__(self) -> str:
        raise LookupError("no text today")


class Note(msgspec.Struct):
    text: str


@dataclass
class Place:
    name: str


def back(value: object) -> Any:
    return json.loads(as_json(value))


def holding_itself() -> list[Any]:
    value: list[Any] = [HALF]
    value += [value, value]
    return value


def deep_with_half_a_character() -> list[Any]:
    value: list[Any] = [HALF]
    for _ in range(500):
        value = [value]
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


LEAVES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text()


@given(LEAVES | st.lists(LEAVES | st.dictionaries(st.text(), LEAVES)))
def test_what_json_knows_is_written_as_it_is(value: object) -> None:
    assert back(value) == value


@given(st.text(st.characters()))
def test_every_text_can_be_encoded_once_it_is_escaped_and_those_that_can_be_are_not_changed(text: str) -> None:
    assert escaped(text).encode().decode() == escaped(text)
    assert back([text]) == [escaped(text)]


@pytest.mark.parametrize("where", [[HALF], {"a": (1, HALF)}, {HALF: 1}, {HALF}], ids=["list", "deep", "key", "set"])
def test_half_a_character_is_an_escape_wherever_it_is(where: object) -> None:
    assert WHOLE in json.dumps(back(where)).replace("\\\\", "\\")


def test_what_stands_beside_it_keeps_its_form() -> None:
    assert back({"bad": HALF, "day": date(2026, 5, 3), "note": Note(HALF), "n": 1.5}) == {
        "bad": WHOLE, "day": "2026-05-03", "note": {"text": WHOLE}, "n": 1.5,
    }  # fmt: skip


def test_a_type_that_json_does_not_know_is_told_by_its_repr() -> None:
    assert back({"place": Place(HALF), "type": Place}) == {"place": shown(Place(HALF)), "type": repr(Place)}


def test_of_a_repr_that_raises_the_type_and_the_error_are_told() -> None:
    assert back([Broken()]) == ["<Broken: its repr raised LookupError>"]


def test_keys_of_any_type_are_told() -> None:
    assert back({(1, 2): 3, None: 4, HALF: 5}) == {"(1, 2)": 3, "None": 4, WHOLE: 5}


@pytest.mark.parametrize("make", [holding_itself, deep, deep_with_half_a_character])
def test_what_holds_itself_or_is_too_deep_is_told_in_a_word(make: Any) -> None:
    told = back({"value": make(), "beside": 1})
    assert told["beside"] == 1
    assert "it holds itself, or is too deep" in json.dumps(told["value"])


def test_what_stands_for_an_unknown_type_may_refuse_it() -> None:
    def refuse(value: object) -> Any:
        raise TypeError(type(value).__name__)

    with pytest.raises(TypeError, match="Broken"):
        as_json({"text": HALF, "value": Broken()}, refuse)
