"""What a ref needs of the actor that it names and of their system, as protocols:

the two do not know each other's rooms.
"""

import asyncio
from typing import Any, Protocol

from .deadlines import Deadlines
from .envelope import Envelope, Link
from .errors import WrongClass
from .exits import Exit
from .handlers import HandlerTable
from .mailbox import Mailbox


class Recipient(Protocol):
    """What a ref needs of the actor that it names."""

    @property
    def path(self) -> str: ...
    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def handlers(self) -> HandlerTable: ...
    @property
    def interfaces(self) -> tuple[type[Any], ...]: ...
    @property
    def gone(self) -> bool: ...
    @property
    def state(self) -> str: ...
    @property
    def link(self) -> Link | None: ...
    @property
    def passage(self) -> object | None: ...
    def running(self, handler: str) -> int: ...
    def wake(self) -> None: ...
    @property
    def ended(self) -> asyncio.Future[Exit]: ...


class Directory(Protocol):
    """What a ref needs of its system."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def deadlines(self) -> Deadlines: ...
    @property
    def running(self) -> bool: ...
    def find(self, path: str) -> Any: ...
    def absent(self, path: str, actor: type[Any]) -> Any: ...
    def undeliverable(self, path: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> None: ...


def check_class(found: Recipient, actor: type[Any]) -> None:
    """Raise `WrongClass` unless the actor found is of that class, or of one below it, or stands in for one."""
    if not any(issubclass(one, actor) for one in found.interfaces):
        names = " and ".join(one.__name__ for one in found.interfaces)
        raise WrongClass(f"expected a {actor.__name__} at {found.path}, found a {names}")


def handlers_of(actor: type[Any]) -> HandlerTable:
    """The table of handlers that a class was given when it was made."""
    table: HandlerTable | None = getattr(actor, "__handlers__", None)
    return HandlerTable(actor) if table is None else table
