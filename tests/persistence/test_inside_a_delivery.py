"""The laws of what a handler tells and asks while it has a durable message in hand."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Stores,
    Weather,
    Worker,
    failing,
    letters,
    other_ref,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import Ref, Refuse
from upright.actors.errors import NotDurable, WrongArguments
from upright.persistence import StoreUnavailable

pytestmark = pytest.mark.anyio


async def test_what_a_handler_tells_is_seen_by_nobody_before_its_ack_is_committed(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    told, gate = asyncio.Event(), asyncio.Event()

    @book.deed
    async def tell_and_wait(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "x")
        told.set()
        await gate.wait()

    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        await worker_ref(s).tell(Worker.do, tell_and_wait)
        await told.wait()
        await turns()
        assert "other" not in await store.counts()
        assert book.words == []
        gate.set()
        await s.idle()
        assert book.words == ["x"]


async def test_a_handler_that_raises_after_it_told_leaves_none_of_it(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def tell_and_fail(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "x")
        raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        await worker_ref(s).tell(Worker.do, tell_and_fail)
        await s.idle()
        assert book.begun[tell_and_fail] == 3
        assert book.words == []
        assert "other" not in await store.counts()


async def test_what_was_told_stands_once_however_often_the_handler_had_to_run(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def tell_and_fail_twice(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, f"x{me.ctx.delivery.attempt}")
        if me.ctx.delivery.attempt < 3:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, tell_and_fail_twice)
        await s.idle()
        assert book.words == ["x3"]


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_tells_for_the_handler_tells_in_its_delivery(
    system: Systems, stores: Stores, fails: bool
) -> None:
    book = Book()
    outside: list[Ref[Other]] = []

    async def helper(word: str) -> None:
        await outside[0].tell(Other.note, word)

    @book.deed
    async def delegate(me: Worker) -> None:
        await helper("called")
        await asyncio.gather(helper("gathered"), asyncio.create_task(helper("a task")))
        async with asyncio.TaskGroup() as group:
            group.create_task(helper("grouped"))
        if fails:
            raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        outside.append(other_ref(s))
        await worker_ref(s).tell(Worker.do, delegate)
        await s.idle()
        assert sorted(book.words) == ([] if fails else ["a task", "called", "gathered", "grouped"])


async def test_a_task_that_outlives_its_handler_sends_as_an_outsider(system: Systems, stores: Stores) -> None:
    book = Book()
    gate = asyncio.Event()
    left: list[asyncio.Task[None]] = []

    @book.deed
    async def leave_a_task(me: Worker) -> None:
        ref = me.ctx.ref("b", Other)

        async def later() -> None:
            await gate.wait()
            await ref.tell(Other.note, "late")

        left.append(asyncio.create_task(later()))
        raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, leave_a_task)
        await s.idle()
        assert (len(left), book.words) == (3, [])
        gate.set()
        await asyncio.gather(*left)
        await s.idle()
        assert book.words == ["late"] * 3


async def test_a_task_that_outlives_its_handler_never_sends_in_the_next_delivery(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    gate, told = asyncio.Event(), asyncio.Event()
    left: list[asyncio.Task[None]] = []

    @book.deed
    async def leave_a_task(me: Worker) -> None:
        ref = me.ctx.ref("b", Other)

        async def later() -> None:
            await gate.wait()
            await ref.tell(Other.note, "late")
            told.set()

        left.append(asyncio.create_task(later()))

    @book.deed
    async def let_it_tell_and_fail(_: Worker) -> None:
        gate.set()
        await told.wait()
        raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, leave_a_task)
        await worker_ref(s).tell(Worker.do, let_it_tell_and_fail)
        await s.idle()
        assert book.words == ["late"]


async def test_what_an_actor_tells_in_started_is_told_at_once(system: Systems, stores: Stores) -> None:
    book = Book()

    async def tell(me: Worker) -> None:
        if isinstance(me, Worker):
            await me.ctx.ref("b", Other).tell(Other.note, "from the start")

    book.at_start = tell
    async with running(system, worker(book, Other, "b"), worker(book), store=stores()) as s:
        await s.idle()
        assert book.words == ["from the start"]


async def test_an_overlapping_handler_stages_for_itself_alone(system: Systems, stores: Stores) -> None:
    book = Book()
    both = asyncio.Barrier(2)

    @book.deed
    async def good(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "good")
        await both.wait()

    @book.deed
    async def bad(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "bad")
        if me.ctx.delivery.attempt == 1:
            await both.wait()
            await turns()
        raise Oops("on purpose")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.overlap, good)
        await worker_ref(s).tell(Worker.overlap, bad)
        await s.idle()
        assert book.words == ["good"]


async def test_try_tell_to_a_durable_actor_is_refused(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        with pytest.raises(NotDurable, match="/top/a"):
            worker_ref(s).try_tell(Worker.note, "x")
        await s.idle()
        assert book.words == []


async def test_two_messages_with_one_key_told_in_one_delivery_are_one(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def tell_twice(me: Worker) -> None:
        for word in ("first", "second"):
            await me.ctx.ref("b", Other).once("key").tell(Other.note, word)

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, tell_twice)
        await s.idle()
        assert book.words == ["first"]


async def test_an_actor_may_tell_itself_and_hears_it_after_the_message_in_hand(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def count_down(me: Worker) -> None:
        book.add(str(left := me.book.begun[count_down]))
        if left < 5:
            ref: Ref[Worker] = me.ctx.self_ref
            await ref.tell(Worker.do, count_down)
        book.add("done")

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, count_down)
        await s.idle()
        assert book.words == ["1", "done", "2", "done", "3", "done", "4", "done", "5", "done"]


async def test_the_outcome_of_a_handler_waits_for_a_store_that_fails_and_its_tells_with_it(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    told = asyncio.Event()

    @book.deed
    async def tell(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "x")
        weather.before += [StoreUnavailable("the disk is full")] * 2
        told.set()

    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        weather = Weather(store)
        await worker_ref(s).tell(Worker.do, tell)
        await told.wait()
        await until(lambda: book.words == ["x"])
        await s.idle()
        assert book.begun[tell] == 1


async def test_what_cannot_be_encoded_is_refused_where_it_is_told(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def tell_nonsense(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, 5)  # type: ignore[arg-type]

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        with pytest.raises(WrongArguments, match="expected word to be str, got int"):
            await other_ref(s).tell(Other.note, 5)  # type: ignore[arg-type]
        with pytest.raises(Refuse, match="expected word to be str, got int"):
            await worker_ref(s).ask(Worker.do, tell_nonsense)


async def test_a_failing_attempt_keeps_nothing_of_what_the_one_before_told(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    async def tell(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "at last")

    book.deeds["try"] = failing(2, tell)
    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        await worker_ref(s).tell(Worker.do, "try")
        await s.idle()
        assert book.words == ["at last"]
        assert await letters(store) == []
