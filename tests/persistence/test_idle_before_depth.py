"""The law of `idle()` at the start: while the depth of a durable mailbox is not known, there may be something in it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Other, Stores, Weather, Worker, other_ref, running, turns, worker, worker_ref
from upright.persistence import Store
from upright.supervision import Supervisor

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def held_up(store: Store) -> AsyncGenerator[Weather]:
    """Nothing gets to that store, and nothing is known of it, until its weather is calm."""
    weather = Weather(store)
    weather.calm.clear()
    yield weather
    weather.calm.set()


async def test_a_system_is_not_idle_before_it_knows_the_depths_of_its_durable_mailboxes(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        store.stop_intake()
        await worker_ref(s).tell(Worker.note, "from before")
    store = stores()
    async with held_up(store) as weather, running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        idle = asyncio.create_task(s.idle())
        await turns()
        was_idle = idle.done()
        weather.calm.set()
        await idle
        assert not was_idle
        assert book.words == ["from before"]


async def test_a_system_whose_durable_mailboxes_turn_out_to_be_empty_is_idle(system: Systems, stores: Stores) -> None:
    store = stores()
    async with held_up(store) as weather, running(system, worker(Book()), worker(Book(), Other, "b"), store=store) as s:
        idle = asyncio.create_task(s.idle())
        await turns()
        was_idle = idle.done()
        weather.calm.set()
        await idle
        assert not was_idle


async def test_a_system_is_idle_when_an_actor_whose_depth_was_never_known_has_ended(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    async with held_up(store) as weather, running(system, worker(Book()), store=store) as s:
        idle = asyncio.create_task(s.idle())
        await turns()
        await s.ref("/top", Supervisor).ask(Supervisor.terminate_child, "a")
        await idle
        weather.calm.set()


async def test_one_that_is_idle_is_no_more_when_something_comes(system: Systems, stores: Stores) -> None:
    book = Book()
    gate = asyncio.Event()

    @book.deed
    async def wait(_: Other) -> None:
        await gate.wait()

    async with running(system, worker(book, Other, "b"), store=stores()) as s:
        await s.idle()
        await other_ref(s).tell(Other.do, wait)
        idle = asyncio.create_task(s.idle())
        await turns()
        assert not idle.done()
        gate.set()
        await idle
