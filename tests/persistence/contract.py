"""What the contract of the stores is tested with: a bench on which sessions of one store are opened, killed and closed.

To put another engine to the test, write a rig for it and add it to `RIGS`. Its own test file then holds only what is
special to it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol, get_args

from upright.actors.durable import Receipt
from upright.persistence.clock import Clock
from upright.persistence.memory_desk import MemoryDesk
from upright.persistence.memory_engine import MemoryEngine
from upright.persistence.memory_tables import MemoryTables
from upright.persistence.port import Desk, Engine
from upright.persistence.records import (
    Batch,
    Delivery,
    Failure,
    Order,
    Outcome,
    Outgoing,
    StateWrite,
    Step,
    Verdict,
    Want,
    Written,
)
from upright.persistence.reports import Counts, Filter, Letter
from upright.persistence.sqlite_desk import SqliteDesk
from upright.persistence.sqlite_engine import SqliteEngine

INBOX = "inbox"
BEGIN = 1_700_000_000.0
"""When the clock of every bench begins."""
OUTCOMES = [outcome for outcome in get_args(Outcome) if outcome != "save"]


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.time = BEGIN

    def __call__(self) -> float:
        return self.time

    def pass_by(self, seconds: float) -> None:
        self.time += seconds


class Opened(NamedTuple):
    """An engine that is not open yet, with its desk. `kill`: what happens when its process dies."""

    engine: Engine
    desk: Desk
    kill: Callable[[], None]


class Rig(Protocol):
    """One store of some kind."""

    def session(self, clock: Clock | None) -> Opened: ...


class MemoryRig:
    """A store in memory, which its sessions share."""

    def __init__(self, folder: Path) -> None:
        self.tables = MemoryTables(keep=100_000)

    def session(self, clock: Clock | None) -> Opened:
        engine = MemoryEngine(self.tables, clock)
        return Opened(engine, MemoryDesk(engine), engine.abandon)


class SqliteRig:
    """A store in a real file, whose name holds what a URI would take for its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs 100%41 #1?.db"

    def session(self, clock: Clock | None) -> Opened:
        engine = SqliteEngine(self.path, "normal", clock)

        def kill() -> None:
            assert engine._session is not None
            engine._session.abandon()  # the lock is all that the others see of a process

        return Opened(engine, SqliteDesk(self.path, engine), kill)


RIGS: dict[str, Callable[[Path], Rig]] = {"memory": MemoryRig, "sqlite": SqliteRig}


class Session:
    """One session, with short words for what the tests do."""

    def __init__(self, opened: Opened, clock: SetClock) -> None:
        self.engine, self.desk, self.kill = opened
        self.clock = clock
        self._stirred: set[str | None] = set()
        self._news = asyncio.Event()

    async def open(self) -> "Session":
        await self.engine.open(self._stir)
        return self

    def _stir(self, address: str | None) -> None:
        self._stirred.add(address)
        self._news.set()

    async def hears(self, address: str) -> bool:
        """Wait until it is told that there may be something for this address; then forget what it was told."""
        async with asyncio.timeout(20):
            while not self._stirred & {address, None}:
                self._news.clear()
                await self._news.wait()
        self._stirred.clear()
        return True

    async def close(self) -> None:
        await self.engine.close()

    async def write(
        self, steps: Sequence[Step] = (), puts: Sequence[Outgoing] = (), wants: Sequence[Want] = ()
    ) -> Written:
        return await self.engine.write(Batch(list(steps), list(puts), list(wants)))

    async def put(self, *bodies: str, **options: Any) -> list[int]:
        """Store messages with these bodies; their ids."""
        return [receipt.id for receipt in await self.receipts(*(message(body, **options) for body in bodies))]

    async def receipts(self, *messages: Outgoing) -> list[Receipt]:
        return (await self.write(puts=messages)).receipts

    async def claim(
        self, order: Order = "free", room: int = 100, address: str = INBOX, above: int | None = None
    ) -> list[Delivery]:
        return (await self.write(wants=[Want(address, order, room, above)])).deliveries

    async def one(self, order: Order = "free", address: str = INBOX) -> Delivery:
        """Claim one message; there has to be one."""
        (delivery,) = await self.claim(order, 1, address)
        return delivery

    async def settle(self, *steps: Step) -> list[Verdict]:
        return (await self.write(steps)).verdicts

    async def next_due(self, order: Order = "free", address: str = INBOX) -> float | None:
        """What a claim that leaves room is told; what it got is given back."""
        written = await self.write(wants=[Want(address, order, 100)])
        await self.settle(*(step(delivery, "release") for delivery in written.deliveries))
        return written.next_due.get(address)

    async def depth(self, address: str = INBOX) -> int:
        """How many unfinished messages the mailbox has; asking claims none."""
        return (await self.write(wants=[Want(address, "free", 0)])).depths[address]

    async def set_aside(self, *bodies: str, error: str = "", reason: str = "attempts", **options: Any) -> list[int]:
        """Put these into quarantine."""
        ids = await self.put(*bodies, **options)
        claimed = await self.claim(address=options.get("address", INBOX))
        steps = [step(one, "quarantine", reason=reason, failure=failure(one, error)) for one in claimed]
        assert await self.settle(*steps) == ["ok"] * len(ids)
        return ids

    async def letters(self, **only: Any) -> list[Letter]:
        return [letter async for letter in self.desk.letters(Filter(**only))]

    async def counts(self, address: str = INBOX) -> Counts:
        return (await self.desk.counts()).get(address, Counts())

    async def told(self, id: int) -> list[str]:
        """The words of a message's story."""
        return [event.name for event in await self.desk.story(id)]


class Bench:
    """One store and its sessions, all by one clock."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.clock = rig, SetClock()
        self._sessions = AsyncExitStack()

    async def session(self) -> Session:
        """One more session, open."""
        session = Session(self.rig.session(self.clock), self.clock)
        self._sessions.push_async_callback(session.close)
        return await session.open()

    async def close(self) -> None:
        await self._sessions.aclose()


def message(body: str = "", address: str = INBOX, **options: Any) -> Outgoing:
    """A message to the inbox, unless another `address` is named."""
    return Outgoing(address, "handle", body.encode(), **options)


def step(delivery: Delivery, outcome: Outcome = "ack", **options: Any) -> Step:
    """What becomes of a delivery whose handler has run; of one that is released, none has."""
    used = delivery.attempt - (outcome == "release")
    fields: dict[str, Any] = {"attempt": used, **options}
    return Step(delivery, outcome, **fields)


def failure(delivery: Delivery, error: str = "broken", at: float = BEGIN) -> Failure:
    return Failure(delivery.attempt, at, at, error)


def state(expected: int, body: str, address: str = INBOX) -> StateWrite:
    return StateWrite(address, expected, body.encode())


def bodies(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.body.decode() for delivery in deliveries]
