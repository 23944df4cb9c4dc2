"""The laws of asks in a delivery that is tried again: each question meets its own reply, and no other's."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import QUICK, Book, Clerk, Stores, clerk_ref, running, worker
from tests.persistence.tills import Till, till, tills
from upright.persistence import NotStaged

pytestmark = pytest.mark.anyio


async def test_the_same_question_to_another_entity_is_another_question(system: Systems, stores: Stores) -> None:
    book, answers = Book(), list[tuple[str, int]]()

    @book.deed
    async def pay(me: Clerk) -> None:
        for one in "ab" if me.ctx.delivery.attempt == 1 else "ba":
            answers.append((one, await me.ctx.ref("tills", Till).entity(one).ask(Till.deposit, 1)))
            if me.ctx.delivery.attempt == 1:
                raise Oops("just before the second one")

    async with running(system, tills(book), worker(book, Clerk, retry=QUICK), store=stores()) as s:
        await till(s, "b").ask(Till.deposit, 10)
        await clerk_ref(s).tell(Clerk.do, pay)
        await s.idle()
        assert answers == [("a", 1), ("b", 11), ("a", 1)]
        assert [await till(s, id).ask(Till.deposit, 0) for id in "ab"] == [1, 11]


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_a_step_asked_is_no_answer_to_what_is_asked_beside_it(
    system: Systems, stores: Stores, at_once: bool
) -> None:
    book, answers = Book(), list[list[int]]()

    @book.deed
    async def order(me: Clerk) -> None:
        numbers = me.ctx.ref("tills", Till).entity("numbers")

        async def next_number() -> int:
            return await numbers.ask(Till.deposit, 1)

        names = ("invoice", "parcel")
        if at_once:
            got = list(await asyncio.gather(*(me.ctx.step(name, next_number) for name in names)))
        else:
            got = [await me.ctx.step(name, next_number) for name in names]
        answers.append([*got, await next_number()])
        if me.ctx.delivery.attempt == 1:
            raise Oops("once more")

    async with running(system, tills(book), worker(book, Clerk, retry=QUICK), store=stores()) as s:
        await clerk_ref(s).tell(Clerk.do, order)
        await s.idle()
    assert sorted(answers[0]) == [1, 2, 3]
    assert answers[0] == answers[1]


async def test_in_a_step_too_whom_it_told_it_asks_first(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def order(me: Clerk) -> None:
        numbers = me.ctx.ref("tills", Till).entity("numbers")

        async def tell_and_ask() -> int:
            await numbers.tell(Till.deposit, 5)
            return await numbers.ask(Till.deposit, 0)

        with pytest.raises(NotStaged, match="ask it first"):
            await me.ctx.step("both", tell_and_ask)

    async with running(system, tills(book), worker(book, Clerk, retry=QUICK), store=stores()) as s:
        await clerk_ref(s).ask(Clerk.do, order)
