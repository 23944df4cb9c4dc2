"""Any value as JSON: what has no such form is told in a few words, so that what is said of a failure does not fail.

It stands apart because whoever writes a log line or answers a question cannot choose what is in it: the name of a file
may hold half of a character, a value may hold itself, and its `__repr__` may raise.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from upright.persistence.judge import storable as escaped

DEEPEST = 32
"""Levels of a value in which is looked for what cannot be written."""
Otherwise = Callable[[Any], Any]
"""What stands for a value of a type that JSON does not know."""


def shown(value: object) -> str:
    """The `repr` of a value, also when that fails.

    >>> shown(ValueError("no"))
    "ValueError('no')"
    """
    try:
        return escaped(repr(value))
    except Exception as broken:
        return f"<{type(value).__name__}: its repr raised {type(broken).__name__}>"


def as_json(value: object, otherwise: Otherwise = shown) -> bytes:
    r"""The value as JSON: what cannot be written of it, and that alone, is replaced by a word. Raises what `otherwise`
    raises.

    >>> print(as_json({"name": "caf\udce9.txt", "at": 1.5}).decode())
    {"name":"caf\\udce9.txt","at":1.5}
    """
    return _written(value, otherwise, ())


def _written(value: object, otherwise: Otherwise, above: tuple[int, ...]) -> bytes:
    """`above`: the ids of what it is in."""
    try:
        return msgspec.json.encode(value, enc_hook=otherwise)
    except Exception as error:
        return msgspec.json.encode(_mended(value, otherwise, above, error))


def _mended(value: object, otherwise: Otherwise, above: tuple[int, ...], error: Exception) -> Any:
    """What stands for a value that cannot be written as it is."""
    if isinstance(value, str):
        return escaped(value)
    if len(above) > DEEPEST or id(value) in above or (isinstance(error, RecursionError) and above):
        return f"<{type(value).__name__}: it holds itself, or is too deep>"
    here = (*above, id(value))
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        held = cast(dict[object, object], value)
        return {
            escaped(key) if isinstance(key, str) else shown(key): msgspec.Raw(_written(one, otherwise, here))
            for key, one in held.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [msgspec.Raw(_written(one, otherwise, here)) for one in cast(Iterable[object], value)]
    if isinstance(error, RecursionError):
        return f"<{type(value).__name__}: it holds itself, or is too deep>"
    told = otherwise(value)  # a dataclass, say, with half a character in it
    return escaped(told) if isinstance(told, str) else f"<{type(value).__name__}>"
