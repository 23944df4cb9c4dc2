"""What the upper wings fulfil for this one, as protocols."""

from collections.abc import Iterable
from typing import Any, Protocol

from .bus import EventBus
from .message import DeadLetter
from .options import Blueprint
from .runtime import Runtime


class Startable(Protocol):
    """What a system can be given to start: a child spec, a supervisor's."""

    def blueprint(self) -> Blueprint:
        """How to make it."""
        ...

    def members(self, above: str = "") -> Iterable[tuple[str, type[Any], Any]]:
        """The paths, classes and mailboxes of all actors that it would start."""
        ...


class Store(Protocol):
    """Where durable mailboxes keep their messages; one system has it open at a time."""

    async def open(self, runtime: Runtime) -> None:
        """Get ready for the actors of that system, which start afterwards."""
        ...

    async def close(self) -> None:
        """All actors have ended: nothing comes any more."""
        ...


class TakesLetters(Protocol):
    """An actor that may stand in for the dead-letter actor: one with this handler."""

    async def letter(self, letter: DeadLetter, /) -> Any: ...


class Observer(Protocol):
    """What can be told of events: `EventLog`, say."""

    def subscribe(self, bus: EventBus) -> None: ...
