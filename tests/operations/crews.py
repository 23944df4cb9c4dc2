"""A service of several processes in a test: the parent in this process, its workers in processes of their own."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.operations.watching import BOUND
from upright.actors.events import Event
from upright.operations import WorkerReady
from upright.operations.crew import Crew
from upright.operations.workers import Workers
from upright.supervision import Backoff

APP = """
import asyncio, os, pathlib, signal, time
from upright.actors import Actor
from upright.persistence import Durable, Retry
from upright.supervision import child, supervisor

def say(*words):
    with open("said", "a") as out:
        out.write(" ".join(map(str, words)) + "\\n")

class Clerk(Actor):
    mailbox = Durable("clerk", order="free", retry=Retry(max_attempts=1))

    async def note(self, word: str) -> str:
        say("noted", word)
        return word

    async def environment(self) -> dict[str, str]:
        return dict(os.environ)

    async def number(self) -> int:
        return int(os.environ["UPRIGHT_WORKER"])

    async def fail(self) -> None:
        say("failing")
        raise LookupError("on purpose")

    async def hold(self, gate: str) -> None:
        say("holding", os.getpid())
        while not pathlib.Path(gate).exists():
            await asyncio.sleep(0.01)
        say("held")

    async def block(self) -> None:
        say("blocking", os.getpid())
        time.sleep(3600)

tree = supervisor("shop", child("clerk", Clerk))
"""
REAL = (
    sys.executable, "-m", "upright.command", "run", "app:tree", "--store", "jobs.db", "--admin", "{admin}",
    "--drain", "20", "--log-level", "error",
)  # fmt: skip
QUICK = Backoff(0.01, 0.02, jitter="none")


class Parent:
    """A parent and what it tells."""

    def __init__(self, workers: Workers, running: "asyncio.Task[int]") -> None:
        self.workers, self.crew, self.running = workers, workers.crew, running
        self.told: list[Event] = []
        self._news = asyncio.Event()
        workers.system.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()

    async def until(self, kind: type[Any], times: int = 1, **fields: Any) -> Any:
        """The so manyth event of that kind with these fields, from the beginning on."""
        async with asyncio.timeout(BOUND):
            while True:
                self._news.clear()
                found = [
                    event
                    for event in self.told
                    if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
                ]
                if len(found) >= times:
                    return found[times - 1]
                await self._news.wait()

    async def ready(self, *numbers: int) -> list[int]:
        """The pids of these workers, as soon as they are up."""
        return [(await self.until(WorkerReady, worker=number)).pid for number in numbers]

    async def end(self) -> int:
        """The status, when it has ended."""
        return await asyncio.wait_for(self.running, BOUND)


@asynccontextmanager
async def parenting(
    command: Sequence[str], size: int = 1, *, drain: float = 20.0, patience: float = 20.0, restarts: Backoff = QUICK,
    admin: str | None = None, store: str | None = None, **options: Any,
) -> AsyncGenerator[Parent]:  # fmt: skip
    """A parent that runs, and has ended afterwards."""
    workers = Workers(
        Crew(command, size, patience=patience, **options), drain=drain, admin=admin, restarts=restarts, store=store
    )  # fmt: skip
    running: asyncio.Task[int] = asyncio.ensure_future(workers.run())
    parent = Parent(workers, running)
    try:
        yield parent
    finally:
        if not running.done():
            workers.service.begin_drain("the test is over")
        await asyncio.wait({running}, timeout=BOUND)
        for process in parent.crew.processes.values():
            process.kill()


async def holds(true: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(BOUND):
        while not true():  # noqa: ASYNC110  # what it waits for may be anything
            await asyncio.sleep(0.01)


async def said(folder: Path, word: str, times: int = 1) -> list[str]:
    """The lines that a worker wrote with that word, as soon as there are so many."""
    path = folder / "said"
    async with asyncio.timeout(BOUND):
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            found = [line for line in lines if line.startswith(word)]
            if len(found) >= times:
                return found
            await asyncio.sleep(0.01)


def script(text: str) -> tuple[str, ...]:
    """The command of a Python program; `{number}` is the worker's."""
    return (sys.executable, "-c", text)


def is_gone(pid: int) -> bool:
    """Whether there is no such process any more, not even one that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
