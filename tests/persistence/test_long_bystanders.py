"""The laws of those beside a suspect: one who is to be alone waits for them to end, but not for ever."""

import asyncio

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Other, Stores, Worker, held, other_ref, running, until, worker, worker_ref
from upright.persistence.solitude import Solitude
from upright.supervision import Supervisor

pytestmark = pytest.mark.anyio


async def test_one_that_is_to_be_alone_runs_beside_those_who_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upright.persistence.solitude.PATIENCE", 0.01)
    solitude = Solitude()
    assert not await solitude.enter("a", alone=False)
    assert await solitude.enter("b", alone=True)
    others = asyncio.create_task(solitude.enter("c", alone=False))
    await asyncio.sleep(0)
    assert not others.done()
    solitude.leave(alone=True)
    assert not await others


async def test_one_that_swallowed_its_cancellation_is_waited_for_by_nobody(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()

    @book.deed
    async def swallow(_: Worker) -> None:
        if began.is_set():
            return  # the next incarnation
        began.set()
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                pass

    book.deeds["hold"] = held(asyncio.Event(), gate)
    tree = worker(book).options(shutdown="brutal"), worker(book, Other, "b")
    async with running(system, *tree, store=store, max_restarts=3) as s:
        await worker_ref(s).tell(Worker.do, swallow)
        await began.wait()
        await s.ref("/top", Supervisor).ask(Supervisor.terminate_child, "a")
        await until(lambda: s.zombies == 1)
        assert store.solitude.running == 0
        assert await store.solitude.enter("other", alone=True)
        store.solitude.leave(alone=True)
        assert await other_ref(s).ask(Other.note, "x") == "x"
        gate.set()
