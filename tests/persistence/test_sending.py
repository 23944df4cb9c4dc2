"""The laws of the ways to send: once, later, at, keyed, by priority, expiring, and within a depth."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Plain,
    Stores,
    Weather,
    Worker,
    failing,
    held,
    letters,
    other_ref,
    plain_ref,
    rest,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import Ref
from upright.actors.errors import NotDurable
from upright.persistence import Durable, StoreUnavailable

pytestmark = pytest.mark.anyio


async def occupied(system: Ref[Worker], book: Book) -> asyncio.Event:
    """Keep the actor busy; the gate lets it go on."""
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    await system.tell(Worker.do, "hold")
    await began.wait()
    return gate


async def test_a_second_tell_with_the_same_key_is_not_handled(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        gate = await occupied(worker_ref(s), book)
        for word in ("first", "second"):
            await worker_ref(s).once("key").tell(Worker.note, word)
        gate.set()
        await s.idle()
        await worker_ref(s).once("key").tell(Worker.note, "after it was handled")
        await s.idle()
        assert book.words == ["first"]
    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).once("key").tell(Worker.note, "after a restart")
        await worker_ref(s).once("another").tell(Worker.note, "another")
        await s.idle()
        assert book.words == ["first", "another"]


async def test_of_fifty_tells_at_once_with_the_same_key_one_is_handled(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        await asyncio.gather(*(worker_ref(s).once("key").tell(Worker.note, str(n)) for n in range(50)))
        await s.idle()
        assert book.words == ["0"]


async def test_the_same_key_for_another_actor_is_another_key(system: Systems, stores: Stores) -> None:
    book = Book()

    class Second(Worker):
        mailbox = Durable("second")

    async with running(system, worker(book), worker(book, Second, "b"), store=stores()) as s:
        await worker_ref(s).once("key").tell(Worker.note, "a")
        await s.ref("/top/b", Second).once("key").tell(Second.note, "b")
        await s.idle()
        assert sorted(book.words) == ["a", "b"]


async def test_a_key_holds_through_retries_and_quarantine(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        for _ in range(2):
            await worker_ref(s).once("key").tell(Worker.do, "fail")
            await s.idle()
        assert book.begun["fail"] == 3
        assert len(await letters(store)) == 1


async def test_a_delayed_message_comes_when_it_is_due(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    seen: list[tuple[float, float]] = []

    @book.deed
    async def look(me: Worker) -> None:
        seen.append((me.ctx.delivery.stored, store.now()))

    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).later(0.1).tell(Worker.do, look)
        await worker_ref(s).tell(Worker.note, "at once")
        await until(lambda: book.words == ["at once"])
        assert seen == []
        await s.idle()
        ((stored, began),) = seen
        assert began - stored >= 0.099


async def test_a_message_for_a_time_comes_then_and_one_for_the_past_at_once(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        when = datetime.fromtimestamp(store.now(), UTC) + timedelta(seconds=0.1)
        await worker_ref(s).at(when).tell(Worker.note, "later")
        await worker_ref(s).at(when - timedelta(days=1)).tell(Worker.note, "past")
        await s.idle()
        assert book.words == ["past", "later"]
        with pytest.raises(ValueError, match="a time with a zone"):
            worker_ref(s).at(datetime(2030, 1, 1))


async def test_delayed_messages_come_in_the_order_in_which_they_are_due(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        for n in (3, 1, 2):
            await worker_ref(s).later(0.05 * n).tell(Worker.note, str(n))
        await s.idle()
        assert book.words == ["1", "2", "3"]


async def test_a_delay_outlives_the_system(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).later(0.2).tell(Worker.note, "x")
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
        assert book.words == ["x"]


async def test_while_a_message_is_delayed_the_system_is_not_idle_and_a_sooner_one_passes(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).later(0.5).tell(Worker.note, "late")
        idle = asyncio.create_task(s.idle())
        await turns()
        assert not idle.done()
        await worker_ref(s).later(0.01).tell(Worker.note, "soon")
        await idle
        assert book.words == ["soon", "late"]


async def test_a_message_that_waits_may_be_cancelled_and_the_system_is_idle_then(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    ids: list[int] = []

    @book.deed
    async def look(me: Worker) -> None:
        ids.append(me.ctx.delivery.id)

    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, look)
        await worker_ref(s).later(300).tell(Worker.note, "never")
        await until(lambda: bool(ids))
        assert await store.cancel(ids[0] + 1)
        assert not await store.cancel(ids[0])
        async with asyncio.timeout(2):
            await s.idle()
        assert book.words == []


async def test_a_higher_priority_goes_first_also_before_those_that_were_claimed_already(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        gate = await occupied(worker_ref(s), book)
        for word, priority in (("low", -1), ("usual 1", 0), ("high", 5), ("usual 2", 0), ("higher", 9)):
            await worker_ref(s).priority(priority).tell(Worker.note, word)
        gate.set()
        await s.idle()
        assert book.words == ["higher", "high", "usual 1", "usual 2", "low"]


@pytest.mark.parametrize("how", ["told", "told by another actor", "due after a while"])
async def test_a_higher_priority_goes_first_though_the_mailbox_has_claimed_all_that_it_has_room_for(
    system: Systems, stores: Stores, how: str
) -> None:
    book, store = Book(), stores()

    @book.deed
    async def send_it(_: Worker) -> None:
        await worker_ref(s).priority(1).tell(Worker.note, "high")

    children = worker(book, window=4), worker(book, Other, "b")
    async with running(system, *children, store=store) as s:
        gate = await occupied(worker_ref(s), book)
        await worker_ref(s).tell_many(Worker.note, [str(n) for n in range(20)])
        match how:
            case "told":
                await worker_ref(s).priority(1).tell(Worker.note, "high")
            case "told by another actor":
                await other_ref(s).ask(Other.do, send_it)
            case _:
                await worker_ref(s).priority(1).later(0.02).tell(Worker.note, "high")
                while (await store.counts())["work"].claimed < 5:  # noqa: ASYNC110  # no event tells of a claim
                    await asyncio.sleep(0.001)
        gate.set()
        await s.idle()
        assert book.words == ["high", *(str(n) for n in range(20))]


async def test_messages_of_one_batch_go_by_priority(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
        await asyncio.gather(*(worker_ref(s).priority(n).tell(Worker.note, str(n)) for n in (1, 3, 2)))
        await s.idle()
        assert book.words == ["3", "2", "1"]


async def test_a_message_that_expired_before_its_turn_goes_to_quarantine_unhandled(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        gate = await occupied(worker_ref(s), book)
        await worker_ref(s).expiring(0.02).tell(Worker.note, "late")
        await worker_ref(s).expiring(60).tell(Worker.note, "in time")
        end = store.now() + 0.03
        await until(lambda: store.now() > end)
        gate.set()
        await s.idle()
        assert book.words == ["in time"]
        assert [letter.reason for letter in await letters(store)] == ["expired"]


async def test_a_message_that_expires_while_it_waits_for_its_retry_goes_to_quarantine(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    book.deeds["try"] = failing(1)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).expiring(0.005).tell(Worker.do, "try")
        await s.idle()
        (letter,) = await letters(store)
        assert (letter.reason, book.begun["try"] <= 1) == ("expired", True)


async def test_the_ways_to_send_go_together(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, order="keyed"), store=stores()) as s:
        ref = worker_ref(s).once("a").later(0.02).keyed("k").priority(3).expiring(60).within(2.0)
        await ref.tell(Worker.note, "first")
        await ref.tell(Worker.note, "second")
        await s.idle()
        assert book.words == ["first"]


async def test_an_actor_in_memory_can_keep_no_such_promise(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, Plain, "b"), store=stores()) as s:
        for ref in (plain_ref(s).once("x"), plain_ref(s).later(1), plain_ref(s).keyed("x"), plain_ref(s).priority(1)):
            with pytest.raises(NotDurable, match="/top/b"):
                await ref.tell(Plain.note, "x")
        assert book.words == []


async def test_a_full_mailbox_makes_senders_wait_until_there_is_room(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, max_depth=3), store=stores()) as s:
        gate = await occupied(worker_ref(s), book)
        for n in range(2):
            await worker_ref(s).tell(Worker.note, str(n))
        telling = [asyncio.create_task(worker_ref(s).tell(Worker.note, str(n))) for n in range(2, 10)]
        await turns()
        assert not any(task.done() for task in telling)
        gate.set()
        await asyncio.gather(*telling)
        await s.idle()
        assert sorted(book.words) == [str(n) for n in range(10)]


async def test_a_failed_write_leaves_the_room_that_it_would_have_taken(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, max_depth=1), store=store) as s:
        await s.idle()
        Weather(store).before.append(StoreUnavailable("the disk is full"))
        with pytest.raises(StoreUnavailable):
            await worker_ref(s).tell(Worker.note, "refused")
        async with asyncio.timeout(2):
            await worker_ref(s).tell(Worker.note, "accepted")
        await s.idle()
        assert book.words == ["accepted"]


TEXTS = {"no unicode": "\udcff", "a nul": "nul \0 in it", "empty": "", "long": "x" * 100_000}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_whatever_text_a_key_is_the_store_goes_on(system: Systems, stores: Stores, text: str) -> None:
    book = Book()
    book.deeds["rest"] = rest
    async with running(system, worker(book), store=stores()) as s:
        for way in ("once", "keyed"):
            try:
                async with asyncio.timeout(2):
                    await getattr(worker_ref(s), way)(text).tell(Worker.do, "rest")
            except ValueError:
                pass  # refused, and told so
        async with asyncio.timeout(2):
            await worker_ref(s).tell(Worker.note, "the next one")
            await s.idle()
        assert book.words == ["the next one"]
