"""The laws of a mailbox with a depth: senders wait for room, in turn and no longer than they like, and none is lost."""

import asyncio
import random

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import (
    Book,
    Plain,
    Stores,
    Weather,
    Worker,
    held,
    plain_ref,
    rest,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import Actor, ActorSystem, AskTimedOut, MailboxFull
from upright.persistence import Durable, StoreUnavailable, local
from upright.supervision import Supervisor, child, supervisor

pytestmark = pytest.mark.anyio
SOON = 0.02
"""Seconds for which a sender waits in vain."""


async def full(s: ActorSystem, book: Book) -> asyncio.Event:
    """Fill a mailbox of depth 1 with one message that is in hand; the gate lets it end."""
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    await worker_ref(s).tell(Worker.do, "hold")
    await began.wait()
    return gate


async def test_a_tell_waits_for_room_as_long_as_it_was_given_and_then_gives_the_message_back(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, max_depth=1), store=store) as s:
        gate = await full(s, book)
        with pytest.raises(MailboxFull, match="/top/a") as caught:
            await worker_ref(s).within(SOON).tell(Worker.note, "x")
        assert (caught.value.message.handler, caught.value.message.args) == ("note", ("x",))
        with pytest.raises(MailboxFull):
            await worker_ref(s).within(0).tell(Worker.note, "y")
        assert (await store.counts())["work"].waiting == 0
        gate.set()
        await s.idle()
        assert book.words == []


