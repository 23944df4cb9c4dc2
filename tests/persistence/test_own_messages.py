"""The laws of what an actor with durable state sends to itself: timers, notices and piped results save it too."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems, rest
from tests.persistence.jobs import Book, Clerk, Plain, Stores, clerk_ref, plain_ref, running, until, worker
from upright.actors import Down
from upright.persistence import local

pytestmark = pytest.mark.anyio


class Listener(Clerk):
    """Notes in its state what it hears."""

    async def heard(self, what: str) -> None:
        self.state.names.append(what)

    @local
    async def down(self, down: Down) -> None:
        self.state.names.append(f"down {down.ref.path}")

    @local
    async def failed(self, error: Exception) -> None:
        self.state.names.append(f"failed {error}")


async def names_after(system: Systems, stores: Stores, book: Book) -> list[str]:
    """What the next system reads."""
    seen: list[str] = []

    async def look(me: Listener) -> None:
        seen.extend(me.state.names)

    book.at_start = look
    async with running(system, worker(book, Listener), store=stores()) as s:
        await s.idle()
    return seen


async def work(result: str) -> str:
    await asyncio.sleep(0)
    return result


async def break_down() -> str:
    raise Oops("on purpose")


HOW = ["a piped result", "a piped error", "a timer", "a repeating timer"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", ["in started", "in a delivery"])
async def test_what_comes_from_itself_is_saved(system: Systems, stores: Stores, how: str, where: str) -> None:
    book = Book()

    async def begin(me: Listener) -> None:
        match how:
            case "a piped result":
                me.ctx.pipe(work("x"), Listener.heard)
            case "a piped error":
                me.ctx.pipe(break_down(), Listener.heard, Listener.failed)
            case "a timer":
                me.ctx.after(0.001, Listener.heard, "x")
            case _:
                me.ctx.every(0.001, Listener.heard, "x")

    book.deeds["begin"] = begin
    if where == "in started":
        book.at_start = begin
    async with running(system, worker(book, Listener), store=stores()) as s:
        if where == "in a delivery":
            await s.ref("/top/a", Listener).tell(Listener.do, "begin")
        await until(lambda: bool(book.made[0].state.names))
        await s.idle()
    expected = "failed on purpose" if how == "a piped error" else "x"
    assert (await names_after(system, stores, book))[:1] == [expected]


async def test_a_notice_of_an_end_is_saved(system: Systems, stores: Stores) -> None:
    book = Book()

    async def watch(me: Listener) -> None:
        me.ctx.watch(me.ctx.ref("/top/b", Plain), Listener.down)

    @book.deed
    async def stop(me: Plain) -> None:
        me.ctx.stop()

    book.at_start = rest
    book.deeds["watch"] = watch
    mortal = worker(book, Plain, "b").options(restart="temporary")
    async with running(system, mortal, worker(book, Listener), store=stores()) as s:
        await s.ref("/top/a", Listener).ask(Listener.do, "watch")
        await plain_ref(s).tell(Plain.do, stop)
        await until(lambda: bool(book.made[-1].state.names))
        await s.idle()
    assert await names_after(system, stores, book) == ["down /top/b"]


async def test_the_next_delivery_meets_the_state_that_a_piped_result_left(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def begin(me: Clerk) -> None:
        me.ctx.pipe(asyncio.sleep(0, 7), Clerk.book_in)

    async with running(system, worker(book, Clerk), store=stores()) as s:
        await clerk_ref(s).ask(Clerk.do, begin)
        await s.idle()
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 8
    async with running(system, worker(book, Clerk), store=stores()) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 8
