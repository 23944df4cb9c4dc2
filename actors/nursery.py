"""What the children of one actor have in common, worked out once for all of them."""

from typing import Any

from .parent import Parent

CHILDLESS: dict[str, Any] = {}
"""The children of those that have none; never written to."""


class Nursery:
    """What all children of an actor have of it.

    `prefix`: of their paths. `around`: where they look for their siblings. `judged`: whether it decides what becomes of
    one that ends. `patterns`: for the accelerator, by the number that CPython gives to a class as it is, an actor that
    never lives, and that the next children of that class are made like; see `Birth.pattern`.
    """

    __slots__ = ("around", "judged", "patterns", "prefix")

    def __init__(self, prefix: str, around: str, judged: bool) -> None:
        self.prefix, self.around, self.judged = prefix, around, judged
        self.patterns: dict[int, Any] = {}


ROOTLESS = Nursery("/", "/", judged=False)
"""Where the root stands, whose name is empty."""


def nursery_of(actor: type[Any], path: str, around: str) -> Nursery:
    """What the children of such an actor have of it, which is at `path` and looks for its own siblings `around`.

    >>> bank = nursery_of(Parent, "/bank", "/")
    >>> bank.prefix, bank.around, bank.judged
    ('/bank/', '/bank', True)
    """
    beside = getattr(actor, "children_stand_beside", False)
    return Nursery(path if path == "/" else f"{path}/", around if beside else path, issubclass(actor, Parent))
