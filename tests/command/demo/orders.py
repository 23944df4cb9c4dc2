"""Orders for the tests of the demo: a good one, and variations of it."""

import json
from typing import Any

from upright.command.demo.order import Order, read_order

GOOD: dict[str, Any] = {
    "id": "o-1", "customer": "ada@example.org", "item": "tea", "quantity": 2, "cents": 1780, "kilograms": 0.5,
    "card": "4242-0001",
}  # fmt: skip


def line(**changes: Any) -> bytes:
    """The good order with other values."""
    return json.dumps(GOOD | changes).encode()


def order(**changes: Any) -> Order:
    return read_order(line(**changes))
