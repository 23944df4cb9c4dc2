"""A shop with a durable mailer and a clock, for the tests of schedules: by a wall clock that may be set."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import QUICK, Stores
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Schedule, Store, every, schedules
from upright.persistence.memory_desk import MemoryDesk
from upright.persistence.memory_engine import MemoryEngine
from upright.supervision import child, supervisor

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


class Wall:
    """The wall clock of a test: it begins at noon, and may be set."""

    def __init__(self) -> None:
        self.shift = 0.0

    def __call__(self) -> float:
        return NOON + asyncio.get_running_loop().time() + self.shift


class Mailer(Actor):
    mailbox = Durable("mailer", order="free", retry=QUICK)

    def __init__(self, heard: "Heard") -> None:
        self.heard = heard

    async def poll(self, word: str = "poll", *, loud: bool = False) -> None:
        self.heard.add(word.upper() if loud else word)


class Heard:
    """What was told, and how many seconds after noon."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.told: list[tuple[str, int]] = []

    def add(self, word: str) -> None:
        self.told.append((word, round(self.wall() - NOON)))

    @property
    def times(self) -> list[int]:
        return [time for _, time in self.told]


def on(wall: Wall, store: Store) -> Store:
    """That store, on that clock."""
    engine: Any = store._engine
    engine._clock = engine.now = store.now = wall
    return store


@contextlib.asynccontextmanager
async def shop(
    system: Systems, store: Store, heard: Heard, *given: Schedule, **options: Any
) -> AsyncGenerator[ActorSystem]:
    """A system with a mailer and a clock with these schedules, on that wall clock."""
    children = (child("mailer", Mailer, heard), schedules("clock", *given))
    async with quiet(system, tree=supervisor("shop", *children), store=on(heard.wall, store), **options) as made:
        yield made


def poll(period: float = 60.0, **options: Any) -> Schedule:
    return every(period, name="poll", **options).tell("/shop/mailer", Mailer.poll)


def twin(store: Store, stores: Stores) -> Store:
    """Another store on the same file, or on the same tables."""
    engine = store._engine
    if not isinstance(engine, MemoryEngine):
        return stores()
    other = MemoryEngine(engine.tables)
    return Store(other, MemoryDesk(other))


def told(system: ActorSystem, kind: type[Any]) -> list[Any]:
    events: list[Any] = []
    system.subscribe(events.append, kind)
    return events
