"""From a method that a sender names, to the function that will run.

A message is a handler and its arguments: `ref.ask(Ledger.append, entry)`. The handler is looked up by *name* on the
class of the actor that gets it, so that a subclass may override it and a base class may serve as an interface. The
table remembers the answer per function object, because that look-up is on the path of every message.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from .errors import UnknownHandler

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

HOOKS = frozenset({"started", "stopping", "undelivered"})
"""Methods that the runtime calls; nobody may send them as messages."""


class Handler(msgspec.Struct, frozen=True, eq=False):
    """What to run for a message: `name`, the `function`, and how many may overlap (`limit`; 0 means one at a time).

    `routed`: it is a handler of the class that the recipient stands in for; the mailbox hands the message on.
    `portable`: see `handover`.
    """

    name: str
    function: Callable[..., Awaitable[Any]]
    limit: int = 0
    routed: bool = False
    portable: bool = False


class HandlerTable:
    """The handlers of one class, found by function object; what is not `known` yet is looked up by name once.

    Senders look into `known` themselves first: a plain dict is what the interpreter is fastest with.
    """

    __slots__ = ("known", "owner")

    def __init__(self, owner: type) -> None:
        self.owner = owner
        self.known: dict[Any, Handler] = {}

    def __getitem__(self, function: Any) -> Handler:
        try:
            found = self.known.get(function)
        except TypeError:  # not hashable, so no function either: the error below says it better
            found = None
        if found is None:
            found = self.known[function] = self._resolve(function)
        return found

    def _resolve(self, function: Any) -> Handler:
        owner = self.owner.__name__
        # A bound method would be a new key at every use, and would carry somebody else's instance along.
        if not inspect.isfunction(function):
            raise UnknownHandler(f"expected a method of a class, such as {owner}.method, got {describe(function)}")
        name = function.__name__
        if name in HOOKS:
            raise UnknownHandler(f"expected a handler of {owner}, got {name}, which only the runtime calls")
        target = inspect.getattr_static(self.owner, name, None)
        if target is None:
            raise UnknownHandler(f"expected a handler of {owner}, got {function.__qualname__}: {owner} has no {name}")
        if not inspect.iscoroutinefunction(target):
            raise UnknownHandler(f"expected {owner}.{name} to be an async method, got {describe(target)}")
        limit, portable = getattr(target, "__concurrent__", 0), getattr(target, "__portable__", None) is target
        return Handler(name, target, limit, portable=portable)


class JoinedTable(HandlerTable):
    """The handlers of an actor and of the class that it `serves`; its own are those that its class defines."""

    __slots__ = ("_served",)

    def __init__(self, owner: type, serves: type) -> None:
        super().__init__(owner)
        self._served = HandlerTable(serves)

    def _resolve(self, function: Any) -> Handler:
        name = getattr(function, "__name__", None)
        if any(vars(base).get(name) is function for base in self.owner.__mro__ if name is not None):
            return super()._resolve(function)
        try:
            return msgspec.structs.replace(self._served[function], routed=True)
        except UnknownHandler as error:
            raise UnknownHandler(
                f"{error}; and {self.owner.__name__}, which stands in for it, has none either"
            ) from None


def concurrent(limit: int) -> Callable[[F], F]:
    """Let up to `limit` calls of a read-only handler overlap.

    Concurrent handlers overlap only with each other: an ordinary handler waits until those before it have finished, and
    those behind it wait for it, so that it still has the actor to itself. Messages begin in the order of the mailbox.

    >>> class Catalogue:
    ...     @concurrent(8)
    ...     async def price(self, sku: str) -> int: ...

    Raises `ValueError` for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"expected limit to be 1 or more, got {limit}")

    def mark(function: F) -> F:
        function.__concurrent__ = limit  # type: ignore[attr-defined]  # a mark on a function, read in HandlerTable
        return function

    return mark


def describe(value: Any) -> str:
    """A short name for an argument of the wrong kind, without its contents.

    >>> describe(len), describe("x")
    ("builtin_function_or_method 'len'", 'str')
    """
    name = getattr(value, "__qualname__", None)
    return f"{type(value).__name__} {name!r}" if name else type(value).__name__
