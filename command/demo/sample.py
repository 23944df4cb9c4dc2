"""A thousand lines as a shop might get them in half a minute, the same ones for the same seed.

Most are good. Some are broken in all the ways that lines get broken, some come twice, some the business refuses, a few
fail at every attempt, and one ends the process that works on it.
"""

import json
import random
from collections.abc import Callable
from typing import Any

from .order import UNPLUG

LINES, LEAST = 1_000, 20
SEED = 7
GOOD, BROKEN, TWICE, POISON, KILLERS = 941, 30, 10, 6, 1
DECLINED, SOLD_OUT, FAR_AWAY = 5, 4, 3
NAMES = ("ada", "bob", "cleo", "dan", "eve", "finn", "gia", "hugo", "ida", "jon", "kim", "lea", "max", "nia", "oz")
ITEMS = {
    "tea": (890, 0.25), "coffee": (1_290, 0.5), "kettle": (4_900, 1.2), "teapot": (3_450, 0.9), "mug": (1_100, 0.4),
    "lamp": (7_900, 2.1), "chair": (12_900, 6.4), "table": (34_900, 24.0), "rug": (15_900, 8.5), "clock": (5_600, 0.7),
}  # fmt: skip
COUNTRIES = ("DE", "FR", "NL", "PL", "IT", "AT", "DK")
EARLY, LATE = 0.05, 0.6
"""In which part of the lines stand those that take long, as shares of all."""

Fields = dict[str, Any]


def sample(seed: int = SEED, lines: int = LINES) -> list[bytes]:
    """So many lines, without their ends. Fewer than a thousand have fewer of each kind, but one at least."""
    if lines < LEAST:
        raise ValueError(f"expected lines to be {LEAST} or more, got {lines}")
    rng = random.Random(seed)

    def part(count: int) -> int:
        return max(1, round(count * lines / LINES))

    broken, twice, poison = part(BROKEN), part(TWICE), part(POISON)
    declined, sold_out, far_away = part(DECLINED), part(SOLD_OUT), part(FAR_AWAY)
    good = lines - broken - twice - poison - declined - sold_out - far_away - KILLERS
    usual = (plain, good), (declining, declined), (selling_out, sold_out), (going_far, far_away)
    makers = [maker for maker, count in usual for _ in range(count)]
    rng.shuffle(makers)
    for maker in (*[weightless] * poison, *[killing] * KILLERS):
        makers.insert(int(len(makers) * rng.uniform(EARLY, LATE)), maker)
    whole = [encoded(maker(rng, fields(rng, number))) for number, maker in enumerate(makers, 1)]
    sound = list(whole)
    for nth in range(broken):
        victim = json.loads(rng.choice(sound))
        whole.insert(rng.randrange(len(whole)), DAMAGES[nth % len(DAMAGES)]({**victim, "id": f"broken-{nth + 1}"}))
    singles = [line for line in whole if b'"note"' not in line and is_plain(line)]
    for line in rng.sample(singles, twice):
        whole.insert(rng.randint(whole.index(line) + 1, len(whole)), line)
    return whole


def fields(rng: random.Random, number: int) -> Fields:
    """An ordinary order."""
    item, quantity = rng.choice(list(ITEMS)), rng.randint(1, 4)
    cents, kilograms = ITEMS[item]
    name = rng.choice(NAMES)
    return {
        "id": f"o-{number:04d}",
        "customer": f"{name}@example.org",
        "item": item,
        "quantity": quantity,
        "cents": cents * quantity,
        "kilograms": round(kilograms * quantity, 2),
        "card": f"4242-{rng.randint(0, 9999):04d}",
        "country": rng.choice(COUNTRIES),
    }


def plain(_: random.Random, order: Fields) -> Fields:
    """A good one."""
    return order


def declining(rng: random.Random, order: Fields) -> Fields:
    """The card is declined."""
    return order | {"card": f"4000-{rng.randint(0, 9999):04d}"}


def selling_out(_: random.Random, order: Fields) -> Fields:
    """Charged, and then there is none left: to be refunded."""
    return order | {"item": "moon lamp"}


def going_far(_: random.Random, order: Fields) -> Fields:
    """Charged and reserved, and nobody drives there: to be released and refunded."""
    return order | {"country": "AQ"}


def weightless(_: random.Random, order: Fields) -> Fields:
    """Its freight is divided by nothing, at every attempt."""
    return order | {"item": "gift card", "kilograms": 0}


def killing(_: random.Random, order: Fields) -> Fields:
    """It ends the process that ships it."""
    return order | {"item": "extension cord", "note": UNPLUG}


def encoded(order: Fields) -> bytes:
    """As a line."""
    return json.dumps(order, separators=(", ", ": ")).encode()


def is_plain(line: bytes) -> bool:
    """Whether it is an ordinary order, so that its second copy is a duplicate and nothing else."""
    return line.startswith(b'{"id": "o-') and b"moon lamp" not in line and b'"kilograms": 0,' not in line


def without(order: Fields, name: str) -> bytes:
    """As a line that lacks a field."""
    return encoded({key: value for key, value in order.items() if key != name})


DAMAGES: tuple[Callable[[Fields], bytes], ...] = (
    lambda order: encoded(order)[:-20],
    lambda order: encoded(order | {"cents": -500}),
    lambda order: without(order, "cents"),
    lambda order: encoded(order | {"cents": "twelve"}),
    lambda order: b"\xff\xfe" + encoded(order),
    lambda order: encoded(order)[:30] + b"\0" + encoded(order)[30:],
    lambda order: encoded(order | {"quantity": 0}),
    lambda order: encoded(order | {"coupon": "SPRING"}),
    lambda order: encoded(order | {"customer": "nobody"}),
    lambda order: encoded(order).replace(b'"quantity": ', b'"quantity": 9' + b"9" * 400),
    lambda order: b"[" * 40,
    lambda order: b"id;customer;item;quantity",
    lambda order: encoded(order | {"kilograms": "heavy"}),
    lambda order: encoded(order | {"id": "no spaces, please"}),
    lambda order: encoded(order).replace(b'"cents": ', b'"cents": 1e400, "was": '),
    lambda order: without(order, "id"),
)
"""Each makes a line that is refused, of an order that was not."""
