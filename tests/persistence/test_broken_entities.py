"""The laws of entities that are broken for good: what fails in them, and how often, is no affair of the others."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems, quiet
from tests.persistence.jobs import Book, Stores, running, until
from tests.persistence.tills import Till, till, tills
from upright.persistence import MailboxOpened, MailboxParked, Memory, Retry
from upright.persistence.durable import Durable
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


def kept(**options: Any) -> type[Till]:
    return type("Kept", (Till,), {"mailbox": Durable("tills", order="keyed", **options)})


def breaking(book: Book, broken: str) -> str:
    """A deed that fails in those whose id begins so."""

    @book.deed
    async def work(me: Till) -> str:
        book.add(me.ctx.entity)
        if me.ctx.entity.startswith(broken):
            raise Oops("broken for good")
        return me.ctx.entity

    return work


class TestOneThatIsBroken:
    @pytest.fixture
    def anyio_backend(self, virtual_time: Any) -> Any:
        return virtual_time

    @pytest.mark.parametrize("attempts", [1, 5])
    @pytest.mark.parametrize("broken", [1, 12])
    async def test_harms_no_other_however_many_of_its_messages_fail(
        self, system: Systems, attempts: int, broken: int
    ) -> None:
        book = Book()
        work, kind = breaking(book, "bad"), kept(retry=Retry(max_attempts=attempts, jitter="none"))
        loop = asyncio.get_running_loop()
        async with quiet(system, tree=supervisor("top", tills(book, kind)), store=Memory(clock=loop.time)) as s:
            for number in range(broken):
                await till(s, f"bad-{number}").tell_many(Till.do, [work] * 60)
            await asyncio.sleep(100.0)
            for number in range(3):
                told = loop.time()
                good = till(s, f"good-{number}").within(1_000.0)
                assert await good.ask(Till.do, work) == f"good-{number}"
                # Where many are broken, and nobody else was there, it is parked; but the next probe is of another one.
                assert loop.time() - told <= (0.0 if broken == 1 else 300.0)

    async def test_does_not_park_the_mailbox_of_all(self, system: Systems) -> None:
        book, parks = Book(), list[MailboxParked]()
        work, kind = breaking(book, "bad"), kept(retry=Retry(max_attempts=1))
        loop = asyncio.get_running_loop()
        async with quiet(system, tree=supervisor("top", tills(book, kind)), store=Memory(clock=loop.time)) as s:
            s.subscribe(parks.append, MailboxParked)
            await till(s, "bad").tell_many(Till.do, [work] * 50)
            await s.idle()
        assert (len(book.words), parks) == (50, [])

    async def test_but_ten_of_them_do_and_the_first_probe_is_of_another_one(self, system: Systems) -> None:
        book, told = Book(), list[str]()
        work, kind = breaking(book, "bad"), kept(retry=Retry(max_attempts=3, jitter="none"))
        loop = asyncio.get_running_loop()
        async with quiet(system, tree=supervisor("top", tills(book, kind)), store=Memory(clock=loop.time)) as s:
            s.subscribe(lambda event: told.append(event.name), MailboxParked, MailboxOpened)
            for number in range(10):
                await till(s, f"bad-{number}").tell_many(Till.do, [work] * 3)
            await asyncio.sleep(1.0)
            assert told == ["mailbox.parked"]
            await till(s, "good").within(10.0).ask(Till.do, work)
            assert told == ["mailbox.parked", "mailbox.opened"]


async def test_an_outage_parks_the_mailbox_of_entities_and_is_found_to_be_over(system: Systems, stores: Stores) -> None:
    book, down, told = Book(), True, list[str]()

    @book.deed
    async def call(_: Till) -> None:
        if down:
            raise Oops("down")

    async with running(system, tills(book, kept(retry=Retry(max_attempts=1))), store=stores()) as s:
        s.subscribe(lambda event: told.append(event.name), MailboxParked, MailboxOpened)
        for number in range(12):
            await till(s, f"t{number}").tell_many(Till.do, [call] * 2)
        await until(lambda: "mailbox.parked" in told)
        down = False
        await s.idle()
    assert told == ["mailbox.parked", "mailbox.opened"]


class TestEach:
    async def test_has_idempotency_keys_of_its_own(self, system: Systems, stores: Stores) -> None:
        async with running(system, tills(Book()), store=stores()) as s:
            for id, twice in (("a", False), ("b", False), ("a", True), ("a/b", False)):
                receipt = await till(s, id).once("fee").tell(Till.deposit, 100)
                assert receipt is not None
                assert receipt.duplicate == twice
            receipt = await till(s, "a").once("b/fee").tell(Till.deposit, 100)
            assert receipt is not None
            assert not receipt.duplicate
            assert await till(s, "b").once("fee").ask(Till.deposit, 100) == 100, "the first one's answer"
            assert await till(s, "c").once("fee").ask(Till.deposit, 1) == 1
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 0) == 200
