"""Which worker of a pool gets a message: decided here, over plain values."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from upright.actors.handlers import describe
from upright.actors.message import Message
from upright.actors.refs import Ref

from .checks import one_of
from .spec import ChildSpec

Spread = Literal["least_loaded", "round_robin", "broadcast"]
SPREADS: tuple[Spread, ...] = ("least_loaded", "round_robin", "broadcast")
T = TypeVar("T")


class ByKey(msgspec.Struct, frozen=True):
    """Messages with keys that encode equally go to the same worker, in their order; see `by_key`."""

    key: Callable[[Message], Any]


Routing = Spread | ByKey


def by_key(key: Callable[[Message], Any] | None = None) -> ByKey:
    """A routing by key: `pool("carts", Cart, size=8, routing=by_key(lambda message: message.args[0].customer))`.

    `key` gets the message, with its handler's name and its arguments, and returns a string, a number, bytes, or
    anything else that msgspec can encode. Without it the key is the first argument (of a child spec its id, of a ref
    the last part of its path). The worker of a key is the same in every process and after every restart.
    """
    if key is not None and not callable(key):
        raise TypeError(f"expected key to be a function of the message, got {key!r}")
    return ByKey(first_argument if key is None else key)


def check_routing(routing: Any) -> None:
    """Raise `ValueError` unless it is a routing."""
    if not isinstance(routing, ByKey):
        one_of("routing (or by_key(…))", routing, SPREADS)


def first_argument(message: Message) -> Any:
    """The key of a message for which nobody gave a function. Raises `ValueError` if it has no argument."""
    first = next(iter((*message.args, *message.kwargs.values())), None)
    if first is None:
        raise ValueError(f"expected {message.handler} to have a first argument to route by, got none: give by_key(…)")
    return plain_key(first)


def plain_key(value: Any) -> Any:
    """The key that a value stands for: a child spec's id, the last part of a ref's path, else itself."""
    if isinstance(value, ChildSpec):
        return value.id
    return value.path.rpartition("/")[2] if isinstance(value, Ref) else value


def slot(key: Any, slots: int) -> int:
    """The slot of a key, from 0 up to `slots`; when slots are added or taken away at the end, few keys move.

    Jump consistent hashing (Lamping and Veach 2014) over BLAKE2b of the encoded key: Python's own `hash` of a string
    differs from process to process. Raises `TypeError` for a key that cannot be encoded.

    >>> slot("a-17", 8) == slot("a-17", 8), slot(b"x", 1)
    (True, 0)
    """
    return jump(hashed(key), slots)


def nearest(key: Any, names: Sequence[str]) -> str:
    """The name that a key falls to; when one is taken away, only its keys move (rendezvous hashing, Thaler and
    Ravishankar 1998).

    >>> names = ["0", "1", "2"]
    >>> first = nearest("a-17", names)
    >>> [nearest("a-17", [name for name in names if name != gone]) == first for gone in names if gone != first]
    [True, True]
    """
    return max(names, key=lambda name: hashed((key, name)))


def hashed(key: Any) -> int:
    """A key as a number of 64 bits, the same in every process. Raises `TypeError` for one that cannot be encoded."""
    try:
        encoded = msgspec.msgpack.encode(key, order="deterministic")
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"expected a key that msgspec can encode, such as a string, got {describe(key)}") from error
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")


def jump(number: int, slots: int) -> int:
    """The paper's function, for a hash of 64 bits."""
    place, following = -1, 0
    while following < slots:
        place = following
        number = (number * 2862933555777941757 + 1) & 0xFFFFFFFFFFFFFFFF
        following = int((place + 1) * ((1 << 31) / ((number >> 33) + 1)))
    return place


def least_loaded(workers: Sequence[T], after: int, load: Callable[[T], float]) -> int:
    """The place of the worker with the least to do, the first such one after place `after`.

    An idle one ends the search, so that idle workers are taken in turn.

    >>> least_loaded([3, 1, 0, 1], 2, float), least_loaded([0, 0, 0], 0, float), least_loaded([1, 1, 2], 0, float)
    (2, 1, 1)
    """
    count = len(workers)
    best, least = -1, float("inf")
    for step in range(1, count + 1):
        place = (after + step) % count
        found = load(workers[place])
        if found < least or best < 0:
            best, least = place, found
            if not found:
                break
    return best
