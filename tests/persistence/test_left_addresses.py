"""The laws of giving up an address: who has ended for good keeps it from nobody, who is restarted keeps it."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import Book, Clerk, Stores, Worker, clerk_ref, held, rest, running, turns, until, worker
from tests.persistence.jobs import worker_ref as ref
from upright.actors import ActorSystem
from upright.actors.testing import kill
from upright.persistence import Memory, Sqlite, Store
from upright.persistence import journal as journals
from upright.supervision import Supervisor, supervisor

pytestmark = pytest.mark.anyio


def shared(store: Store) -> Store:
    """What another process would have open: the same messages, another session."""
    if isinstance(store, Sqlite):
        return Sqlite(store.path)
    assert isinstance(store, Memory)
    other = Memory()
    other._tables = store._tables
    engine: Any = other._engine
    engine.tables = other._desk._tables = store._tables  # type: ignore[attr-defined]
    return other


def beside(system: Systems, *children: Any, store: Store) -> ActorSystem:
    """Another system with the same tree, on the same messages."""
    return quiet(system, tree=supervisor("top", *children), store=shared(store))


async def end(s: ActorSystem) -> None:
    await s.ref("/top", Supervisor).ask(Supervisor.terminate_child, "a")


async def test_when_an_actor_ends_for_good_another_session_takes_its_address(system: Systems, stores: Stores) -> None:
    first, second, store = Book(), Book(), stores()
    async with running(system, worker(first), store=store) as s:
        await ref(s).ask(Worker.note, "1")
        async with beside(system, worker(second), store=store) as other:
            await ref(other).tell(Worker.note, "2")
            await until(lambda: first.words == ["1", "2"])
            await end(s)
            await ref(s).tell(Worker.note, "3")
            await until(lambda: second.words == ["3"])
        assert first.words == ["1", "2"]


async def test_what_waited_for_one_that_ends_goes_to_the_other_in_order(system: Systems, stores: Stores) -> None:
    first, second, store = Book(), Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    first.deeds["hold"] = second.deeds["hold"] = held(began, gate)
    async with running(system, worker(first), store=store) as s:
        await ref(s).tell(Worker.do, "hold")
        await ref(s).tell_many(Worker.note, [str(n) for n in range(10)])
        await began.wait()
        async with beside(system, worker(second), store=store) as other:
            ending = asyncio.create_task(end(s))
            await turns()
            assert second.words == []
            gate.set()
            await ending
            await until(lambda: len(second.words) == 10)
            await other.idle()
        assert (first.words, second.words) == ([], [str(n) for n in range(10)])
        assert (first.begun["hold"], second.begun["hold"]) == (1, 0)


async def test_an_address_is_given_up_after_all_that_was_claimed_for_it_though_that_takes_several_writes(
    system: Systems, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, store = Book(), Book(), stores()
    began = asyncio.Event()
    first.deeds["hold"] = held(began, asyncio.Event())
    async with running(system, worker(first, window=5).options(shutdown="brutal"), store=store) as s:
        await ref(s).tell(Worker.do, "hold")
        await ref(s).tell_many(Worker.note, [str(n) for n in range(10)])
        await began.wait()
        second.deeds["hold"] = rest
        async with beside(system, worker(second), store=store):
            monkeypatch.setattr(journals, "GROUP", 1)
            await end(s)
            await until(lambda: len(second.words) == 10)
        assert (second.begun["hold"], second.words) == (1, [str(n) for n in range(10)])


async def test_one_that_is_cut_off_gives_its_message_to_the_other_with_the_attempt(
    system: Systems, stores: Stores
) -> None:
    first, second, store = Book(), Book(), stores()
    began, attempts = asyncio.Event(), list[int]()
    first.deeds["hold"] = held(began, asyncio.Event())

    async def look(me: Worker) -> None:
        attempts.append(me.ctx.delivery.attempt)

    second.deeds["hold"] = look
    async with running(system, worker(first).options(shutdown="brutal"), store=store) as s:
        await ref(s).tell(Worker.do, "hold")
        await began.wait()
        async with beside(system, worker(second), store=store):
            await end(s)
            await until(lambda: attempts == [1])


async def test_a_restart_by_the_supervisor_keeps_the_address(system: Systems, stores: Stores) -> None:
    first, second, store = Book(), Book(), stores()
    async with running(system, worker(first), store=store, max_restarts=5) as s:
        await ref(s).ask(Worker.note, "1")
        async with beside(system, worker(second), store=store):
            await kill(s, ref(s))
            await ref(s).ask(Worker.note, "2")
        assert (first.words, second.words) == (["1", "2"], [])


async def test_one_that_comes_back_takes_its_address_again_if_nobody_has_it(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        for n in range(5):
            await end(s)
            await ref(s).tell(Worker.note, str(n))
            await s.ref("/top", Supervisor).ask(Supervisor.restart_child, "a")
        await s.idle()
        assert book.words == [str(n) for n in range(5)]


async def test_state_that_another_session_has_written_meanwhile_is_read_anew(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, Clerk), store=store) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 1
        async with beside(system, worker(book, Clerk), store=store) as other:
            await end(s)
            assert await clerk_ref(other).within(5.0).ask(Clerk.book_in, 10) == 11
            await s.ref("/top", Supervisor).ask(Supervisor.restart_child, "a")
        assert await clerk_ref(s).within(5.0).ask(Clerk.book_in, 100) == 111


async def test_an_ask_of_one_that_has_ended_is_answered_by_the_other(system: Systems, stores: Stores) -> None:
    first, second, store = Book(), Book(), stores()
    second.deeds["rest"] = rest
    async with running(system, worker(first), store=store) as s:
        async with beside(system, worker(second), store=store):
            await end(s)
            assert await ref(s).within(5.0).ask(Worker.note, "x") == "x"
        assert (first.words, second.words) == ([], ["x"])
