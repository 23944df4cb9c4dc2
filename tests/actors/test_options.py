"""The laws of options: small frozen values, checked where they are written, with one formula of message."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds
from upright.actors import Blueprint, Bounded
from upright.actors.options import FULL, seconds


def test_a_mailbox_holds_a_thousand_and_makes_senders_wait_by_default() -> None:
    assert Bounded() == Bounded(1_000, "wait")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_mailbox_of_less_than_one_message_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"^expected limit to be 1 or more, got {limit}$"):
        Bounded(limit)


@pytest.mark.parametrize("full", FULL)
def test_the_four_policies_are_known(full: Any) -> None:
    assert Bounded(1, full=full).full == full


@pytest.mark.parametrize("full", ["drop", "", None, "WAIT"])
def test_another_policy_is_refused_with_the_value_and_the_choices(full: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"^expected full to be one of wait, reject, drop_new, drop_old, got {full!r}"
    ):
        Bounded(full=full)


def test_options_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Bounded().limit = 2  # type: ignore[misc]  # what the test forbids
    with pytest.raises(AttributeError):
        Blueprint("x", Deeds).name = "y"  # type: ignore[misc]  # what the test forbids


@pytest.mark.parametrize("name", ["", "a/b", "/", "/a"])
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="expected name to be a string without '/', got"):
        Blueprint(name, Deeds)


@pytest.mark.parametrize("shutdown", [0, 0.0, 5.0, math.inf, "brutal"])
def test_a_shutdown_is_a_time_of_zero_or_more_or_brutal(shutdown: Any) -> None:
    assert Blueprint("x", Deeds, shutdown=shutdown).shutdown == shutdown


@pytest.mark.parametrize("shutdown", [-0.1, -math.inf, math.nan, "gentle"])
def test_another_shutdown_is_refused_with_the_value_seen(shutdown: Any) -> None:
    with pytest.raises(ValueError, match=f"expected shutdown to be 0 or more seconds or 'brutal', got {shutdown!r}"):
        Blueprint("x", Deeds, shutdown=shutdown)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_start_has_some_time_or_all_of_it(limit: float) -> None:
    with pytest.raises(ValueError, match=f"expected start_timeout to be more than 0 seconds, got {limit!r}"):
        Blueprint("x", Deeds, start_timeout=limit)
    assert Blueprint("x", Deeds).start_timeout == math.inf


@given(st.floats(min_value=0.0, allow_nan=False))
def test_a_duration_of_zero_or_more_is_given_back(value: float) -> None:
    assert seconds("within", value) == value


@given(st.one_of(st.floats(max_value=0.0, exclude_max=True), st.just(math.nan)))
def test_a_negative_duration_or_nan_is_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match=r"^expected within to be 0 or more seconds, got "):
        seconds("within", value)
