"""A service of state machines that is killed in the midst of its runs, and the ledger of what they did outside.

As a program, `python -m tests.persistence.machine_crashes`, it takes orders, a line each, and does each in a fork of
its own, which it kills after a while, or which kills itself at a crash point. A trip is booked, packed item by item,
paid by another machine, confirmed by a signal or a time, and told to a clerk; some trips fail at first, some are
rejected late and are taken back, some are cancelled. Each effect is a line in the ledger, with its idempotency key.
"""

import asyncio
import enum
import faulthandler
import os
import signal as signals
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from tests.persistence.crashes import PATIENCE, ROOT
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Reject, Retry, RunFailed, Sqlite, StateMachine, crash_points, machine
from upright.persistence.crash_points import Point
from upright.persistence.steps import after, call, each, signal, step
from upright.supervision import ChildSpec, Supervisor, child, supervisor

SOON = Retry(max_attempts=100, base=0.01, cap=0.05)
AT_A_TIME = 6
"""Trips that one process begins."""


class Order(msgspec.Struct, frozen=True):
    """One process: the number of its run, and when it is to die. `after`: seconds; `point`: the `time`-th time there.

    `deed`: `travel` begins new trips; `finish` only ends those that were begun. The name of a step of `Deadly`: it is
    to be done, and kills. `mend` looks at that run, and redrives it without that.
    """

    folder: str
    run: int
    deed: str = "travel"
    after: float = 0.0
    point: int = 0
    time: int = 1


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A line of the ledger: an effect of a trip under its key, or, without a key, that a trip is begun."""

    trip: str
    name: str
    key: str = ""


class Ledger:
    """The file of effects. What `note` has taken is there after SIGKILL."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger"
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def note(self, *entry: str) -> None:
        os.write(self._fd, msgspec.json.encode(Entry(*entry)) + b"\n")

    def entries(self) -> list[Entry]:
        return [msgspec.json.decode(line, type=Entry) for line in self.path.read_bytes().splitlines()]


ledger: list[Ledger] = []
"""That of this process: steps are made without arguments here, as users may have them too."""


stumbled: set[str] = set()
"""Under which keys this process has failed once, on purpose."""


class Trip(msgspec.Struct):
    number: int
    items: list[int]
    words: list[str] = []


class Bill(msgspec.Struct):
    trip: str
    paid: bool = False


class Pay(enum.StrEnum):
    OPEN = "open"
    PAID = "paid"


class Payment(StateMachine[Bill]):
    State = Pay
    initial = Pay.OPEN

    @step(Pay.OPEN, to=Pay.PAID, retry=SOON)
    async def pay(self, bill: Bill) -> None:
        bill.paid = True
        await asyncio.sleep(0.002)
        ledger[0].note(bill.trip, "pay", self.ctx.idempotency_key)


class On(enum.StrEnum):
    NEW = "new"
    BOOKED = "booked"
    PACKED = "packed"
    PAID = "paid"
    SURE = "sure"
    AWAY = "away"
    HOME = "home"
    OFF = "off"


class Travel(StateMachine[Trip]):
    """See above. Trips whose number is 1 of 4 are rejected at the end, those with 2 of 4 are cancelled meanwhile."""

    State = On
    initial = On.NEW
    cancelled = On.OFF

    async def do(self, trip: Trip, name: str) -> None:
        trip.words.append(name)
        await asyncio.sleep(0.002)
        ledger[0].note(self.ctx.run, name, self.ctx.idempotency_key)
        await asyncio.sleep(0.001)
        key = self.ctx.idempotency_key
        # Few enough that the mailbox is not parked, and none at a first attempt, which a park would give back.
        if zlib.crc32(key.encode()) % 16 == 0 and key not in stumbled:
            stumbled.add(key)
            raise OSError("on purpose, after the effect")

    async def unbook(self, trip: Trip) -> None:
        await self.do(trip, "unbook")

    async def unpack(self, trip: Trip) -> None:
        await self.do(trip, "unpack")

    async def item(self, trip: Trip, number: int) -> int:
        await self.do(trip, f"item {number}")
        return number

    @step(On.NEW, to=On.BOOKED, undo=unbook, retry=SOON)
    async def book(self, trip: Trip) -> None:
        await self.ctx.ref("clerk", Clerk).tell(Clerk.file, self.ctx.run)
        await self.do(trip, "book")

    @each(On.BOOKED, item, over=lambda trip: trip.items, at_once=2, to=On.PACKED, undo=unpack, retry=SOON)
    async def pack(self, trip: Trip, results: list[int]) -> None:
        assert results == trip.items
        await self.do(trip, "pack")

    @call(On.PACKED, Payment, given=lambda trip: Bill(f"trip {trip.number}"), to=On.PAID, retry=SOON, on_reject=On.HOME)
    async def settle(self, trip: Trip, bill: Bill) -> None:
        assert bill.paid
        await self.do(trip, "settle")

    @signal(On.PAID, to=On.SURE, retry=SOON)
    async def confirm(self, trip: Trip) -> None:
        await self.do(trip, "confirm")

    @after(0.05, On.PAID, to=On.SURE, retry=SOON)
    async def assume(self, trip: Trip) -> None:
        await self.do(trip, "confirm")

    @step(On.SURE, to=On.AWAY, retry=SOON, on_reject=On.HOME)
    async def leave(self, trip: Trip) -> None:
        if trip.number % 4 == 1:
            raise Reject("the weather")
        await self.do(trip, "leave")


