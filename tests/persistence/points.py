"""Processes that kill themselves at a numbered crash point, in the middle of real work.

As a program, `python -m tests.persistence.points`, it takes orders, a line each, and does each in a fork of its own: so
all is imported once for hundreds of processes. `Killings` gives such orders; what happens is recorded as `crashes` does
it, by the same actors and some more.
"""

import asyncio
import faulthandler
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from tests.persistence import crashes
from tests.persistence.crashes import (
    PATIENCE,
    ROOT,
    SOON,
    Campaign,
    Filer,
    Line,
    Record,
    Sender,
    read_lines,
    tell_clerk,
)
from upright.actors import Actor, ActorSystem, Refuse
from upright.persistence import Durable, Sqlite, Store, crash_points, sqlite_engine, wal
from upright.persistence.crash_points import Point
from upright.persistence.session_file import read_running
from upright.persistence.sqlite_schema import connect
from upright.persistence.sqlite_session import SqliteSession
from upright.supervision import ChildSpec, Supervisor, child, pool, supervisor

WALKER = 900_000
"""What the walker is told, and the numbers after it."""


class Kill(msgspec.Struct, frozen=True):
    """Where a process is to kill itself: at that point, the `time`-th time that it comes there, in that deed."""

    point: Point
    deed: str
    time: int = 1

    def __str__(self) -> str:
        return f"{self.point.name}-{self.time}-{self.deed}"


class Order(msgspec.Struct, frozen=True):
    """One process: what it is to do, and where to die. `at`: None, and it is to live."""

    folder: str
    run: int
    deed: str
    at: Kill | None


class Witness(Actor):
    """Is told, in memory, each number whose booking was committed."""

    def __init__(self, record: Record) -> None:
        self.record = record

    async def hear(self, number: int) -> None:
        self.record.note("heard", number)


class Clerk(crashes.Clerk):
    """Tells the witness, too."""

    async def book(self, number: int) -> None:
        await self.ctx.ref("witness", Witness).tell(Witness.hear, number)
        await super().book(number)


class Walker(Actor):
    mailbox = Durable("walks", order="strict", retry=SOON)

    def __init__(self, record: Record) -> None:
        self.record = record

    async def walk(self, number: int) -> None:
        """Go on from where the attempt before was heard of last."""
        with self.record.handling(self, number):
            self.record.note("found", done := self.ctx.delivery.progress or 0)
            for step in range(done + 1, 4):
                await self.ctx.heartbeat(step)

    async def refuse(self, number: int) -> None:
        with self.record.handling(self, number):
            raise Refuse("not today")

    async def lose(self, number: int) -> None:
        """Have the first attempt taken away while it is in hand."""
        with self.record.handling(self, number):
            if self.ctx.delivery.attempt == 1:
                take_for_dead(self.record.path.with_name("jobs.db"))


def take_for_dead(path: Path) -> None:
    """Do to the sessions of this process what another one does that finds their lease to have run out."""
    connection = connect(path)
    other = SqliteSession(path, connection, lambda _: None, time.time)
    other.open(time.time())
    late = connection.execute("SELECT id, name FROM session WHERE id <> ?", (other.number,)).fetchall()
    for number, name in late:
        running = read_running(other._beside(name))
        other._in_one(partial(other._take_back, number, name, running, time.time(), "its lease ran out"))
    other.close()
    connection.close()


def tree(record: Record) -> ChildSpec[Supervisor]:
    return supervisor(
        "top",
        child("witness", Witness, record),
        pool("senders", partial(Sender, record), size=4),
        pool("filers", partial(Filer, record), size=3),
        child("clerk", Clerk, record),
        child("walker", Walker, record),
    )


class Scene(msgspec.Struct, frozen=True):
    """What a deed has to do with."""

    system: ActorSystem
    store: Store
    record: Record
    before: list[Line]


