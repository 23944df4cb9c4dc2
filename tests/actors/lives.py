"""The actor whose lives the tests about starting, stopping and restarting follow: it does what it is told.

A message to it is a *deed*, a function that gets the actor; a *plan* is the deed of a hook, or one for each
incarnation (the last one counts for all that follow). It writes what happens into a diary, which outlives it. Its four
classes differ only in the hooks that they have, for an actor without hooks takes shorter ways than one with them.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from upright.actors import Actor, ActorSystem, Bounded, DeadLetter, Down, Exit, Ref, concurrent

Deed = Callable[[Any], Awaitable[Any]]
Plan = Deed | Sequence[Deed]


class Oops(Exception):
    """What goes wrong in a test, on purpose."""


class Diary:
    """What the incarnations of one actor did, in order, and how often it was made."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.reasons: list[Exit] = []
        self.downs: list[Down] = []
        self.letters: list[DeadLetter] = []
        self.lives = 0

    def add(self, word: str) -> None:
        self.words.append(word)


class Doer(Actor):
    """Does each deed; has no hooks."""

    def __init__(self, diary: Diary | None = None, init: Callable[[Any], object] | None = None, **plans: Plan) -> None:
        self.diary = diary if diary is not None else Diary()
        self.diary.lives += 1
        self.life = self.diary.lives
        self.plans = plans
        self.memory: dict[str, Any] = {}
        if init is not None:
            init(self)

    def plan(self, hook: str) -> Deed:
        """The deed of a hook in this incarnation."""
        plan = self.plans.get(hook, rest)
        return plan if callable(plan) else plan[min(self.life, len(plan)) - 1]

    async def do(self, deed: Deed) -> Any:
        return await deed(self)

    async def note(self, word: str) -> str:
        """Write a word into the diary, with the number of this life."""
        self.diary.add(f"{word} {self.life}")
        return word

    async def down(self, down: Down) -> None:
        """Note a notice, then follow the plan for it."""
        self.diary.downs.append(down)
        self.diary.add(f"down {down.ref.path}")
        await self.plan("down")(self)

    async def result(self, result: object) -> None:
        """Take a piped result."""
        self.diary.add(f"result {result} {self.life}")

    async def failed(self, error: Exception) -> None:
        """Take a piped error."""
        self.diary.add(f"failed {error} {self.life}")

    @concurrent(3)
    async def overlap(self, word: str, deed: Deed) -> str:
        """A deed that may overlap with two others."""
        self.diary.add(f"{word} begins")
        try:
            await deed(self)
        finally:
            self.diary.add(f"{word} ends")
        return word


class Starter(Doer):
    """A doer with `started()`."""

    async def started(self) -> None:
        self.diary.add(f"starting {self.life}")
        await self.plan("started")(self)
        self.diary.add(f"started {self.life}")


class Closer(Starter):
    """A doer with `started()` and `stopping()`, so one in a task of its own."""

    async def stopping(self, reason: Exit) -> None:
        self.diary.reasons.append(reason)
        self.diary.add(f"stopping {self.life}")
        await self.plan("stopping")(self)
        self.diary.add(f"stopped {self.life}")


class Testator(Closer):
    """A closer that looks through its letters; the plan's result says which go on."""

    __test__ = False

    async def undelivered(self, letters: Sequence[DeadLetter]) -> Iterable[DeadLetter] | None:
        self.diary.letters.extend(letters)
        self.diary.add(f"undelivered {len(letters)}")
        kept: Iterable[DeadLetter] | None = await self.plan("undelivered")(self)
        return kept


class Narrow(Closer):
    """A closer with room for two messages."""

    mailbox = Bounded(2)


KINDS = (Doer, Starter, Closer, Testator)


async def rest(_: Any) -> None:
    """Do nothing."""


async def crash(_: Any) -> None:
    raise Oops("on purpose")


async def hang(_: Any) -> None:
    """Wait for ever; ends when it is cancelled."""
    await asyncio.get_running_loop().create_future()


async def cancel_uninvited(_: Any) -> None:
    """Raise what nobody asked for."""
    raise asyncio.CancelledError("uninvited")


async def stop(me: Doer) -> None:
    me.ctx.stop()


def wait_for(gate: asyncio.Event) -> Deed:
    """Wait until the test opens the gate."""

    async def wait(_: Any) -> None:
        await gate.wait()

    return wait


def sleep(seconds: float) -> Deed:
    async def nap(_: Any) -> None:
        await asyncio.sleep(seconds)

    return nap


def swallow(gate: asyncio.Event) -> Deed:
    """Go on through every cancellation, until the test opens the gate."""

    async def endure(_: Any) -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    return endure


Systems = Callable[..., ActorSystem]


def quiet(system: Systems, **options: Any) -> ActorSystem:
    """A system without a log and without a watchdog."""
    return system(log=None, blocked_after=None, **options)


@contextlib.asynccontextmanager
async def a_gate() -> AsyncGenerator[asyncio.Event, None]:
    """A gate that is open at the end, however the test ends: a zombie that stayed would hang the loop's shutdown."""
    gate = asyncio.Event()
    try:
        yield gate
    finally:
        gate.set()
        for _ in range(10):
            await asyncio.sleep(0)


def spawn_children(diary: Diary, kind: type[Doer], *names: str, **plans: Any) -> Deed:
    """Start children that note their ends under their names; the result is their refs."""

    async def deed(me: Doer) -> list[Ref[Doer]]:
        return [await me.ctx.spawn(name, kind, diary, **plans) for name in names]

    return deed


def note(diary: Diary, word: str) -> Deed:
    async def add(me: Doer) -> None:
        diary.add(f"{word} of {me.ctx.path}")

    return add


def tidy_up(seconds: float) -> Deed:
    """Wait for ever, and take a while to end when cancelled."""

    async def deed(me: Doer) -> None:
        try:
            await hang(me)
        finally:
            await asyncio.sleep(seconds)

    return deed


def no_trace(*but: asyncio.Task[Any]) -> bool:
    """Whether no task, timer or thread of a system is left."""
    loop: Any = asyncio.get_running_loop()
    tasks = [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith(("/", "upright")) and task not in but
    ]
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]
    threads = [thread.name for thread in threading.enumerate() if "upright" in thread.name]
    assert (tasks, timers, threads) == ([], [], [])
    return True
