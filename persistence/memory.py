"""A store in memory: for tests, and for services that may lose what they hold when they end."""

from upright.supervision.checks import whole

from .clock import Clock
from .memory_desk import MemoryDesk
from .memory_engine import MemoryEngine
from .memory_tables import MemoryTables
from .store import Store


class Memory(Store):
    """A store without a disk: `ActorSystem(tree, store=Memory())`.

    It does all that the others do, survives the actors and the system that use it, and can be opened again; but it
    dies with the process. In a test whose hour passes at once, the delays of its messages pass with it.

    `clock`: the time in seconds since the epoch; without one, the wall clock, or that of a loop with virtual time.
    `keep`: so many finished messages keep their story, reply and idempotency key; the oldest go first. Raises
    `ValueError` if that is less than 0.

    >>> Memory(keep=-1)
    Traceback (most recent call last):
    ...
    ValueError: expected keep to be 0 or more, got -1
    """

    def __init__(self, *, clock: Clock | None = None, keep: int = 10_000) -> None:
        whole("keep", keep, 0)
        self._tables = MemoryTables(keep)
        engine = MemoryEngine(self._tables, clock)
        super().__init__(engine, MemoryDesk(engine))

    async def addresses(self) -> list[str]:
        """See `Store.addresses`."""
        return sorted(self._tables.boxes)

    def __repr__(self) -> str:
        unfinished = sum(box.depth for box in self._tables.boxes.values())
        return f"<Memory {unfinished} unfinished>"
