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


def whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise `ValueError` unless the value is a whole number of at least `least`, and of `most` at most."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"expected {name} to be {least} or more, got {value!r}")
    if most is not None and value > most:
        raise ValueError(f"expected {name} to be {most} at most, got {value!r}")


def one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise `ValueError` unless the value is among the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"expected {name} to be one of {', '.join(choices)}, got {value!r}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a float can say: no bool, no NaN.

    >>> is_number(1.5), is_number("1.5"), is_number(math.nan), is_number(10**400)
    (True, False, False, False)
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def named(field: str, value: object) -> None:
    """Raise `ValueError` unless it is a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected {field} to be a string that is not empty, got {value!r}")


def dependency(name: object, key: object) -> None:
    """Raise `ValueError` unless that names a dependency, and perhaps one of its callers."""
    named("name", name)
    if not isinstance(key, str):
        raise ValueError(f"expected key to be a string, got {key!r}")


def line(longest_wait: object, field: str, most: object) -> None:
    """Raise `ValueError` unless calls can wait in line for so many seconds, and as many as that."""
    at_least("longest_wait", longest_wait, 0, " seconds")
    if most != float("inf"):
        whole(field, most, 0)


def positive(field: str, value: object, unit: str) -> None:
    """Raise `ValueError` unless it is a finite number above 0."""
    more_than(field, value, 0, unit)
    if value == float("inf"):
        raise ValueError(f"expected {field} to be a finite number of{unit}, got {value!r}")


def share(field: str, value: object, most: int, whose: str) -> None:
    """Raise `ValueError` unless one call can count for so many."""
    whole(field, value, 1)
    if isinstance(value, int) and value > most:
        raise ValueError(f"expected {field} to be {most} or less, the {whose}, got {value!r}")


def label(name: str, key: str) -> str:
    """How messages speak of it."""
    return f"{name}[{key}]" if key else name
