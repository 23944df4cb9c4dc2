"""What is an order, and what is refused, with which words."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.command.demo.orders import GOOD, line, order
from upright.command.demo.order import UNPLUG, Order, Refused, read_order

WRONG = [
    (b"", "input data was truncated"),
    (b"{", "input data was truncated"),
    (b"nonsense", "JSON is malformed"),
    (b"[]", "expected `object`, got `array`"),
    (b"\xff" + line(), "not UTF-8: byte 0xff at 0"),
    (line() + b"\0", "a NUL byte"),
    (line(cents=-5), "cents: expected `int` >= 1"),
    (line(cents=0), "cents: expected `int` >= 1"),
    (line(cents=10**9), "cents: expected `int` <= 100000000"),
    (line(cents="12"), "cents: expected `int`, got `str`"),
    (line(cents=1.5), "cents: expected `int`, got `float`"),
    (line(quantity=10**30), "quantity:"),
    (line(kilograms=-1), "kilograms: expected `float` >= 0"),
    (line().replace(b"0.5", b"1e999"), "kilograms: number out of range"),
    (line().replace(b"0.5", b"NaN"), "JSON is malformed"),
    (line(coupon=1), "unknown field `coupon`"),
    (line(id=""), "id: expected"),
    (line(id="a\n"), "id: expected"),
    (line(id="a" * 65), "id: expected"),
    (line(customer="nobody"), "customer: expected an address with an @"),
    (line(country="de"), "country: expected"),
    (b"[" * 100_000, "expected `object`, got `array`"),
    (json.dumps({key: value for key, value in GOOD.items() if key != "cents"}).encode(), "required field `cents`"),
]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_what_is_no_order_is_refused_with_the_field_and_the_reason(text: bytes, why: str) -> None:
    with pytest.raises(Refused, match=re.escape(why)):
        read_order(text)


def test_a_good_order_is_read_with_its_defaults() -> None:
    assert order() == Order(**GOOD, country="DE", note="")
    assert not order().is_poison
    assert not order().is_killer


def test_poison_and_killers_are_told_by_their_fields() -> None:
    assert order(kilograms=0).is_poison
    assert order(note=UNPLUG).is_killer


@given(st.binary(max_size=300))
def test_any_bytes_are_an_order_or_are_refused(text: bytes) -> None:
    try:
        found: object = read_order(text)
    except Refused as refused:
        found = str(refused)
    assert found


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, "", "x", "DE", "a\n", 0, -1, 7, 10**9, 10**30, 0.0, -0.5, 1e300, math.nan, math.inf, []]
)


@given(st.dictionaries(st.sampled_from([*GOOD, "more"]), VALUES, max_size=4))
def test_an_order_that_is_read_keeps_its_rules(changes: dict[str, Any]) -> None:
    try:
        found = read_order(line(**changes))
    except Refused:
        return
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found.id)
    assert found.cents >= 1
    assert found.quantity >= 1
    assert 0 <= found.kilograms <= 10_000
