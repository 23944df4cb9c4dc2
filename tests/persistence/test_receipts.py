"""The laws of the receipt that a tell brings, and of what stays known under an idempotency key."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Plain,
    Stores,
    Worker,
    held,
    letters,
    plain_ref,
    rest,
    running,
    story,
    turns,
    worker,
    worker_ref,
)
from upright.actors import ActorFailed, Receipt, Refuse
from upright.persistence import Retry, discard

pytestmark = pytest.mark.anyio


async def refuse(_: object) -> None:
    raise Refuse("not today")


async def got(receipt: Receipt | None) -> Receipt:
    assert receipt is not None
    return receipt


async def test_a_tell_brings_the_id_of_the_message_whose_story_it_opens(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    seen: list[int] = []

    @book.deed
    async def look(me: Worker) -> None:
        seen.append(me.ctx.delivery.id)

    async with running(system, worker(book), store=store) as s:
        receipt = await got(await worker_ref(s).tell(Worker.do, look))
        await s.idle()
        assert (seen, receipt.duplicate) == ([receipt.id], False)
        assert await story(store, receipt.id) == ["stored", "claimed", "acked"]


async def test_the_receipt_of_a_duplicate_is_that_of_the_first(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        first = await got(await worker_ref(s).once("key").tell(Worker.note, "x"))
        assert await worker_ref(s).once("key").tell(Worker.note, "y") == Receipt(first.id, duplicate=True)
        await s.idle()
        assert await worker_ref(s).once("key").tell(Worker.note, "z") == Receipt(first.id, duplicate=True)


async def test_tell_many_brings_one_for_each_in_order(system: Systems, stores: Stores) -> None:
    book = Book()
    ids: list[int] = []

    async with running(system, worker(book), store=stores()) as s:

        @book.deed
        async def look(me: Worker) -> None:
            ids.append(me.ctx.delivery.id)

        receipts = await worker_ref(s).tell_many(Worker.do, [look] * 5)
        assert await worker_ref(s).tell_many(Worker.do, []) == []
        await s.idle()
        assert [receipt.id for receipt in receipts] == ids
        assert len(set(ids)) == 5


async def test_there_is_none_in_memory_and_none_yet_inside_a_delivery(system: Systems, stores: Stores) -> None:
    book = Book()
    seen: list[object] = []

    @book.deed
    async def tell(me: Worker) -> None:
        other, plain = me.ctx.ref("b", Other), me.ctx.ref("c", Plain)
        seen.extend([await other.tell(Other.note, "1"), await other.tell_many(Other.note, ["2", "3"])])
        seen.extend([await plain.tell(Plain.note, "4"), await plain.tell_many(Plain.note, ["5"])])

    async with running(system, worker(book), worker(book, Other, "b"), worker(book, Plain, "c"), store=stores()) as s:
        assert await plain_ref(s, "c").tell(Plain.note, "0") is None
        assert await plain_ref(s, "c").tell_many(Plain.note, ["0"]) == []
        await worker_ref(s).tell(Worker.do, tell)
        await s.idle()
        assert seen == [None, [], None, []]
        assert sorted(book.words) == ["0", "0", "1", "2", "3", "4", "5"]


async def test_an_actor_that_is_no_delivery_gets_its_receipt(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def tell(me: Plain) -> None:
        await got(await me.ctx.ref("a", Worker).tell(Worker.note, "x"))

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        await plain_ref(s).ask(Plain.do, tell)
        await s.idle()
        assert book.words == ["x"]


async def test_a_tell_to_an_actor_that_runs_elsewhere_or_not_at_all_brings_one_too(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    async with running(system, store=store) as s:
        receipt = await got(await worker_ref(s).tell(Worker.note, "x"))
        assert await story(store, receipt.id) == ["stored"]


async def test_what_was_told_can_be_taken_back_by_its_receipt_and_its_key_is_free_then(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book, window=1), store=store) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        first = await got(await worker_ref(s).once("key").tell(Worker.note, "first"))
        assert await store.cancel(first.id)
        second = await got(await worker_ref(s).once("key").tell(Worker.note, "second"))
        assert (second.duplicate, second.id != first.id) == (False, True)
        gate.set()
        await s.idle()
        assert book.words == ["second"]
        assert await worker_ref(s).once("key").tell(Worker.note, "third") == Receipt(second.id, duplicate=True)


@pytest.mark.parametrize("first", ["tell", "tell later"])
async def test_what_a_tell_with_a_key_returned_is_the_answer_to_a_later_ask(
    system: Systems, stores: Stores, first: str
) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        ref = worker_ref(s).once("key")
        await (ref if first == "tell" else ref.later(0.02)).tell(Worker.note, "x")
        if first == "tell":
            await s.idle()
        assert await ref.within(3.0).ask(Worker.note, "y") == "x"
    async with running(system, worker(book), store=stores()) as s:
        assert await worker_ref(s).once("key").ask(Worker.note, "z") == "x"
        assert book.words == ["x"]


async def test_what_several_askers_of_one_key_get_is_the_same_answer_whenever_they_come(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()

    async def answer(me: Worker) -> str:
        await held(began, gate)(me)
        return "the answer"

    book.deeds["hold"] = answer
    async with running(system, worker(book), store=stores()) as s:
        ref = worker_ref(s).once("key").within(3.0)
        asking = [asyncio.create_task(ref.ask(Worker.do, "hold")) for _ in range(3)]
        await began.wait()
        asking.append(asyncio.create_task(ref.ask(Worker.do, "hold")))
        await turns()
        asking[0].cancel()
        gate.set()
        assert await asyncio.gather(*asking[1:]) == ["the answer"] * 3
        assert await ref.ask(Worker.do, "hold") == "the answer"
        assert book.begun["hold"] == 1


async def test_a_refused_tell_with_a_key_is_rejected_and_a_later_ask_hears_the_refusal(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    book.deeds["refuse"] = refuse
    async with running(system, worker(book), store=store) as s:
        ref = worker_ref(s).once("key").within(3.0)
        await ref.tell(Worker.do, "refuse")
        await s.idle()
        assert [letter.reason for letter in await letters(store)] == ["rejected"]
        with pytest.raises(Refuse, match="not today"):
            await ref.ask(Worker.do, "refuse")
        assert book.begun["refuse"] == 1


@pytest.mark.parametrize("how", ["quarantined", "discarded", "expired"])
async def test_an_ask_with_the_key_of_a_tell_that_failed_fails_at_once(
    system: Systems, stores: Stores, how: str
) -> None:
    book = Book()
    policy = Retry(max_attempts=1) if how == "quarantined" else Retry(classify=lambda _: discard())
    async with running(system, worker(book, retry=policy), store=stores()) as s:
        ref = worker_ref(s).once("key")
        if how == "expired":
            await ref.later(0.03).expiring(0.01).tell(Worker.note, "x")
        else:
            await ref.tell(Worker.do, "fail")
        await s.idle()
        with pytest.raises(ActorFailed, match=how):
            await ref.ask(Worker.note, "y")


async def test_an_ask_whose_first_ended_without_a_reply_fails_at_once(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    engine: Any = store._engine
    write = engine.write

    async def write_without_replies(batch: Any) -> Any:
        """As a store did that kept those of asks alone."""
        batch.steps = [msgspec.structs.replace(step, reply=None) for step in batch.steps]
        return await write(batch)

    async with running(system, worker(book), store=store) as s:
        engine.write = write_without_replies
        await worker_ref(s).once("key").tell(Worker.note, "x")
        await s.idle()
        with pytest.raises(ActorFailed, match="without a reply"):
            await worker_ref(s).once("key").within(3.0).ask(Worker.note, "y")


async def test_an_ask_whose_first_was_discarded_by_hand_fails_at_once(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        receipt = await got(await worker_ref(s).once("key").tell(Worker.do, "fail"))
        await s.idle()
        assert await store.quarantine.discard(receipt.id) == 1
        with pytest.raises(ActorFailed):
            await worker_ref(s).once("key").within(3.0).ask(Worker.note, "y")


async def test_whoever_asks_with_the_key_of_one_that_was_redriven_gets_the_new_answer(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        receipt = await got(await worker_ref(s).once("key").tell(Worker.do, "fail"))
        await s.idle()
        book.deeds["fail"] = rest
        await store.quarantine.redrive(receipt.id)
        assert await worker_ref(s).once("key").within(3.0).ask(Worker.do, "fail") is None
        assert await letters(store) == []
