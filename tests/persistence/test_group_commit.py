"""Group commit: who tells at one time waits for one sync, also where the loop is busy. Counted, not timed."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Sqlite, sqlite_engine
from upright.persistence.syncer import Syncer, start_syncer
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio

PRODUCERS, EACH = 100, 20
BUSY = 50e-6
"""Seconds of other work in each turn of the loop."""
GROUPED = PRODUCERS / 2
"""Messages per sync, at least; all that wait together would be as many as there are producers."""


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


class Clerk(Actor):
    mailbox = Durable("clerk", order="free", window=PRODUCERS * EACH)

    def __init__(self, noted: list[int]) -> None:
        self.noted = noted

    async def note(self, number: int) -> None:
        self.noted.append(number)


class Syncs:
    """Counts the syncs that were asked for, of all stores of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0

        async def counted(path: str) -> Syncer:
            syncer = await start_syncer(path)
            sync = syncer.sync

            def count() -> "asyncio.Future[None]":
                self.count += 1
                return sync()

            syncer.sync = count  # type: ignore[method-assign]
            return syncer

        monkeypatch.setattr(sqlite_engine, "start_syncer", counted)


class Busy:
    """Work that the loop has to do in each turn, as long as it is in use."""

    def __init__(self) -> None:
        self.turns, self._works = 0, True

    def work(self) -> None:
        self.turns += 1
        until = time.perf_counter() + BUSY
        while time.perf_counter() < until:
            pass
        if self._works:
            asyncio.get_running_loop().call_soon(self.work)

    def stop(self) -> None:
        self._works = False


@pytest.mark.parametrize("is_busy", [False, True])
async def test_what_many_tell_at_one_time_is_synced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_busy: bool
) -> None:
    noted: list[int] = []
    syncs, busy = Syncs(monkeypatch), Busy()
    tree = supervisor("bank", child("clerk", Clerk, noted))
    async with ActorSystem(tree, store=Sqlite(tmp_path / "jobs.db"), log=None, blocked_after=None) as system:
        clerk = system.ref("/bank/clerk", Clerk)

        async def produce(number: int) -> None:
            for index in range(EACH):
                await clerk.tell(Clerk.note, number * EACH + index)

        if is_busy:
            busy.work()
        before = syncs.count
        await asyncio.gather(*(produce(number) for number in range(PRODUCERS)))
        made = syncs.count - before
        busy.stop()
        await system.idle()
    assert sorted(noted) == [*range(PRODUCERS * EACH)]
    assert PRODUCERS * EACH / made >= GROUPED, f"{made} syncs for {PRODUCERS * EACH} messages"
    assert made >= EACH, "each waits for the sync of its own message, before it tells the next one"
    assert (busy.turns > 0) is is_busy
