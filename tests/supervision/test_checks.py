"""The laws of the checks: one formula of message, and no value that only looks like a number."""

import math
from typing import Any

import pytest

from upright.supervision.checks import at_least, is_number, more_than, one_of, whole


@pytest.mark.parametrize("value", [True, "1", None, math.nan, [1]])
def test_what_only_looks_like_a_number_is_none(value: Any) -> None:
    assert not is_number(value)
    with pytest.raises(ValueError, match=r"^expected x to be 0 or more, got "):
        at_least("x", value, 0)
    with pytest.raises(ValueError, match=r"^expected x to be more than 0, got "):
        more_than("x", value, 0)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_a_whole_number_is_an_int(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected x to be 0 or more, got "):
        whole("x", value, 0)


def test_the_bounds_themselves() -> None:
    at_least("x", 0, 0)
    more_than("x", 0.001, 0)
    whole("x", 0, 0)
    with pytest.raises(ValueError, match="expected x to be more than 0 seconds, got 0"):
        more_than("x", 0, 0, " seconds")


def test_a_choice_is_among_the_choices() -> None:
    one_of("x", "a", ("a", "b"))
    with pytest.raises(ValueError, match="expected x to be one of a, b, got 'c'"):
        one_of("x", "c", ("a", "b"))
