"""A service that is killed again and again, and a record of what it did that no kill can take away.

As a program it works: `python -m tests.persistence.crashes FOLDER RUN DEED MANNER`. A clerk with durable state
(strict) tells each number to senders (a free pool) and to filers (a keyed one). What happens is written beside the
store, a line a write, into one file that only grows: what `write` has taken is there after SIGKILL, and the lines of
all processes stand in the order in which things happened. `Campaign` starts such processes and kills them.
"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import msgspec

from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Retry, Sqlite
from upright.supervision import ChildSpec, Supervisor, child, pool, supervisor

ROOT = Path(__file__).parents[2]
SOON = Retry(base=0.01, cap=0.05)
KEYS = 5
POISON = 666
PATIENCE = 30.0
"""Seconds after which what has not happened is taken for something that never will."""


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened.

    `what`: `telling` and `accepted`, by whoever sent the number; `began`, and then `done` or `failed`, by its handler;
    `killed` by whoever did that. `run`: the number of the process. `address`, `id`, `attempt`, `crashes`: of the
    delivery.
    """

    what: str
    run: int
    number: int = -1
    address: str = ""
    id: int = 0
    attempt: int = 0
    crashes: int = 0


class Record:
    """The file of what happened, and who writes into it."""

    def __init__(self, path: Path, run: int, manner: str = "") -> None:
        self.path, self.run, self.manner, self.in_hand = path, run, manner, 0
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def may_stumble(self, actor: Actor[Any], now: bool) -> None:
        """Raise at the first attempt, if it is the manner of this run."""
        if now and self.manner == "stumbling" and actor.ctx.delivery.attempt == 1:
            raise ValueError("on purpose")

    def note(self, what: str, number: int = -1, *delivery: Any) -> None:
        os.write(self._fd, msgspec.json.encode(Line(what, self.run, number, *delivery)) + b"\n")

    @contextmanager
    def handling(self, actor: Actor[Any], number: int) -> Generator[None]:
        """Around all that a handler does."""
        hand, spec = actor.ctx.delivery, actor.mailbox
        assert isinstance(spec, Durable)

        def note(what: str) -> None:
            self.note(what, number, spec.address, hand.id, hand.attempt, hand.crashes)

        self.in_hand += 1
        note("began")
        try:
            yield
        except BaseException:
            note("failed")
            raise
        finally:
            self.in_hand -= 1
        note("done")


def read_lines(path: Path) -> list[Line]:
    """All that happened so far, but a line that somebody is writing just now."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [msgspec.json.decode(line, type=Line) for line in lines]


def key_of(number: int) -> str:
    return f"k{number // 3 % KEYS}"  # the same for neighbours, which are in the mailbox together


class Books(msgspec.Struct):
    count: int = 0
    total: int = 0


class Sender(Actor):
    mailbox = Durable("senders", order="free", retry=SOON)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def send(self, number: int) -> None:
        with self.record.handling(self, number):
            await asyncio.sleep(0.001 * (number % 4))
            self.record.may_stumble(self, number % 11 == 5)

    async def echo(self, number: int) -> int:
        return number

    async def swallow(self, number: int) -> None:
        """The poison kills the process as soon as others are in hand; they are what would be blamed beside it."""
        with self.record.handling(self, number):
            while number == POISON and not self.ctx.delivery.crashes and self.record.in_hand < 4:  # noqa: ASYNC110
                await asyncio.sleep(0)  # no event tells it
            await asyncio.sleep(0.02 if number == POISON else 0.2)
            if number == POISON:
                os.kill(os.getpid(), signal.SIGKILL)


class Filer(Actor):
    mailbox = Durable("filers", order="keyed", retry=SOON)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def file(self, number: int) -> None:
        with self.record.handling(self, number):
            await asyncio.sleep(0.001 * (number % 3))
            self.record.may_stumble(self, number % 13 == 7)

    async def enquire(self, number: int) -> None:
        """Kill the process at the first attempt, and ask somebody at the next."""
        with self.record.handling(self, number):
            if self.ctx.delivery.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            assert await self.ctx.ref("senders", Sender).ask(Sender.echo, number) == number


class Clerk(Actor[Books]):
    mailbox = Durable("clerk", order="strict", retry=SOON, max_depth=100)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def book(self, number: int) -> None:
        with self.record.handling(self, number):
            self.state.count += 1
            self.state.total += number
            await self.ctx.ref("senders", Sender).tell(Sender.send, number)
            if number % 3 == 0:
                await asyncio.sleep(0.001)
            self.record.may_stumble(self, number % 17 == 3)
            await self.ctx.ref("filers", Filer).keyed(key_of(number)).tell(Filer.file, number)


def tree(record: Record) -> ChildSpec[Supervisor]:
    return supervisor(
        "top",
        pool("senders", partial(Sender, record), size=4),
        pool("filers", partial(Filer, record), size=3),
        child("clerk", Clerk, record),
    )


async def work(folder: Path, run: int, deed: str, manner: str) -> None:
    """One run.

    `manner`: `stumbling`, and now and then a handler fails at its first attempt; `gated`, and it waits for a line of
    input before it opens the store.
    """
    if manner == "gated":
        sys.stdin.readline()
    before, record = read_lines(folder / "record"), Record(folder / "record", run, manner)
    only = () if deed == "send" else None
    async with ActorSystem(tree(record), store=Sqlite(folder / "jobs.db"), only=only, log=None) as system:
        record.note("up")
        await DEEDS[deed](system, record, before)
        if only is None:
            await system.idle()


async def produce(system: ActorSystem, record: Record, before: list[Line]) -> None:
    """Tell the clerk numbers until the process is killed, first those that were told and not accepted."""
    numbers = chain(open_ends(before), count(100_000 * record.run))
    await asyncio.gather(*(tell_clerk(system, record, numbers) for _ in range(4)))


async def finish(system: ActorSystem, record: Record, before: list[Line]) -> None:
    """Tell the clerk what was told and not accepted."""
    await tell_clerk(system, record, iter(open_ends(before)))


async def send(system: ActorSystem, record: Record, before: list[Line]) -> None:
    """Tell the clerk some numbers, in a process that runs no actors."""
    await tell_clerk(system, record, iter(range(100_000 * record.run, 100_000 * record.run + 100)))


async def serve(system: ActorSystem, record: Record, before: list[Line]) -> None:
    """Handle what comes until somebody closes our input, or writes into it."""
    await asyncio.to_thread(sys.stdin.readline)


async def share(system: ActorSystem, record: Record, before: list[Line]) -> None:
    """Tell the senders, who live in several processes."""
    senders = system.ref("/top/senders", Sender)
    for number in range(100_000 * record.run, 100_000 * record.run + 300):
        await senders.tell(Sender.send, number)
        record.note("accepted", number)
    await serve(system, record, before)


async def poison(system: ActorSystem, record: Record, before: list[Line]) -> None:
    """Tell, in the first run, what kills each of them, and what is in hand beside it."""
    if not before:
        senders = system.ref("/top/senders", Sender)
        for number in (POISON, 1, 2, 3):
            await senders.tell(Sender.swallow, number)
            record.note("accepted", number)


async def enquire(system: ActorSystem, record: Record, before: list[Line]) -> None:
    if not before:
        await system.ref("/top/filers", Filer).tell(Filer.enquire, 1)


DEEDS = {deed.__name__: deed for deed in (produce, finish, send, serve, share, poison, enquire)}


def open_ends(before: list[Line]) -> list[int]:
    """The odd numbers that were told and not accepted, as far as could be seen."""
    told = {line.number for line in before if line.what == "telling" and line.number % 2}
    return sorted(told - {line.number for line in before if line.what == "accepted"})


async def tell_clerk(system: ActorSystem, record: Record, numbers: Iterator[int]) -> None:
    """The odd ones bear a key, for they may be told again."""
    clerk = system.ref("/top/clerk", Clerk)
    for number in numbers:
        record.note("telling", number)
        await (clerk.once(f"n{number}") if number % 2 else clerk).tell(Clerk.book, number)
        record.note("accepted", number)


def look(path: Path, statement: str) -> list[Any]:
    """What the file says, without changing it: nobody else has to have it open."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


