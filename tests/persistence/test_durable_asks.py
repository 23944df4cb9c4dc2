"""The laws of asking a durable actor: from outside, and from inside a delivery."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Other,
    Plain,
    Stores,
    Worker,
    failing,
    held,
    letters,
    plain_ref,
    rest,
    running,
    story,
    worker,
    worker_ref,
)
from upright.actors import ActorFailed, AskTimedOut, Refuse
from upright.actors.errors import AskCycle
from upright.persistence import NotStaged, Retry, discard

pytestmark = pytest.mark.anyio


async def refuse(_: object) -> None:
    raise Refuse("not today")


async def test_an_ask_from_outside_returns_the_reply(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        assert await worker_ref(s).ask(Worker.note, "x") == "x"


async def test_a_refusal_reaches_the_asker_and_ends_the_message(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    book.deeds["refuse"] = refuse
    async with running(system, worker(book), store=store) as s:
        with pytest.raises(Refuse, match="not today"):
            await worker_ref(s).ask(Worker.do, "refuse")
        await s.idle()
        assert (book.begun["refuse"], await letters(store), len(book.made)) == (1, [], 1)


async def test_an_asker_waits_through_the_retries(system: Systems, stores: Stores) -> None:
    book = Book()

    async def answer(_: Worker) -> str:
        return "at last"

    book.deeds["try"] = failing(2, answer)
    async with running(system, worker(book), store=stores()) as s:
        assert await worker_ref(s).ask(Worker.do, "try") == "at last"


async def test_an_asker_whose_message_goes_to_quarantine_is_told_that_it_failed(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        with pytest.raises(ActorFailed, match=r"attempts.*Oops"):
            await worker_ref(s).ask(Worker.do, "fail")
        assert [letter.reason for letter in await letters(store)] == ["attempts"]


async def test_an_asker_whose_message_is_discarded_is_told_that_it_failed(system: Systems, stores: Stores) -> None:
    book = Book()
    policy = Retry(classify=lambda _: discard())
    async with running(system, worker(book, retry=policy), store=stores()) as s:
        with pytest.raises(ActorFailed):
            await worker_ref(s).within(2.0).ask(Worker.do, "fail")


async def test_an_asker_whose_message_expires_is_told_that_it_failed(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        with pytest.raises(ActorFailed, match="expired"):
            await worker_ref(s).later(0.05).expiring(0.01).within(2.0).ask(Worker.note, "x")


async def test_an_ask_that_timed_out_is_handled_later_all_the_same(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        with pytest.raises(AskTimedOut):
            await worker_ref(s).within(0.02).ask(Worker.note, "x")
        assert book.words == []
        gate.set()
        await s.idle()
        assert book.words == ["x"]


async def test_an_ask_that_timed_out_names_the_message(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        with pytest.raises(AskTimedOut) as caught:
            await worker_ref(s).within(0.02).ask(Worker.note, "x")
        id = getattr(caught.value, "message", None)
        assert isinstance(id, int)
        assert (await story(store, id))[0] == "stored"
        gate.set()


async def test_an_actor_in_memory_may_ask_a_durable_one(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def ask(me: Plain) -> str:
        return await me.ctx.ref("a", Worker).ask(Worker.note, "x")

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        assert await plain_ref(s).ask(Plain.do, ask) == "x"


async def test_an_actor_in_memory_may_hand_an_ask_on_to_a_durable_one(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def hand_on(me: Plain) -> str:
        return await me.ctx.forward(me.ctx.ref("a", Worker), Worker.note, "x")

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        assert await plain_ref(s).ask(Plain.do, hand_on) == "x"


async def test_a_durable_actor_that_hands_an_ask_on_does_not_answer_it_wrongly(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def hand_on(me: Worker) -> str:
        return await me.ctx.forward(me.ctx.ref("b", Plain), Plain.note, "x")

    async with running(system, worker(book), worker(book, Plain, "b"), store=stores()) as s:
        try:
            answer = await worker_ref(s).ask(Worker.do, hand_on)
        except ActorFailed:
            return  # refused: that is honest too
        assert answer == "x"


async def test_an_ask_in_a_delivery_is_put_at_once_and_a_retry_meets_its_stored_reply(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    replies: list[object] = []

    @book.deed
    async def count(_: Other) -> int:
        return book.begun[count]

    @book.deed
    async def ask(me: Worker) -> None:
        replies.append(await me.ctx.ref("b", Other).ask(Other.do, count))
        if me.ctx.delivery.attempt < 3:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert replies == [1, 1, 1]
        assert book.begun[count] == 1


async def test_the_same_ask_of_another_delivery_is_another_ask(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def ask(me: Worker) -> None:
        await me.ctx.ref("b", Other).ask(Other.note, "x")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        for _ in range(2):
            await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert book.words == ["x", "x"]


async def test_the_same_ask_twice_in_one_delivery_is_two_asks(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def ask(me: Worker) -> None:
        for _ in range(2):
            await me.ctx.ref("b", Other).ask(Other.note, "x")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert book.words == ["x", "x"]


async def test_a_retry_that_asks_something_else_does_not_meet_the_reply_to_another_question(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    replies: list[str] = []

    @book.deed
    async def ask(me: Worker) -> None:
        word = "first" if me.ctx.delivery.attempt == 1 else "second"
        replies.append(await me.ctx.ref("b", Other).ask(Other.note, word))
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert replies == ["first", "second"]


async def test_asks_that_are_gathered_meet_their_own_replies_in_whatever_order_a_retry_puts_them(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    replies: list[list[str]] = []

    @book.deed
    async def ask(me: Worker) -> None:
        other = me.ctx.ref("b", Other)
        words = ["x", "y"] if me.ctx.delivery.attempt == 1 else ["y", "x"]
        replies.append(list(await asyncio.gather(*(other.ask(Other.note, word) for word in words))))
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert replies == [["x", "y"], ["y", "x"]]
        assert sorted(book.words) == ["x", "y"]


async def test_a_retry_meets_a_stored_refusal_too(system: Systems, stores: Stores) -> None:
    book = Book()
    heard: list[str] = []
    book.deeds["refuse"] = refuse

    @book.deed
    async def ask(me: Worker) -> None:
        with pytest.raises(Refuse) as caught:
            await me.ctx.ref("b", Other).ask(Other.do, "refuse")
        heard.append(str(caught.value))
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert heard == ["not today"] * 2
        assert book.begun["refuse"] == 1


async def test_a_retry_hears_at_once_that_what_it_asked_is_in_quarantine(system: Systems, stores: Stores) -> None:
    book = Book()
    heard: list[type] = []

    @book.deed
    async def ask(me: Worker) -> None:
        try:
            await me.ctx.ref("b", Other).within(2.0).ask(Other.do, "fail")
        except (ActorFailed, AskTimedOut) as error:
            heard.append(type(error))
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, ask)
        await s.idle()
        assert heard == [ActorFailed, ActorFailed]


async def test_an_ask_is_refused_while_something_told_to_the_same_address_is_staged(
    system: Systems, stores: Stores
) -> None:
    book = Book()

    @book.deed
    async def tell_then_ask(me: Worker) -> str:
        await me.ctx.ref("b", Other).tell(Other.note, "staged")
        with pytest.raises(NotStaged, match="other"):
            await me.ctx.ref("b", Other).ask(Other.note, "asked")
        return await me.ctx.ref("c", Plain).ask(Plain.note, "another")

    async with running(system, worker(book), worker(book, Other, "b"), worker(book, Plain, "c"), store=stores()) as s:
        assert await worker_ref(s).ask(Worker.do, tell_then_ask) == "another"
        await s.idle()
        assert book.words == ["another", "staged"]


async def test_an_actor_that_would_wait_for_itself_is_refused_the_ask(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def ask_itself(me: Worker) -> str:
        with pytest.raises(AskCycle):
            await me.ctx.ref("a", Worker).ask(Worker.note, "x")
        return "refused"

    async with running(system, worker(book), store=stores()) as s:
        assert await worker_ref(s).ask(Worker.do, ask_itself) == "refused"


async def test_the_second_ask_with_a_key_is_answered_as_the_first_was(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        ref = worker_ref(s).once("key")
        assert await ref.ask(Worker.note, "first") == "first"
        assert await ref.ask(Worker.note, "second") == "first"
        assert await asyncio.gather(*(ref.ask(Worker.note, "more") for _ in range(20))) == ["first"] * 20
        assert book.words == ["first"]


async def test_an_ask_with_the_key_of_a_tell_is_answered_with_what_the_handler_returned(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        ref = worker_ref(s).once("key").within(1.0)
        await ref.tell(Worker.note, "first")
        assert await ref.ask(Worker.note, "second") == "first"


async def test_an_ask_whose_asker_has_gone_is_handled_all_the_same(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book, retry=QUICK), store=stores()) as s:
        asking = asyncio.create_task(worker_ref(s).ask(Worker.do, "hold"))
        await began.wait()
        asking.cancel()
        gate.set()
        await s.idle()
        assert book.begun["hold"] == 1
        assert await worker_ref(s).ask(Worker.note, "x") == "x"
    book.deeds["hold"] = rest
