"""What chaos does, as events; and the dice that say when, a set of them for each place.

It stands apart because every kind of chaos has the same: that of messages in this wing, that of stores in another.
"""

import logging
import os
import random
from typing import ClassVar, Protocol

from ..events import Event

KILLED_BY = "UPRIGHT_KILLED_BY"
"""The variable of the environment in which a process names its parent, by its number, that may have it killed."""


class Bus(Protocol):
    """Who hears of strikes: an `EventBus`, say."""

    def wants(self, kind: type[Event]) -> bool: ...
    def emit(self, event: Event) -> None: ...


class Asked(Protocol):
    """Who may have asked for chaos: an `ActorSystem`, or its guards."""

    @property
    def allows_chaos(self) -> bool: ...


class ChaosStruck(Event, frozen=True):
    """Chaos did something, in a test that asked for it. `what`: `crash`, `delay`, `fail` and so on. `where`: the
    handler, or the store. `number`: which strike it was of this chaos, from 1. `seed`: what makes it all happen again.
    """

    name: ClassVar[str] = "chaos.struck"
    level: ClassVar[int] = logging.WARNING
    what: str
    where: str
    number: int
    seed: int


class ChaosNotAllowed(RuntimeError):
    """That system did not ask for chaos: `ActorSystem(…, allows_chaos=True)`."""


class ChaosCrash(Exception):
    """What a handler raises that chaos has crash."""


class Strikes:
    """All that one chaos did to one system, in order.

    Each place has dice of its own. So what happens at one actor depends on what that actor gets and on the seed, and
    not on how busy the others are.
    """

    def __init__(self, seed: int, bus: Bus) -> None:
        self.seed = seed
        self.all: list[ChaosStruck] = []
        self._bus = bus
        self._dice: dict[str, random.Random] = {}

    def dice(self, place: str) -> random.Random:
        """The dice of that place."""
        found = self._dice.get(place)
        if found is None:
            found = self._dice[place] = random.Random(f"{self.seed} {place}")
        return found

    def tell(self, path: str, what: str, where: str) -> str:
        """Chaos strikes there; what an error is to say of it."""
        struck = ChaosStruck(path, what, where, len(self.all) + 1, self.seed)
        self.all.append(struck)
        if self._bus.wants(ChaosStruck):
            self._bus.emit(struck)
        return f"chaos: {what} at {where}, strike {struck.number} of seed {self.seed}"

    def count(self, what: str, path: str | None = None) -> int:
        """How often it did that, to one actor or to all."""
        return sum(one.what == what and path in (None, one.path) for one in self.all)

    def __repr__(self) -> str:
        return f"<Strikes {len(self.all)} of seed {self.seed}>"


def allowed(system: Asked) -> None:
    """Raise `ChaosNotAllowed` unless that system asked for it."""
    if not system.allows_chaos:
        raise ChaosNotAllowed("expected a system that allows chaos: make it with ActorSystem(…, allows_chaos=True)")


def mortal() -> None:
    """Raise `ChaosNotAllowed` unless this process is a child that asked to be killed."""
    if os.environ.get(KILLED_BY) != str(os.getppid()):
        raise ChaosNotAllowed(
            f"expected a child process that asked to be killed: let its parent put {KILLED_BY}={{its own number}} into"
            " the environment of it"
        )


def odds(name: str, value: object) -> None:
    """Raise `ValueError` unless the value is a probability."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"expected {name} to be a probability from 0 to 1, got {value!r}")


def span(name: str, value: object) -> None:
    """Raise `ValueError` unless the value is a number of seconds that pass."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError(f"expected {name} to be 0 or more seconds and finite, got {value!r}")


def whole_seed(value: object) -> None:
    """Raise `ValueError` unless the value can be told and typed again."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"expected seed to be a whole number, got {value!r}")
