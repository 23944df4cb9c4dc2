"""The laws of words for people: nothing in them acts on a terminal, and times can be read."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from upright.command.words import HIDDEN, TURNING, ago, clean, clean_lines, many, when


@given(st.text())
def test_no_text_keeps_a_character_that_acts_on_a_terminal(text: str) -> None:
    shown = clean(text)
    assert not {unicodedata.category(char) for char in shown} & HIDDEN
    assert not set(shown) & TURNING


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])))
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_a_text_of_several_lines_keeps_its_lines() -> None:
    assert clean_lines("a\n\tb\x1b[2J") == ["a", "    b\\x1b[2J"]


def test_times_are_told_in_the_largest_unit_that_fits() -> None:
    assert [ago(0.0, now) for now in (0.4, 5.0, 65.0, 3 * 3600.0, 2 * 86400.0)] == [
        "now",
        "5 s ago",
        "1 min ago",
        "3 h ago",
        "2 d ago",
    ]
    assert ago(120.0, 0.0) == "in 2 min"


def test_a_time_is_local_and_relative_and_none_is_empty() -> None:
    assert when(1_700_000_000.0, 1_700_000_180.0).endswith(":20 (3 min ago)")
    assert [when(at, 1.0) for at in (None, 0, 0.0, "soon", float("inf"))] == [""] * 5
    assert when(1e300, 1.0) == "1e+300"


def test_counts_read_well() -> None:
    assert [many(count, "address", "addresses") for count in (0, 1, 2)] == ["0 addresses", "1 address", "2 addresses"]
