"""The sample is the same for the same seed, has what it says, and is the file that is shipped."""

from collections import Counter

import pytest

from tests.house.rooms import ROOT
from upright.command.demo.order import Order, Refused, read_order
from upright.command.demo.sample import sample

SHIPPED = ROOT / "examples" / "orders" / "orders.jsonl"


def sorted_out(lines: list[bytes]) -> tuple[list[Order], list[str]]:
    """The orders, and why the others are refused."""
    orders: list[Order] = []
    refused: list[str] = []
    for line in lines:
        try:
            orders.append(read_order(line))
        except Refused as error:
            refused.append(str(error))
    return orders, refused


def test_the_file_that_is_shipped_is_the_sample() -> None:
    assert SHIPPED.read_bytes() == b"\n".join(sample()) + b"\n"


@pytest.mark.parametrize("seed", range(10))
def test_it_has_a_thousand_lines_of_which_so_many_are_of_each_kind(seed: int) -> None:
    lines = sample(seed)
    orders, refused = sorted_out(lines)
    ids = Counter(order.id for order in orders)
    assert lines == sample(seed)
    assert (len(lines), len(refused), len(ids)) == (1_000, 30, 960)
    assert Counter(ids.values()) == {1: 950, 2: 10}
    assert len(set(refused)) >= 12
    assert sum(order.is_poison for order in orders) == 6
    assert sum(order.is_killer for order in orders) == 1
    assert sum(order.card.startswith("4000") for order in orders if ids[order.id] == 1) <= 5


@pytest.mark.parametrize("count", [20, 40, 137])
def test_a_small_one_has_one_of_each_kind_at_least(count: int) -> None:
    lines = sample(3, count)
    orders, refused = sorted_out(lines)
    assert len(lines) == count
    assert refused
    assert len({order.id for order in orders}) < len(orders)
    assert {order.item for order in orders} >= {"moon lamp", "gift card", "extension cord"}


def test_one_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="expected lines to be 20 or more, got 8"):
        sample(3, 8)


def test_another_seed_gives_another_one() -> None:
    assert sample(1) != sample(2)
