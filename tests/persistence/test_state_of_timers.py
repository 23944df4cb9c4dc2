"""The laws of what an actor with durable state does to it beside its deliveries: by timers, and by piped results."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Clerk, Stores, clerk_ref, running, turns, until, worker
from upright.actors import Refuse
from upright.persistence import Sqlite, StateRefused

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("first", [0, 5])
async def test_a_timer_that_refuses_leaves_the_last_committed_state_to_the_next_message(
    system: Systems, stores: Stores, first: int
) -> None:
    book = Book()
    refused = asyncio.Event()

    @book.deed
    async def refuse(me: Clerk) -> None:
        me.state.total -= 1000
        refused.set()
        raise Refuse("not today")

    @book.deed
    async def set_a_timer(me: Clerk) -> None:
        me.ctx.after(0.001, Clerk.do, refuse)

    async with running(system, worker(book, Clerk), store=stores()) as s:
        if first:
            await clerk_ref(s).tell(Clerk.book_in, first)
        await clerk_ref(s).tell(Clerk.do, set_a_timer)
        await refused.wait()
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == first + 1
        assert len(book.made) == 1
    async with running(system, worker(book, Clerk), store=stores()) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == first + 1


async def test_a_timer_in_a_process_that_does_not_have_the_address_changes_nothing_and_that_is_told(
    system: Systems, tmp_path: Path
) -> None:
    here, there = Book(), Book()
    refused: list[tuple[str, str, str]] = []

    async def tick(me: Clerk) -> None:
        me.state.total += 1000

    async def set_a_timer(me: Clerk) -> None:
        if there.begun["started"] == 1:
            me.ctx.after(0.001, Clerk.do, there.deed(tick))

    there.at_start = set_a_timer
    first, second = (Sqlite(tmp_path / "jobs.db") for _ in range(2))
    async with running(system, worker(here, Clerk), store=first) as owner:
        assert await clerk_ref(owner).ask(Clerk.book_in, 5) == 5
        async with running(system, worker(there, Clerk), store=second) as other:
            other.subscribe(lambda event: refused.append((event.path, event.address, event.verdict)), StateRefused)
            await until(lambda: there.begun["started"] == 2)
            assert refused == [("/top/a", "clerk", "lost")]
            assert await clerk_ref(owner).ask(Clerk.book_in, 5) == 10
            assert here.begun["started"] == 1


async def test_a_timer_sees_what_another_process_left_that_had_the_address_before(
    system: Systems, tmp_path: Path
) -> None:
    here, there = Book(), Book()
    seen: list[int] = []
    go = asyncio.Event()

    async def look(me: Clerk) -> None:
        seen.append(me.state.total)
        me.state.total += 1

    async def wait() -> str:
        await go.wait()
        return there.deed(look)

    async def pipe(me: Clerk) -> None:
        me.ctx.pipe(wait(), Clerk.do)

    there.at_start = pipe
    path = tmp_path / "jobs.db"
    ending = running(system, worker(here, Clerk), store=Sqlite(path))
    owner = await ending.__aenter__()
    async with running(system, worker(there, Clerk), store=Sqlite(path)) as other:
        assert await clerk_ref(owner).ask(Clerk.book_in, 5) == 5
        before = owner_of(path)
        await ending.__aexit__(None, None, None)
        await until(lambda: owner_of(path) not in (before, None))
        await turns()
        go.set()
        await until(lambda: bool(seen))
        assert await clerk_ref(other).ask(Clerk.book_in, 0) == 6
    assert (seen, there.begun["started"]) == ([5], 1)


def owner_of(path: Path) -> int | None:
    """The number of the session that has the address of the clerk."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found: tuple[int | None] = connection.execute("SELECT owner FROM mailbox WHERE address = 'clerk'").fetchone()
        return found[0]