class Campaign:
    """A folder with a store and a record, and the runs that work on it one after the other."""

    def __init__(self, folder: Path, manner: str = "steady") -> None:
        self.folder, self.file, self.manner, self.runs = folder, folder / "jobs.db", manner, 0
        self.record = Record(folder / "record", 0)
        self.alive: list[subprocess.Popen[bytes]] = []
        self.over: dict[int, int] = {}
        """By the id of a message that was over: the number of lines in the record when that was seen."""

    def start(self, deed: str) -> "subprocess.Popen[bytes]":
        """A run that has begun: everything is imported."""
        self.runs += 1
        with open(self.folder / "log", "ab") as log:
            words = [str(self.folder), str(self.runs), deed, self.manner]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.persistence.crashes", *words],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.alive.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begins\n", self.log()
        return process

    def end(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait for its end; its return code. What hangs is killed, with its stacks in the log."""
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            raise AssertionError(f"it does not end:\n{self.log()}") from None
        finally:
            self.alive.remove(process)
            assert process.stdout is not None
            process.stdout.close()
            assert process.stdin is not None
            process.stdin.close()

    def run(self, deed: str) -> int:
        """A whole run; its return code."""
        return self.end(self.start(deed))

    def until(self, happened: Callable[[list[Line]], bool]) -> list[Line]:
        """Wait for what the record is to say; what it says then."""
        give_up = time.monotonic() + PATIENCE
        while not happened(lines := read_lines(self.record.path)):
            assert time.monotonic() < give_up, f"it does not happen:\n{self.log()}"
            time.sleep(0.01)
        return lines

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-5000:]

    def rage(self, rng: random.Random, kills: int, beside: int) -> None:
        """Kill so many runs, while they open the store or at work; `beside`: how many others go on meanwhile."""
        working = [self.start("produce") for _ in range(beside)]
        for _ in range(kills):
            working.append(self.start("produce"))
            time.sleep(rng.uniform(0, 0.1) if rng.random() < 0.3 else rng.uniform(0.05, 0.4))
            self.kill(working.pop(rng.randrange(len(working))))
            if rng.random() < 0.5:  # or the next run is the first that sees what is left
                self.see_what_is_over()
        for process in working:
            self.kill(process)
        self.see_what_is_over()

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        assert self.end(process) == -signal.SIGKILL, self.log()
        self.record.note("killed")

    def see_what_is_over(self) -> None:
        if self.file.exists() and look(self.file, "SELECT 1 FROM sqlite_schema WHERE name = 'message'"):
            over = look(self.file, "SELECT id FROM message WHERE state IN (2, 3, 4)")
            seen = len(read_lines(self.record.path))  # not before: somebody may be at work
            for (id,) in over:
                self.over.setdefault(id, seen)

    def finish(self) -> None:
        """Have all done that is left."""
        assert self.run("finish") == 0, self.log()


if __name__ == "__main__":
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
