"""The machines that the tests of runs follow, and the world outside, which keeps what they did there.

A step calls the *world* by its own name, and the world does the next deed that the test has planned for it: raises,
waits, or, with nothing planned, takes the effect down under the idempotency key, as a third party does that knows such
keys. The machines differ only in their states and transitions.
"""

import asyncio
import contextlib
import enum
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from tests.actors.lives import Oops, Systems, quiet
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Reject, Retry, Store, machine
from upright.persistence.run import Run
from upright.persistence.run_record import HistoryEvent
from upright.persistence.state_machine import StateMachine
from upright.persistence.steps import after, each, parallel, signal, step
from upright.supervision import ChildSpec, child, supervisor

LONG = 10_000.0
"""Seconds of virtual time after which a test that waits for ever fails."""
QUICK = Retry(max_attempts=3, base=1.0, cap=4.0, jitter="none")
"""Attempts at 0, 1 and 3 seconds."""
Deed = BaseException | Callable[["Deeds"], Awaitable[Any]]


class World:
    """What third parties saw of all systems of a test.

    `tried`: the names of all calls, in order. `effects`: by idempotency key, what was done under it. `times`: how often
    each key was used. `plans`: the deeds that come next, by the name of the step. `now`, `most`: how many calls run,
    and ran at most.
    """

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.seen: list[tuple[str, int, str]] = []
        self.effects: dict[str, str] = {}
        self.times: Counter[str] = Counter()
        self.plans: dict[str, list[Deed]] = {}
        self.now = self.most = 0
        self.began: dict[str, asyncio.Event] = {}

    def plan(self, name: str, *deeds: Deed) -> None:
        self.plans.setdefault(name, []).extend(deeds)

    async def call(self, me: "Deeds", name: str) -> None:
        self.tried.append(name)
        self.seen.append((name, me.ctx.attempt, me.ctx.idempotency_key))
        self.began.setdefault(name, asyncio.Event()).set()
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            planned = self.plans.get(name)
            deed = planned.pop(0) if planned else None
            if isinstance(deed, BaseException):
                raise deed
            if deed is not None:
                await deed(me)
        finally:
            self.now -= 1
        self.times[me.ctx.idempotency_key] += 1
        self.effects.setdefault(me.ctx.idempotency_key, name)

    async def until(self, name: str) -> None:
        """Wait until that step is called, or was."""
        await self.began.setdefault(name, asyncio.Event()).wait()

    @property
    def done(self) -> list[str]:
        """What was done, each once for a key."""
        return list(self.effects.values())

    def keys(self, name: str) -> list[str]:
        """The idempotency keys of all calls of that name, in order."""
        return [key for called, _, key in self.seen if called == name]

    def attempts(self, name: str) -> list[int]:
        return [attempt for called, attempt, _ in self.seen if called == name]


class Job(msgspec.Struct):
    """The data of a run. `words`: the steps whose end was committed. `way`: where guards lead."""

    words: list[str] = []
    way: str = ""
    items: list[int] = []


