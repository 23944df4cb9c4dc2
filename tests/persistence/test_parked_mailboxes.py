"""The laws of a mailbox in which everything fails: it waits, it probes, and whoever is not at fault pays nothing."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import Book, Stores, Worker, letters, running, story, until, worker, worker_ref
from upright.actors import ActorSystem
from upright.persistence import MailboxOpened, MailboxParked, Retry
from upright.supervision import pool

pytestmark = pytest.mark.anyio
SOON = Retry(max_attempts=1)


class Weather:
    """A dependency that all handlers need."""

    def __init__(self, book: Book) -> None:
        self.is_down = True
        self.tried: list[int] = []
        book.deeds["call"] = self.call

    async def call(self, me: Worker) -> None:
        self.tried.append(me.ctx.delivery.id)
        if self.is_down:
            raise Oops("down")


def heard(s: ActorSystem) -> list[str]:
    told: list[str] = []
    s.subscribe(lambda event: told.append(event.name), MailboxParked, MailboxOpened)
    return told


@pytest.mark.parametrize("order", ["free", "strict"])
async def test_an_outage_puts_none_into_quarantine_though_it_was_their_last_attempt(
    system: Systems, stores: Stores, order: str
) -> None:
    book, store = Book(), stores()
    weather = Weather(book)
    async with running(system, worker(book, retry=SOON, order=order), store=store) as s:
        told = heard(s)
        receipts = await worker_ref(s).tell_many(Worker.do, ["call"] * 12)
        await until(lambda: "mailbox.parked" in told)
        weather.is_down = False
        await s.idle()
        assert await letters(store) == []
        assert told == ["mailbox.parked", "mailbox.opened"]
        stories = [await story(store, receipt.id) for receipt in receipts]
        assert [one[-1] for one in stories] == ["acked"] * 12
        assert sum("pardoned" in one for one in stories) == 9


async def test_the_probe_does_not_wait_for_what_was_in_hand_before(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    weather, began, gate = Weather(book), asyncio.Event(), asyncio.Event()

    @book.deed
    async def last(_: Worker) -> None:
        began.set()
        await gate.wait()

    spec = worker(book, retry=Retry(), order="free")
    async with running(system, pool("a", spec, size=2), store=store) as s:
        told = heard(s)
        await worker_ref(s).tell(Worker.do, last)
        await began.wait()
        await worker_ref(s).tell_many(Worker.do, ["call"] * 10)
        await until(lambda: "mailbox.parked" in told)
        weather.is_down = False
        await until(lambda: "mailbox.opened" in told)
        assert not gate.is_set()
        gate.set()
        await s.idle()


async def test_a_probe_that_expires_before_its_turn_makes_room_for_another(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    weather = Weather(book)
    async with running(system, worker(book, retry=Retry(), order="free"), store=store) as s:
        told = heard(s)
        await worker_ref(s).tell_many(Worker.do, ["call"] * 10)
        await until(lambda: "mailbox.parked" in told)
        weather.is_down = False
        await worker_ref(s).priority(5).expiring(0.01).tell(Worker.do, "call")
        await s.idle()
        assert [letter.reason for letter in await letters(store)] == ["expired"]
        assert told == ["mailbox.parked", "mailbox.opened"]
