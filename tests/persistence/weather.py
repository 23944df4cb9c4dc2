"""What the tests of bad weather share: a service on one file, a watch over what it says, and a disk of our own.

A worker with a durable mailbox handles numbers; a nurse in memory tells that the event loop answers. The tree gives up
at the first crash that its supervisor hears of, so that a service which is well at the end has stayed up all the time.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.persistence.syncers import GATED, Gate
from upright.actors import Actor, ActorSystem, Ref
from upright.persistence import Durable, OutcomeUnknown, Retry, Sqlite, StoreError, StoreFailing, StoreUnavailable
from upright.persistence import sqlite_engine as engine
from upright.persistence.syncer import Syncer
from upright.supervision import child, supervisor

PATIENCE = 30.0
"""Seconds after which what has not happened is taken for something that never will."""
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


class Hands:
    """What the worker did, in order, through all systems; and a gate at which it waits with a number in hand."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.begun: list[int] = []
        self.open = asyncio.Event()
        self.open.set()

    async def until(self, number: int) -> None:
        """Wait until it was handled."""
        while number not in self.handled:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.1)


class Worker(Actor):
    mailbox = Durable("worker", retry=Retry(base=0.01))

    def __init__(self, hands: Hands) -> None:
        self.hands = hands

    async def work(self, number: int) -> int:
        self.hands.begun.append(number)
        await self.hands.open.wait()
        self.hands.handled.append(number)
        return number

    async def stumble(self, number: int) -> None:
        """Fail once."""
        if self.ctx.delivery.attempt == 1:
            raise ValueError("on purpose")
        self.hands.handled.append(number)


class Nurse(Actor):
    async def check(self) -> str:
        return "well"


class Service:
    """A system on that file. `only`: see `ActorSystem`. `lease`: of its claims, which no test may have to wait for."""

    def __init__(
        self, path: Path, hands: Hands | None = None, only: tuple[()] | None = None, lease: float = 600.0
    ) -> None:
        self.path, self.hands, self.store = path, hands or Hands(), Sqlite(path, lease=lease)
        self.errors: list[str] = []
        """What `store.failing` told."""
        self._told = asyncio.Event()
        tree = supervisor("top", child("worker", Worker, self.hands), child("nurse", Nurse), max_restarts=0)
        self.system = ActorSystem(tree, store=self.store, only=only, log=None)
        self.system.subscribe(self._hear, StoreFailing)

    def _hear(self, event: StoreFailing) -> None:
        self.errors.append(event.error)
        self._told.set()

    @property
    def worker(self) -> Ref[Worker]:
        return self.system.ref("/top/worker", Worker)

    async def tell(self, *numbers: int) -> None:
        for number in numbers:
            await self.worker.tell(Worker.work, number)

    async def refuses(self, number: int, *errors: type[StoreError]) -> StoreError:
        """Telling fails with one of these errors, which names the file; the event says the same."""
        with pytest.raises(errors) as raised:
            await self.tell(number)
        assert str(self.path) in str(raised.value)
        assert str(raised.value) in self.errors
        return raised.value

    async def told(self, times: int = 1) -> None:
        """Wait until the store has told so often from now on that it fails."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(times):
                self._told.clear()
                await self._told.wait()

    async def answers(self) -> None:
        """The loop turns, and actors in memory do as they always do."""
        assert await self.system.ref("/top/nurse", Nurse).ask(Nurse.check) == "well"

    async def accepts_again(self, number: int) -> None:
        """It takes that number, by itself, sooner or later; each time that it does not, it says why."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.tell(number)
                except (StoreUnavailable, OutcomeUnknown):
                    await self.answers()
                    await self._turn()
                else:
                    return

    async def _turn(self) -> None:
        """Until something has changed: an attempt of the store, which tells if it fails."""
        self._told.clear()
        try:
            await asyncio.wait_for(self._told.wait(), 0.2)
        except TimeoutError:
            pass  # it opened again, or is about to

    async def rests(self) -> None:
        await asyncio.wait_for(self.system.idle(), PATIENCE)
        await self.answers()


@asynccontextmanager
async def service(path: Path, hands: Hands | None = None) -> AsyncGenerator[Service]:
    made = Service(path, hands)
    async with made.system:
        yield made


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Another process is in the middle of a write; what is given has it go on and end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"

    async def go_on() -> None:
        await process.communicate(b"\n")

    try:
        yield go_on
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


class OpenSyncer(Syncer):
    """Lets the first sync be, which is that of the opening, so that there is none but those of the test."""

    opens = True

    def sync(self) -> "asyncio.Future[None]":
        if not self.opens:
            return super().sync()
        self.opens = False
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Stands before every flush of every store of the test."""
    folder = tmp_path / "gate"
    folder.mkdir()
    gate = Gate(folder)

    async def start(path: str) -> Syncer:
        syncer = OpenSyncer(path, program=(GATED[0], GATED[1], str(folder)))
        await syncer.start()
        return syncer

    monkeypatch.setattr(engine, "start_syncer", start)
    yield gate
    gate.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of our own, where this may be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.call(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]):
        assert not os.environ.get("UPRIGHT_REQUIRE_SERVICES"), "expected the right to mount a file system"
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.check_call(["umount", "--lazy", str(folder)])


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    """What the file says; nobody else has it open."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


async def refused(path: Path, error: type[StoreError], *words: str) -> None:
    with pytest.raises(error) as raised:
        async with service(path):
            pass
    for word in (str(path), *words):
        assert word in str(raised.value)