class Life(enum.StrEnum):
    BEGUN = "begun"
    MANY = "many"
    WAITING = "waiting"
    OVER = "over"
    OFF = "off"


class Deadly(StateMachine[str]):
    """Its data are the name of what kills, until that is mended."""

    State = Life
    initial = Life.BEGUN
    cancelled = Life.OFF

    def do(self, data: str, name: str) -> None:
        if data == name and not any(entry.name == "mended" for entry in ledger[0].entries()):
            os.kill(os.getpid(), signals.SIGKILL)

    async def undo(self, data: str) -> None:
        self.do(data, "undo")

    async def branch(self, data: str, number: int) -> None:
        self.do(data, "branch")

    @step(Life.BEGUN, to=Life.MANY, undo=undo)
    async def first(self, data: str) -> None:
        self.do(data, "first")

    @each(Life.MANY, branch, over=lambda data: [1], to=Life.WAITING)
    async def many(self, data: str, results: list[None]) -> None:
        self.do(data, "many")

    @signal(Life.WAITING, to=Life.OVER)
    async def sent(self, data: str) -> None:
        self.do(data, "sent")

    @after(0.001, Life.WAITING, to=Life.OVER, when=lambda data: data == "late")
    async def late(self, data: str) -> None:
        self.do(data, "late")


class Clerk(Actor):
    mailbox = Durable("clerk", order="free", retry=SOON)

    async def file(self, trip: str) -> None:
        ledger[0].note(trip, "file", self.ctx.delivery.idempotency_key)


def tree() -> ChildSpec[Supervisor]:
    return supervisor("top", machine("travel", Travel), machine("payment", Payment), machine("deadly", Deadly),
                      child("clerk", Clerk))  # fmt: skip


async def work(order: Order) -> None:
    """One run. What was begun, as far as could be seen, is begun again: that is the same trip."""
    folder = Path(order.folder)
    ledger[:] = [Ledger(folder)]
    begun = list(dict.fromkeys(entry.trip for entry in ledger[0].entries() if not entry.key))
    if order.deed == "travel":
        del begun[: -5 * AT_A_TIME]
    if order.point:
        crash_points.arm(Point(order.point), order.time)
    store = Sqlite(folder / "jobs.db")
    async with ActorSystem(tree(), store=store, log=None) as system:
        if order.deed not in ("travel", "finish"):
            await die(system, order.deed)
            return
        if order.deed == "travel":
            for number in range(AT_A_TIME * order.run, AT_A_TIME * (order.run + 1)):
                begun.append(str(number))
                ledger[0].note(str(number), "begun")
        await store.quarantine.redrive_all()  # what was in hand when three processes in a row were killed
        await asyncio.gather(*(travel(system, trip) for trip in begun))
        await system.idle()
        await store.quarantine.redrive_all()  # signals for runs that were not begun, for that reason
        await system.idle()


async def die(system: ActorSystem, deed: str) -> None:
    """Have that killed which the deed names; note how the run stands when nothing dies of it any more."""
    if deed == "mend":
        run = Deadly.run(system, "x")
        try:
            await run.result()
        except RunFailed as error:
            ledger[0].note(await run.status(), "mended", error.error)
        assert [one.id async for one in Deadly.runs(system, status="failed")] == ["x"]
        await Deadly.redrive(system)
        if not any(event.name == "signalled" for event in await run.history()):  # the first process was too soon dead
            await run.signal(Deadly.sent)
        ledger[0].note((await run.result(), await run.status())[1], "ended")
        return
    is_first = not any(entry.name == "begun" for entry in ledger[0].entries())
    ledger[0].note("x", "begun")
    run = await Deadly.start(system, deed, id="x")
    if deed == "undo":
        await run.cancel()
    elif deed in ("branch", "many") or (deed in ("first", "sent") and is_first):
        await run.signal(Deadly.sent)  # a second one would have `first` or `sent` done once more
    await run.result()


async def travel(system: ActorSystem, trip: str) -> None:
    number = int(trip)
    run = await Travel.start(system, Trip(number, list(range(number % 4))), id=trip)
    await asyncio.sleep(0.003 * (number % 7))
    if number % 4 == 2:
        await run.cancel()
    elif number % 2:
        await run.signal(Travel.confirm)
    await run.result()


def serve() -> None:
    """Do each order of our input in a fork, kill it in time, and say how it ended."""
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        pid = os.fork()
        if not pid:
            obey(order)
        if order.after:
            time.sleep(order.after)
            os.kill(pid, signals.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def obey(order: Order) -> NoReturn:
    """Do the order in this process. What hangs ends with its stacks in the log."""
    log = os.open(Path(order.folder) / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    faulthandler.dump_traceback_later(PATIENCE * (1 + order.run // 40), exit=True, file=2)
    code = 1
    try:
        asyncio.run(work(order))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def forking() -> Generator[Callable[[Order], int]]:
    """A process that does orders in forks of itself."""
    command = [sys.executable, "-m", "tests.persistence.machine_crashes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders: Any = process.stdin
        ends: Any = process.stdout

        def do(order: Order) -> int:
            orders.write(msgspec.json.encode(order) + b"\n")
            orders.flush()
            return int(ends.readline())

        yield do
        orders.close()  # and so it ends


if __name__ == "__main__":
    serve()
