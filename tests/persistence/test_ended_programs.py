"""The laws of a handler that ends the program: it uses up its attempt, for it would do so at each; Ctrl-C does not."""

import asyncio
import contextlib
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Plain,
    Stores,
    Weather,
    Worker,
    held,
    kept,
    letters,
    rest,
    running,
    story,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import ActorSystem, Exit
from upright.persistence import Letter, Retry, Sqlite, Store, StoreError
from upright.supervision import ChildSpec, Supervisor, child, pool, supervisor

AT_ONCE = Retry(max_attempts=2, base=1e-9, cap=1e-9, jitter="none")
"""So that the next attempt would come before the program has ended."""
PROGRAM = """
import asyncio, sys
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Retry, Sqlite
from upright.supervision import child, supervisor

class Job(Actor):
    mailbox = Durable("jobs", retry=Retry(max_attempts=2, base=1e-9, cap=1e-9))

    async def end(self) -> None:
        with open(sys.argv[1] + ".begun", "a") as out:
            out.write(f"{self.ctx.delivery.attempt} ")
        sys.exit(5)

async def main() -> None:
    async with ActorSystem(supervisor("top", child("job", Job)), store=Sqlite(sys.argv[1]), log=None) as system:
        await system.ref("/top/job", Job).once("the only one").tell(Job.end)
        await system.idle()

asyncio.run(main())
"""


class Lingering(Plain):
    """Takes a while to end, in which others could begin something."""

    async def stopping(self, reason: Exit) -> None:
        await turns(500)


class Ending:
    """A program that handles one message, which ends it; again and again on one store."""

    def __init__(self, stores: Stores, error: BaseException) -> None:
        self.stores, self.error = stores, error
        self.book, self.attempts = Book(), list[int]()
        self.book.deed(self.end)

    async def end(self, me: Worker) -> None:
        self.attempts.append(me.ctx.delivery.attempt)
        raise self.error

    def tree(self) -> ChildSpec[Supervisor]:
        return supervisor("top", child("b", Lingering, self.book), worker(self.book, retry=AT_ONCE), max_restarts=0)

    async def main(self) -> None:
        async with ActorSystem(self.tree(), store=self.stores(), log=None, blocked_after=None) as system:
            await worker_ref(system).once("the only one").tell(Worker.do, "end")
            await system.idle()

    def run(self) -> BaseException | None:
        """What the program ended with."""
        try:
            asyncio.run(self.main())
        except BaseException as error:
            return error
        return None

    def left(self) -> tuple[list[Letter], int]:
        """What is in quarantine, and how many wait."""

        async def look() -> tuple[list[Letter], int]:
            store = self.stores()
            async with ActorSystem(store=store, log=None):
                return await letters(store), (await store.counts())["work"].waiting

        return asyncio.run(look())


@pytest.mark.parametrize("code", [7, 0, None, "a text"])
def test_a_handler_that_exits_ends_the_program_at_each_attempt_until_it_is_set_aside(stores: Stores, code: Any) -> None:
    ending = Ending(stores, SystemExit(code))
    assert ending.run() is ending.error
    assert ending.attempts == [1], "it was not begun anew while the program ended"
    assert ending.left() == ([], 1)
    assert ending.run() is ending.error
    assert ending.attempts == [1, 2]
    ((letter,), waiting) = ending.left()
    assert (letter.handler, letter.reason, waiting) == ("do", "attempts", 0)
    assert [failure.error for failure in letter.attempts] == [f"SystemExit: {code}"] * 2
    assert ending.run() is None
    assert ending.attempts == [1, 2]


def test_in_a_program_that_ends_its_system_by_itself_nothing_more_is_begun(stores: Stores) -> None:
    """Its loop goes on for that, and so do other workers: the next attempt would end the end of the program."""
    ending = Ending(stores, SystemExit(7))
    other = ending.book.deed(rest)
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        kind = partial(kept(Worker, retry=AT_ONCE, order="free"), ending.book)
        tree = supervisor("top", pool("a", kind, size=3), max_restarts=0)
        system = ActorSystem(tree, store=stores(), log=None, blocked_after=None)

        async def begin() -> None:
            await system.start()
            await worker_ref(system).tell(Worker.do, "end")
            await system.idle()

        async def end() -> None:
            with contextlib.suppress(StoreError):
                await worker_ref(system).tell(Worker.do, other)
            await turns(500)
            await system.stop()

        with pytest.raises(SystemExit):
            loop.run_until_complete(begin())
        loop.run_until_complete(end())
    assert ending.attempts == [1]
    assert ending.book.begun[other] == 0
    assert ending.left() == ([], 2)


def test_ctrl_c_in_a_handler_uses_up_no_attempt(stores: Stores) -> None:
    ending = Ending(stores, KeyboardInterrupt())
    for _ in range(3):
        assert ending.run() is ending.error
    assert ending.attempts == [1, 1, 1]
    assert ending.left() == ([], 1)


def test_a_process_whose_handler_exits_ends_with_its_status_and_starts_again_with_the_next_attempt(
    tmp_path: Path,
) -> None:
    path = tmp_path / "jobs.db"
    command = [sys.executable, "-c", PROGRAM, str(path)]
    codes = [subprocess.run(command, timeout=60, check=False, capture_output=True).returncode for _ in range(3)]
    assert codes == [5, 5, 0]
    assert path.with_name("jobs.db.begun").read_text().split() == ["1", "2"]
    (letter,) = asyncio.run(letters(Sqlite(path)))
    assert (letter.reason, [failure.attempt for failure in letter.attempts]) == ("attempts", [1, 2])
    events = asyncio.run(story(Sqlite(path), letter.id))
    assert events == ["stored", "claimed", "failed", "claimed", "failed", "quarantined"]


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_what_waits_to_be_written_when_the_journal_is_cancelled_is_written(
    system: Systems, stores: Stores, fails: bool
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:

        @book.deed
        async def cancel_the_journal(_: Worker) -> None:
            journal(store).cancel()
            if fails:
                raise ValueError("on purpose")

        receipt = await worker_ref(s).tell(Worker.do, cancel_the_journal)
        await until(lambda: bool(book.begun[cancel_the_journal]))
    assert receipt is not None
    assert (await story(store, receipt.id))[-1] == ("failed" if fails else "acked")


@pytest.mark.anyio
async def test_what_is_being_written_when_the_journal_is_cancelled_is_written(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        weather = Weather(store)
        weather.calm.clear()
        gate.set()
        await until(lambda: bool(weather.writes))
        journal(store).cancel()
        await turns()
        weather.calm.set()
    assert receipt is not None
    assert (await story(store, receipt.id))[-1] == "acked"


@pytest.mark.anyio
async def test_nobody_waits_for_a_journal_that_has_ended(system: Systems, stores: Stores) -> None:
    store = stores()
    async with running(system, worker(Book()), store=store):
        task = journal(store)
        task.cancel()
        await asyncio.wait({task})
        await store.flushed()
        await store.look(None)


def journal(store: Store) -> "asyncio.Task[None]":
    """The task that writes."""
    assert store._journal is not None
    assert store._journal._task is not None
    return store._journal._task