async def work(order: Order) -> None:
    """One run. It looks out for its point from the start; in deeds that know what comes next, from a rest on."""
    path = Path(order.folder) / "record"
    before, record = read_lines(path), Record(path, order.run)
    store = Sqlite(path.with_name("jobs.db"))
    arm = partial(crash_points.arm, order.at.point, order.at.time) if order.at is not None else None
    from_rest = order.deed in ("one", "stumble", "lose")
    if arm is not None and not from_rest:
        arm()
    async with ActorSystem(tree(record), store=store, log=None) as system:
        record.note("up")
        await system.idle()
        await store.look(None)
        if arm is not None and from_rest:
            arm()
        await DEEDS[order.deed](Scene(system, store, record, before))
        await system.idle()


async def one(scene: Scene) -> None:
    """Tell the clerk one number: one commit stores it, and the next one its end."""
    await tell_clerk(scene.system, scene.record, iter([1]))


async def stumble(scene: Scene) -> None:
    """The same, but the first attempt fails: the second commit stores that."""
    scene.record.manner = "stumbling"
    await tell_clerk(scene.system, scene.record, iter([3]))


async def few(scene: Scene) -> None:
    """Tell the clerk some numbers."""
    await tell_clerk(
        scene.system, scene.record, iter(range(100_000 * scene.record.run, 100_000 * scene.record.run + 6))
    )


async def produce(scene: Scene) -> None:
    """Tell the clerk numbers without end."""
    await crashes.produce(scene.system, scene.record, scene.before)


async def lengthen(scene: Scene) -> None:
    """The same, where the log is too long at each look, and each batch brings a look."""
    wal.LONG, sqlite_engine.LOOK_EVERY = 1, 1
    await produce(scene)


async def finish(scene: Scene) -> None:
    """Tell the clerk what was told and not accepted."""
    await crashes.finish(scene.system, scene.record, scene.before)


async def walk(scene: Scene) -> None:
    await scene.system.ref("/top/walker", Walker).tell(Walker.walk, WALKER)
    scene.record.note("accepted", WALKER)


async def lose(scene: Scene) -> None:
    await scene.system.ref("/top/walker", Walker).tell(Walker.lose, WALKER)
    scene.record.note("accepted", WALKER)


async def mend(scene: Scene) -> None:
    """Do three things by hand: cancel what is not due yet, redrive one of two that were refused, discard the other."""
    walker = scene.system.ref("/top/walker", Walker)
    first, second = await walker.tell_many(Walker.refuse, (WALKER, WALKER + 1))
    scene.record.note("accepted", WALKER)
    scene.record.note("accepted", WALKER + 1)
    await scene.system.idle()
    last = await walker.later(3600.0).tell(Walker.walk, WALKER + 2)
    assert last is not None
    await scene.store.cancel(last.id)
    await scene.store.quarantine.redrive(first.id)
    await scene.store.quarantine.discard(second.id)


DEEDS = {deed.__name__: deed for deed in (one, stumble, few, produce, lengthen, finish, walk, lose, mend)}


class Killings(Campaign):
    """A campaign whose runs are forks; `do` has an order done, and returns how its process ended."""

    def __init__(self, folder: Path, do: Callable[[Order], int]) -> None:
        super().__init__(folder)
        (folder / "log").touch()
        self._do = do

    def run(self, deed: str, at: Kill | None = None) -> int:
        """A whole run; its return code."""
        self.runs += 1
        return self._do(Order(str(self.folder), self.runs, deed, at))


@contextmanager
def forking(program: str = "tests.persistence.points") -> Generator[Callable[[Order], int]]:
    """A process that does orders in forks of itself."""
    command = [sys.executable, "-m", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, ends = process.stdin, process.stdout

        def do(order: Order) -> int:
            orders.write(msgspec.json.encode(order) + b"\n")
            orders.flush()
            return int(ends.readline())

        yield do
        orders.close()  # and so it ends


def serve(work: Callable[[Order], Coroutine[Any, Any, None]]) -> None:
    """Do each order of our input in a fork, and say how that ended."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            obey(work, msgspec.json.decode(line, type=Order))
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def obey(work: Callable[[Order], Coroutine[Any, Any, None]], order: Order) -> NoReturn:
    """Do the order in this process. What hangs ends with its stacks in the log."""
    log = os.open(Path(order.folder) / "log", os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    faulthandler.dump_traceback_later(PATIENCE, exit=True, file=2)
    code = 1
    try:
        asyncio.run(work(order))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(work)
