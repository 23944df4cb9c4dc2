"""A service in a process of its own, for tests that look at its file meanwhile, or open it with newer tables.

As a program: `python -m tests.persistence.neighbour FILE DEED`. `serve`: it has one message done, one in hand, one that
waits and three in quarantine, says `ready`, and goes on until its input ends. `travel`: so does this one, with runs of
a machine, a schedule that was fired and one that was not, and a circuit that was opened by hand. `migrate`, `stumble`,
`die`: it opens the store with `NEXT` as one more migration, which succeeds, fails at its last line, or kills the
process before that.
"""

import asyncio
import contextlib
import enum
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import msgspec

from tests.persistence.crashes import PATIENCE, ROOT
from upright.actors import Actor, ActorSystem
from upright.persistence import (
    Durable,
    Retry,
    RunFailed,
    ScheduleFired,
    Sqlite,
    StateMachine,
    StoreError,
    every,
    machine,
    schedules,
    signal,
    sqlite_schema,
    step,
)
from upright.supervision import CircuitBreaker, child, supervisor

NEXT = """
CREATE TABLE colour(message INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO colour SELECT id, 'blue' FROM message;
UPDATE mailbox SET tail = tail + 0.5;
INSERT INTO meta VALUES ('migrated', 1);
"""
"""What a newer version may do; twice, it would fail."""
FAILS = "INSERT INTO meta VALUES ('migrated', 2);\n"


class Books(msgspec.Struct):
    total: int = 0


class Clerk(Actor[Books]):
    mailbox = Durable("clerk", retry=Retry(max_attempts=1))

    async def book(self, number: int) -> int:
        self.state.total += number
        return self.state.total

    async def fail(self, word: str) -> None:
        raise LookupError(f"no order {word!r}")


class Porter(Actor):
    mailbox = Durable("porters", order="free", window=1)

    async def carry(self, number: int) -> None:
        await asyncio.get_running_loop().create_future()


class Journey(msgspec.Struct):
    to: str
    seats: int = 0


class Trip(StateMachine[Journey]):
    """A trip to Rome is over at once, one to Oslo waits for a signal, and one to nowhere has failed."""

    class State(enum.Enum):
        NEW = "new"
        BOOKED = "booked"
        PAID = "paid"

    initial = State.NEW

    @step(State.NEW, to=State.BOOKED, retry=Retry(max_attempts=1))
    async def book(self, data: Journey) -> None:
        if not data.to:
            raise LookupError("no such place")
        data.seats = 2

    @step(State.BOOKED, to=State.PAID, when=lambda data: data.to == "Rome")
    async def pay(self, data: Journey) -> None: ...

    @signal(State.BOOKED, to=State.PAID)
    async def paid(self, data: Journey) -> None: ...

    def places(self, data: Journey) -> str:
        return f"{data.seats} to {data.to}"


async def travel(path: Path) -> None:
    hourly = every(3600.0, name="hourly").tell("/top/clerk", Clerk.book, 1)
    often = every(0.01, name="often").tell("/top/clerk", Clerk.book, 1)
    clock = schedules("clock", hourly, often)
    tree = supervisor("top", child("clerk", Clerk), machine("trips", Trip), clock)
    smtp = CircuitBreaker("smtp")
    async with ActorSystem(tree, store=Sqlite(path), log=None) as system:
        fired = asyncio.Event()
        system.subscribe(lambda _: fired.set(), ScheduleFired)
        smtp.on(system).force_open(who="ada", why="they move house")
        for id, to in (("a", "Rome"), ("b", "Oslo"), ("c", "")):
            await Trip.start(system, Journey(to), id=id)
        await Trip.run(system, "a").result()
        with contextlib.suppress(RunFailed):
            await Trip.run(system, "c").result()
        while await Trip.run(system, "b").status() != "waiting":  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.001)
        await fired.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await system.stop()


class Killing(str):
    """A script in whose middle the process is killed."""

    def split(self, sep: Any = None, maxsplit: Any = -1) -> Any:
        return self._lines()

    def _lines(self) -> Iterator[str]:
        yield from str.split(self, ";\n")[:-2]
        os.kill(os.getpid(), SIGKILL)


def newer(*scripts: str) -> None:
    """Let this process be of a version with these migrations too."""
    sqlite_schema.MIGRATIONS = (*sqlite_schema.MIGRATIONS, *scripts)  # type: ignore[assignment]  # one more
    sqlite_schema.VERSION += len(scripts)


async def serve(path: Path) -> None:
    tree = supervisor("top", child("clerk", Clerk), child("porter", Porter).options(shutdown=0.05))
    async with ActorSystem(tree, store=Sqlite(path), log=None) as system:
        clerk, porter = system.ref("/top/clerk", Clerk), system.ref("/top/porter", Porter)
        receipts = [await clerk.tell(Clerk.book, 5)]
        receipts += await clerk.tell_many(Clerk.fail, ["a", "b", "c"])
        assert await clerk.ask(Clerk.book, 0) == 5
        receipts += await porter.tell_many(Porter.carry, [1, 2])
        await asyncio.sleep(0.1)
        print("ready", *(receipt.id for receipt in receipts if receipt is not None), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await system.stop()


async def open_it(path: Path) -> None:
    """Open the store, by what it is told now, and say how that went."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        async with ActorSystem(supervisor("top", child("clerk", Clerk)), store=Sqlite(path), log=None) as system:
            print("total", await system.ref("/top/clerk", Clerk).ask(Clerk.book, 1), flush=True)
    except StoreError as error:
        print(error, flush=True)


SCRIPTS = {"migrate": NEXT, "stumble": NEXT + FAILS, "die": Killing(NEXT)}


class Neighbour:
    """Such a process, which is ready. `ids`: those of its messages."""

    def __init__(self, path: Path, deed: str) -> None:
        command = [sys.executable, "-m", "tests.persistence.neighbour", str(path), deed]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        word, *ids = self.process.stdout.readline().split()
        assert word == "ready"
        self.ids = [int(id) for id in ids]

    def go_on(self) -> str:
        """Let it go on to its end; what it says."""
        return self.process.communicate("\n", timeout=PATIENCE)[0]


@contextmanager
def neighbour(path: Path, deed: str = "serve") -> Generator[Neighbour]:
    """A neighbour that is ready; it is gone afterwards."""
    beside = Neighbour(path, deed)
    try:
        yield beside
    finally:
        beside.process.kill()
        beside.process.communicate()


if __name__ == "__main__":
    given, deed = Path(sys.argv[1]), sys.argv[2]
    if deed in SCRIPTS:
        newer(SCRIPTS[deed])
    asyncio.run({"serve": serve, "travel": travel}.get(deed, open_it)(given))
