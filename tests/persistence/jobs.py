"""The actors whose messages the tests of durable mailboxes follow: each does the deeds that the test has written down.

A message to one names a *deed*, for what is stored must be bytes: the book, which outlives all systems of a test, has
the function, which gets the actor. The classes differ only in their mailboxes and in whether they have durable state.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec

from tests.actors.lives import Oops, Systems, quiet
from upright.actors import Actor, ActorSystem, Ref, concurrent
from upright.persistence import Durable, Letter, Retry, Store, StoreError
from upright.supervision import ChildSpec, child, supervisor

Deed = Callable[[Any], Awaitable[Any]]
Stores = Callable[[], Store]
QUICK = Retry(max_attempts=3, base=0.01, cap=0.02, jitter="none")
BOUND = 8.0
"""Seconds after which a test that hangs fails."""


class Book:
    """What the actors of a test do, and what they did, in order, through all systems."""

    def __init__(self) -> None:
        self.deeds: dict[str, Deed] = {"rest": rest, "fail": fail}
        self.words: list[str] = []
        self.begun: Counter[str] = Counter()
        self.made: list[Any] = []  # keeps them, so that each instance is another object
        self.at_start: Deed = rest

    def deed(self, function: Deed) -> str:
        """Write a deed down; the result is what a message calls it."""
        name: str = function.__name__
        self.deeds[name] = function
        return name

    def add(self, word: str) -> None:
        self.words.append(word)


class Tally(msgspec.Struct):
    """What a clerk remembers."""

    total: int = 0
    names: list[str] = []


class Deeds:
    """What all of them can do."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.memory: dict[str, Any] = {}
        book.made.append(self)

    async def started(self) -> None:
        self.book.begun["started"] += 1
        await self.book.at_start(self)

    async def do(self, deed: str) -> Any:
        self.book.begun[deed] += 1
        return await self.book.deeds[deed](self)

    async def note(self, word: str) -> str:
        """Write a word into the book."""
        self.book.add(word)
        return word

    @concurrent(3)
    async def overlap(self, deed: str) -> Any:
        """A deed that may overlap with two others."""
        self.book.begun[deed] += 1
        return await self.book.deeds[deed](self)


class Plain(Deeds, Actor):
    """Has its mailbox in memory."""


class Worker(Deeds, Actor):
    mailbox = Durable("work", retry=QUICK)


class Other(Deeds, Actor):
    mailbox = Durable("other", retry=QUICK)


class Clerk(Deeds, Actor[Tally]):
    mailbox = Durable("clerk", retry=QUICK)

    async def book_in(self, amount: int) -> int:
        self.state.total += amount
        return self.state.total


def kept(kind: Any, **options: Any) -> Any:
    """That class with other options of its mailbox."""
    namespace = {"mailbox": msgspec.structs.replace(kind.mailbox, **options)}
    return type(kind)(kind.__name__, (kind,), namespace)


def worker(book: Book, kind: Any = Worker, name: str = "a", **options: Any) -> ChildSpec[Any]:
    """A child of that class, its mailbox with these options."""
    return child(name, kept(kind, **options) if options else kind, book)


@contextlib.asynccontextmanager
async def running(
    system: Systems, *children: ChildSpec[Any], store: Store | None, **options: Any
) -> AsyncGenerator[ActorSystem]:
    """A system with these children below `/top`, which gives up at the first crash that a supervisor hears of."""
    chosen: dict[str, Any] = {"max_restarts": 0, **options}
    tree = supervisor("top", *children, **chosen)
    async with asyncio.timeout(BOUND), quiet(system, tree=tree, store=store) as made:
        yield made


def worker_ref(system: ActorSystem, name: str = "a") -> Ref[Worker]:
    return system.ref(f"/top/{name}", Worker)


def clerk_ref(system: ActorSystem, name: str = "a") -> Ref[Clerk]:
    return system.ref(f"/top/{name}", Clerk)


def other_ref(system: ActorSystem, name: str = "b") -> Ref[Other]:
    return system.ref(f"/top/{name}", Other)


def plain_ref(system: ActorSystem, name: str = "b") -> Ref[Plain]:
    return system.ref(f"/top/{name}", Plain)


async def rest(_: Any) -> None:
    """Do nothing."""


async def fail(_: Any) -> None:
    raise Oops("on purpose")


async def hang(_: Any) -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


def held(began: asyncio.Event, gate: asyncio.Event) -> Deed:
    """Tell that it has begun, and wait until the test opens the gate."""

    async def hold(_: Any) -> None:
        began.set()
        await gate.wait()

    return hold


def failing(times: int, deed: Deed = rest) -> Deed:
    """Fail so many times, then do the deed."""
    left = [times]

    async def sometimes(me: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise Oops("on purpose")
        return await deed(me)

    return sometimes


async def letters(store: Store) -> list[Letter]:
    """What is in quarantine."""
    return [letter async for letter in store.quarantine.letters()]


async def story(store: Store, id: int) -> list[str]:
    """The names of what happened to a message."""
    return [event.name for event in await store.story(id)]


async def turns(number: int = 50) -> None:
    """Let the loop go round, so that whatever does not wait for the world gets done."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(BOUND):
        while not true():  # noqa: ASYNC110  # what it waits for may be anything
            await asyncio.sleep(0.001)


class Weather:
    """Stands before the engine of a store: holds its writes up, fails them, or does something after them."""

    def __init__(self, store: Store) -> None:
        engine: Any = store._engine
        self._write = engine.write
        engine.write = self.write
        self.calm = asyncio.Event()
        self.calm.set()
        self.before: list[StoreError] = []
        """The next writes fail with these, and write nothing."""
        self.after: list[StoreError] = []
        """The next writes are done, and then fail with these."""
        self.writes = 0
        self.next: Callable[[Any], Awaitable[None]] | None = None
        """What is to happen between the end of a write with new messages and its answer, once."""

    async def write(self, batch: Any) -> Any:
        self.writes += 1
        await self.calm.wait()
        if self.before:
            raise self.before.pop(0)
        written = await self._write(batch)
        if self.next is not None and batch.puts:
            then, self.next = self.next, None
            await then(batch)
        if self.after:
            raise self.after.pop(0)
        return written