class Deeds(StateMachine[Job]):
    """What all of them can do."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def do(self, job: Job, name: str) -> None:
        """Change the data, call the world, and change it again: a step that fails has changed it halfway."""
        job.words.append(f"half {name}")
        await self.world.call(self, name)
        job.words[-1] = name

    async def unship(self, job: Job) -> None:
        await self.do(job, "unship")

    async def unpack(self, job: Job) -> None:
        await self.do(job, "unpack")

    async def refund(self, job: Job) -> None:
        await self.do(job, "refund")


class Line(enum.StrEnum):
    NEW = "new"
    PAID = "paid"
    PACKED = "packed"
    AWAY = "away"
    LATER = "later"
    OFF = "off"
    BROKEN = "broken"


class Order(Deeds):
    """pay, pack, send: each can be taken back but the last. A `Reject` of `pack` ends it, one of `send` leads to
    `later`, whence `retry` is called for by signal; `send` that has failed for good leads to `broken`.
    """

    State = Line
    initial = Line.NEW
    cancelled = Line.OFF

    @step(Line.NEW, to=Line.PAID, undo=Deeds.refund, retry=QUICK)
    async def pay(self, job: Job) -> None:
        await self.do(job, "pay")

    @step(Line.PAID, to=Line.PACKED, undo=Deeds.unpack, retry=QUICK, on_reject=Line.OFF, timeout=10.0)
    async def pack(self, job: Job) -> None:
        await self.do(job, "pack")

    @step(Line.PACKED, to=Line.AWAY, retry=QUICK, on_reject=Line.LATER, on_failure=Line.BROKEN)
    async def send(self, job: Job) -> None:
        await self.do(job, "send")

    @signal(Line.LATER, to=Line.PACKED, retry=QUICK)
    async def again(self, job: Job) -> None:
        await self.do(job, "again")

    @step(Line.BROKEN, to=Line.AWAY, retry=QUICK)
    async def bury(self, job: Job) -> None:
        await self.do(job, "bury")


class Desk(enum.StrEnum):
    OPEN = "open"
    ASKED = "asked"
    PAID = "paid"
    LATE = "late"
    OFF = "off"


class Invoice(Deeds):
    """ask, then wait: for the signal `paid`, or an hour, for `remind`; by guard it may be `free`."""

    State = Desk
    initial = Desk.OPEN
    cancelled = Desk.OFF

    @step(Desk.OPEN, to=Desk.PAID, when=lambda job: job.way == "free", retry=QUICK)
    async def free(self, job: Job) -> None:
        await self.do(job, "free")

    @step(Desk.OPEN, to=Desk.ASKED, undo=Deeds.refund, retry=QUICK)
    async def ask(self, job: Job) -> None:
        await self.do(job, "ask")

    @signal(Desk.ASKED, to=Desk.PAID, when=lambda job: job.way != "deaf", retry=QUICK, on_reject=Desk.ASKED)
    async def pay(self, job: Job, cents: int, by: str = "card") -> None:
        await self.do(job, f"pay {cents} {by}")

    @signal(Desk.ASKED, to=Desk.ASKED, retry=QUICK)
    async def nudge(self, job: Job) -> None:
        await self.do(job, "nudge")

    @after(3600.0, Desk.ASKED, to=Desk.LATE, retry=QUICK)
    async def remind(self, job: Job) -> None:
        await self.do(job, "remind")

    def total(self, job: Job, factor: int = 1) -> int:
        return len(job.words) * factor


class Fan(enum.StrEnum):
    START = "start"
    BOTH = "both"
    MANY = "many"
    END = "end"
    OFF = "off"


class Spread(Deeds):
    """Two branches, `left` and `right`, then `item` for each of the items, three at once."""

    State = Fan
    initial = Fan.START
    cancelled = Fan.OFF

    async def left(self, job: Job) -> str:
        await self.do(job, "left")
        return "l"

    async def right(self, job: Job) -> int:
        await self.do(job, "right")
        return 2

    async def item(self, job: Job, number: int) -> int:
        await self.do(job, f"item {number}")
        return number * number

    @step(Fan.START, to=Fan.BOTH, undo=Deeds.refund, retry=QUICK)
    async def pay(self, job: Job) -> None:
        await self.do(job, "pay")

    @parallel(Fan.BOTH, left, right, to=Fan.MANY, retry=QUICK, undo=Deeds.unpack, on_reject=Fan.OFF)
    async def both(self, job: Job, results: list[Any]) -> None:
        job.way = f"{results}"
        await self.do(job, "both")

    @each(Fan.MANY, item, over=lambda job: job.items, at_once=3, to=Fan.END, retry=QUICK)
    async def many(self, job: Job, results: list[int]) -> None:
        job.items = results
        await self.do(job, "many")


class Witness(Actor):
    """Notes what steps tell it."""

    mailbox = Durable("witness", order="free")

    def __init__(self, world: World) -> None:
        self.world = world

    async def hear(self, word: str) -> None:
        self.world.tried.append(f"heard {word}")


def of(kind: type[Deeds], world: World, name: str = "m", **options: Any) -> ChildSpec[Any]:
    """A child that runs that machine, with its steps in that world."""
    return machine(name, partial(kind, world), **options)


@contextlib.asynccontextmanager
async def running(
    system: Systems, world: World, *children: Any, store: Store | None, **options: Any
) -> AsyncGenerator[ActorSystem]:
    """A system with these children below `/top`, and a witness; a class stands for a child that runs its machine."""
    specs = [of(one, world) if isinstance(one, type) else one for one in children]
    tree = supervisor("top", *specs, child("witness", Witness, world), max_restarts=options.pop("max_restarts", 0))
    async with asyncio.timeout(LONG * 1000), quiet(system, tree=tree, store=store, **options) as made:
        yield made


async def ended(run: Run[Any]) -> Any:
    """Its data when it is over, which must come to be."""
    async with asyncio.timeout(LONG):
        return await run.result()


async def names(run: Run[Any]) -> list[str]:
    """Its history in words: the names of the events, with the steps that they are about."""
    return [f"{event.name} {event.step}".strip() for event in await run.history()]


async def lines(run: Run[Any], name: str) -> list[HistoryEvent]:
    """The lines of its history of that name."""
    return [event for event in await run.history() if event.name == name]


def hold(gate: asyncio.Event) -> Deed:
    """Wait until the test opens the gate."""

    async def wait(_: Any) -> None:
        await gate.wait()

    return wait


def sleep(seconds: float) -> Deed:
    async def nap(_: Any) -> None:
        await asyncio.sleep(seconds)

    return nap


def oops(times: int) -> list[Deed]:
    return [Oops(f"number {number}") for number in range(1, times + 1)]


def no(why: str = "no") -> Deed:
    return Reject(why)