async def test_tell_many_waits_no_longer_than_a_tell_and_stores_all_or_none(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        gate = await full(s, book)
        with pytest.raises(MailboxFull) as caught:
            await worker_ref(s).within(SOON).tell_many(Worker.note, ["x", "y"])
        assert caught.value.message.args == ("x",)
        gate.set()
        await s.idle()
        assert len(await worker_ref(s).within(0).tell_many(Worker.note, ["1", "2", "3"])) == 3
        await s.idle()
        assert book.words == ["1", "2", "3"]


async def test_where_there_is_room_nobody_waits_not_even_who_would_not(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        for n in range(5):
            await worker_ref(s).within(0).tell(Worker.note, str(n))
            await s.idle()
        assert book.words == [str(n) for n in range(5)]


async def test_an_ask_waits_for_room_until_its_deadline(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        gate = await full(s, book)
        with pytest.raises(AskTimedOut, match="no room"):
            await worker_ref(s).within(SOON).ask(Worker.note, "x")
        gate.set()
        assert await worker_ref(s).ask(Worker.note, "y") == "y"
        assert book.words == ["y"]


@pytest.mark.parametrize("how", ["gives up", "is cancelled"])
async def test_a_waiter_that_goes_does_not_take_the_room_of_the_next(system: Systems, stores: Stores, how: str) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        gate = await full(s, book)
        first = asyncio.create_task(worker_ref(s).within(SOON).tell(Worker.note, "first"))
        await turns()
        second = asyncio.create_task(worker_ref(s).tell(Worker.note, "second"))
        if how == "is cancelled":
            await turns()
            first.cancel()
        await asyncio.wait({first})
        gate.set()
        await second
        await s.idle()
        assert book.words == ["second"]


async def test_one_that_is_let_in_and_cancelled_in_the_same_turn_leaves_its_room_to_the_next(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        gate = await full(s, book)
        door = s.ref("/top/a", Worker).recipient.mailbox.keeper  # type: ignore[union-attr]
        waiting = [asyncio.create_task(worker_ref(s).tell(Worker.note, str(n))) for n in range(3)]
        await turns()
        said = door.depth_is  # type: ignore[union-attr]

        def let_in_and_cancel(depth: int) -> None:
            said(depth)
            if depth == 0:
                waiting[0].cancel()

        door.depth_is = let_in_and_cancel  # type: ignore[union-attr]
        gate.set()
        await asyncio.wait(waiting)
        await s.idle()
        assert (waiting[0].cancelled(), book.words) == (True, ["1", "2"])


async def test_one_that_is_cancelled_while_it_is_stored_leaves_its_room_to_the_next(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        await s.idle()
        for _ in range(3):
            telling = asyncio.create_task(worker_ref(s).tell(Worker.note, "cancelled"))
            await asyncio.sleep(0)
            telling.cancel()
            await asyncio.wait({telling})
        await worker_ref(s).within(2.0).tell(Worker.note, "stored")
        await s.idle()
        assert book.words[-1] == "stored"


@pytest.mark.parametrize("seed", range(3))
async def test_whenever_senders_give_up_or_are_cancelled_no_room_is_lost(
    system: Systems, stores: Stores, seed: int
) -> None:
    book, chance = Book(), random.Random(seed)
    async with running(system, worker(book, max_depth=3), store=stores()) as s:
        for _ in range(10):
            limits = (chance.choice([0, 0.001, 1.0]) for _ in range(20))
            telling = [asyncio.create_task(worker_ref(s).within(one).tell(Worker.note, "x")) for one in limits]
            await turns(chance.randrange(8))
            for one in chance.sample(telling, 8):
                one.cancel()
            await asyncio.gather(*telling, return_exceptions=True)
        await s.idle()
        book.words.clear()
        await asyncio.gather(*(worker_ref(s).within(3.0).tell(Worker.note, "y") for _ in range(20)))
        await s.idle()
        assert book.words == ["y"] * 20


async def test_room_is_given_in_the_order_of_coming(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        gate = await full(s, book)
        telling: list[asyncio.Task[object]] = []
        for n in range(5):
            telling.append(asyncio.create_task(worker_ref(s).tell(Worker.note, str(n))))
            await turns(2)

        async def come_late(_: Worker) -> None:
            telling.append(asyncio.create_task(worker_ref(s).tell(Worker.note, "late")))

        book.deeds["hold"] = rest
        gate.set()
        await until(lambda: bool(book.words))
        await come_late(book.made[-1])
        await asyncio.gather(*telling)
        await s.idle()
        assert book.words == ["0", "1", "2", "3", "4", "late"]


async def test_never_are_there_more_than_the_depth(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    seen: list[int] = []
    async with running(system, worker(book, max_depth=3), store=store) as s:
        weather = Weather(store)

        async def look(batch: object) -> None:
            counts = (await store.counts())["work"]
            seen.append(counts.waiting + counts.claimed)
            weather.next = look

        weather.next = look
        await asyncio.gather(*(worker_ref(s).tell(Worker.note, str(n)) for n in range(50)))
        await s.idle()
        assert len(book.words) == 50
        assert seen
        assert max(seen) <= 3


async def test_whoever_waits_for_the_room_of_an_actor_that_ends_is_stored_for_the_next_one(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=1), store=stores()) as s:
        gate = await full(s, book)
        telling = [asyncio.create_task(worker_ref(s).tell(Worker.note, str(n))) for n in range(3)]
        await turns()
        top = s.ref("/top", Supervisor)
        ending = asyncio.create_task(top.ask(Supervisor.terminate_child, "a"))
        await turns()
        gate.set()
        await ending
        await asyncio.gather(*telling)
        await top.ask(Supervisor.restart_child, "a")
        await s.idle()
        assert sorted(book.words) == ["0", "1", "2"]


async def test_a_failed_write_keeps_nobody_out(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, max_depth=2), store=store) as s:
        await s.idle()
        Weather(store).before.append(StoreUnavailable("the disk is full"))
        tells = [worker_ref(s).within(5.0).tell(Worker.note, str(n)) for n in range(6)]
        results = await asyncio.gather(*tells, return_exceptions=True)
        await s.idle()
        assert [type(one) for one in results].count(StoreUnavailable) == 2
        assert sorted(book.words) == [str(n) for n, one in enumerate(results) if not isinstance(one, BaseException)]


async def test_a_process_that_only_produces_is_not_held_up_for_ever(system: Systems, stores: Stores) -> None:
    book = Book()
    tree = supervisor("top", worker(book, max_depth=2))
    async with quiet(system, tree=tree, store=stores(), only=()) as s:
        ref = worker_ref(s)
        for n in range(5):
            await ref.within(2.0).tell(Worker.note, str(n))
    async with running(system, worker(book, max_depth=2), store=stores()) as s:
        await s.idle()
        assert book.words == [str(n) for n in range(5)]


async def test_a_handler_waits_for_room_no_longer_than_five_seconds_and_never_for_its_own(
    system: Systems, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upright.persistence.door.TELL_WITHIN", SOON)
    book, plain = Book(), Book()
    told: list[str] = []

    @plain.deed
    async def forward(_: Plain) -> None:
        with pytest.raises(MailboxFull):
            await worker_ref(s).tell(Worker.note, "x")
        told.append("gave up")

    async with running(system, worker(book, max_depth=1), worker(plain, Plain, "b"), store=stores()) as s:
        gate = await full(s, book)
        await plain_ref(s).ask(Plain.do, forward)
        assert told == ["gave up"]
        gate.set()


class Teller(Actor):
    mailbox = Durable("teller", max_depth=1)
    heard: list[str] = []

    async def started(self) -> None:
        self.ctx.after(0.001, Teller.tick)

    @local
    async def tick(self) -> None:
        me = self.ctx.self_ref
        await me.tell(Teller.take)
        try:
            await me.tell(Teller.take)
        except MailboxFull:
            Teller.heard.append("full")

    async def take(self) -> None:
        Teller.heard.append("taken")


async def test_what_an_actor_tells_itself_from_a_timer_never_waits_for_room_that_only_it_could_make(
    system: Systems, stores: Stores
) -> None:
    Teller.heard.clear()
    async with running(system, child("a", Teller), store=stores()) as s:
        await until(lambda: len(Teller.heard) == 2)
        await s.idle()
        assert Teller.heard == ["full", "taken"]
