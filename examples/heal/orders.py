"""The actors: parsers that a strange line may crash, and totals that no line can.

What may crash holds nothing, and what holds something does nothing that may crash: so a restart costs the line in hand
and nothing else.
"""

from collections import Counter
from datetime import datetime
from decimal import Decimal, InvalidOperation

import msgspec
from lines import Line

from upright.actors import Actor, Refuse

PRICES = {
    "coffee": Decimal("14.50"),
    "cocoa": Decimal("6.20"),
    "honey": Decimal("8.75"),
    "mug": Decimal("12.00"),
    "tea": Decimal("9.90"),
}
SHAPE = "time order product quantity total currency"


class Order(msgspec.Struct, frozen=True):
    """One order that was understood. `total` is in euros."""

    hour: int
    product: str
    quantity: int
    total: Decimal


class Sums(msgspec.Struct, frozen=True):
    """What the orders come to: how many, pieces and euros by product, orders by hour of the day."""

    orders: int
    pieces: dict[str, int]
    euros: dict[str, Decimal]
    hours: dict[int, int]


class Totals(Actor):
    """Adds up orders. It only ever sees values that were checked."""

    def __init__(self) -> None:
        self.orders = 0
        self.pieces: Counter[str] = Counter()
        self.euros: dict[str, Decimal] = {}
        self.hours: Counter[int] = Counter()

    async def add(self, order: Order) -> None:
        self.orders += 1
        self.pieces[order.product] += order.quantity
        self.euros[order.product] = self.euros.get(order.product, Decimal()) + order.total
        self.hours[order.hour] += 1

    async def sums(self) -> Sums:
        return Sums(self.orders, dict(self.pieces), dict(self.euros), dict(self.hours))


class Parser(Actor):
    """Reads one line at a time. It refuses what its author thought of; what he did not think of crashes it.

    Not thought of: a quantity of 0, a 30th of February, a total that is not a number but may be compared to one
    (`NaN`), a digit that `isdigit` takes and `int` does not (`²`), a product without a price.
    """

    async def started(self) -> None:
        self.totals = self.ctx.ref("totals", Totals)

    async def parse(self, line: Line) -> None:
        """Take one line to the totals, or refuse it."""
        await self.totals.tell(Totals.add, understood(line))

    async def ready(self) -> bool:
        """Whether it serves: the answer itself is what counts."""
        return True


def understood(line: Line) -> Order:
    """The order on that line. Raises `Refuse`, or whatever nobody thought of."""
    if line.cut:
        raise Refuse(f"expected at most {len(line.raw):,} bytes, got {line.cut + len(line.raw):,}")
    try:
        text = line.raw.decode()
    except UnicodeDecodeError as error:
        raise Refuse(f"expected UTF-8 text, got byte 0x{line.raw[error.start]:02x}") from error
    fields = text.split()
    if len(fields) != len(SHAPE.split()):
        raise Refuse(f"expected {len(SHAPE.split())} fields ({SHAPE}), got {len(fields)}")
    time, _order, product, count, amount, currency = fields
    if currency != "EUR":
        raise Refuse(f"expected EUR, got {shown(currency)}")
    if not count.isdigit():
        raise Refuse(f"expected quantity to be a whole number, got {shown(count)}")
    try:
        total = Decimal(amount)
    except InvalidOperation as error:
        raise Refuse(f"expected total to be a number, got {shown(amount)}") from error
    quantity, hour = int(count), datetime.fromisoformat(time).hour
    if total <= 0:
        raise Refuse(f"expected total to be more than 0, got {shown(amount)}")
    if total / quantity != PRICES[product]:
        raise Refuse(f"expected {shown(count)} × {PRICES[product]}, got a total of {shown(amount)}")
    return Order(hour, product, quantity, total)


def shown(text: str) -> str:
    """Somebody else's text, safe for a terminal and short."""
    return ascii(text if len(text) <= 20 else f"{text[:20]}…").replace("\\u2026", "…")
