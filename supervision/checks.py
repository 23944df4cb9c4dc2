"""Checks of configuration values, with the house's one formula of message: what was expected, and what was got."""

import math
from collections.abc import Iterable
from typing import TypeGuard


def at_least(name: str, value: object, least: float, unit: str = "") -> None:
    """Raise `ValueError` unless the value is a number of at least `least`."""
    if not is_number(value) or not value >= least:
        raise ValueError(f"expected {name} to be {least!r} or more{unit}, got {value!r}")


def more_than(name: str, value: object, bound: float, unit: str = "") -> None:
    """Raise `ValueError` unless the value is a number above `bound`."""
    if not is_number(value) or not value > bound:
        raise ValueError(f"expected {name} to be more than {bound!r}{unit}, got {value!r}")


def whole(name: str, value: object, least: int) -> None:
    """Raise `ValueError` unless the value is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"expected {name} to be {least} or more, got {value!r}")


def one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise `ValueError` unless the value is among the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"expected {name} to be one of {', '.join(choices)}, got {value!r}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that can be compared: no bool, no NaN.

    >>> is_number(1.5), is_number("1.5"), is_number(math.nan)
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
