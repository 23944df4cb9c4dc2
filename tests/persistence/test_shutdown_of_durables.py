"""The laws of stopping: what is in hand is finished or given back, what waits stays stored, nothing is lost."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from tests.actors.lives import Systems, a_gate, swallow
from tests.persistence.jobs import (
    Book,
    Clerk,
    Other,
    Plain,
    Stores,
    Worker,
    clerk_ref,
    held,
    letters,
    other_ref,
    plain_ref,
    rest,
    running,
    story,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import ActorError, Ref, SystemNotRunning
from upright.actors.testing import kill
from upright.persistence import Durable, StoreError
from upright.supervision import ChildSpec, Supervisor, pool

pytestmark = pytest.mark.anyio


async def test_a_handler_that_runs_may_finish_within_its_shutdown_time(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book).options(shutdown=5.0), store=store) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await worker_ref(s).tell(Worker.note, "x")
        await began.wait()
        stopping = asyncio.create_task(s.stop())
        await turns()
        assert not stopping.done()
        gate.set()
        await stopping
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert (book.begun["hold"], book.words) == (1, ["x"])


@pytest.mark.parametrize("shutdown", [0.01, "brutal"])
async def test_a_handler_that_is_cut_off_gives_its_attempt_back_without_an_error(
    system: Systems, stores: Stores, shutdown: Any
) -> None:
    book = Book()
    attempts: list[int] = []
    began = asyncio.Event()
    ids: list[int] = []

    @book.deed
    async def hang_thrice(me: Worker) -> None:
        attempts.append(me.ctx.delivery.attempt)
        ids.append(me.ctx.delivery.id)
        if len(attempts) < 4:
            await held(began, asyncio.Event())(me)

    for _ in range(3):
        began.clear()
        async with running(system, worker(book).options(shutdown=shutdown), store=stores()) as s:
            if not attempts:
                await worker_ref(s).tell(Worker.do, hang_thrice)
            await began.wait()
    store = stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        assert attempts == [1, 1, 1, 1]
        told = await story(store, ids[0])
        assert "failed" not in told
        assert told[-1] == "acked"
        assert await letters(store) == []


async def test_what_was_handed_out_ahead_is_handed_out_again_with_no_attempt_used(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    attempts: list[int] = []
    began = asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())

    @book.deed
    async def look(me: Worker) -> None:
        attempts.append(me.ctx.delivery.attempt)

    async with running(system, worker(book).options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        for _ in range(20):
            await worker_ref(s).tell(Worker.do, look)
        await began.wait()
    book.deeds["hold"] = rest
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert attempts == [1] * 20


async def test_nothing_that_is_stored_becomes_a_dead_letter(system: Systems, stores: Stores, dead_letters: Any) -> None:
    book = Book()
    began = asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    async with running(system, worker(book).options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        for n in range(5):
            await worker_ref(s).tell(Worker.note, str(n))
        await began.wait()
    assert dead_letters.all == []


@pytest.mark.parametrize("kind", ["one", "pool"])
async def test_after_a_stop_under_load_each_message_is_handled_exactly_once(
    system: Systems, stores: Stores, kind: str
) -> None:
    book = Book()

    class Free(Worker):
        mailbox = Durable("work", order="free")

        def __init__(self) -> None:
            super().__init__(book)

    def tree() -> ChildSpec[Any]:
        return worker(book) if kind == "one" else pool("a", Free, size=4)

    async with running(system, tree(), store=stores()) as s:
        await asyncio.gather(*(worker_ref(s).tell(Worker.note, str(n)) for n in range(1_000)))
        await until(lambda: len(book.words) > 100)
    first = len(book.words)
    for _ in range(3):
        async with running(system, tree(), store=stores()) as s:
            await turns(30)
    async with running(system, tree(), store=stores()) as s:
        await s.idle()
    assert first <= 1_000
    assert Counter(book.words) == Counter(str(n) for n in range(1_000))
    if kind == "one":
        assert book.words == [str(n) for n in range(1_000)]


async def test_what_a_tell_accepted_while_the_system_stops_is_handled_in_the_next(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    accepted: list[str] = []
    going = asyncio.Event()

    async def produce(ref: Ref[Worker], name: str) -> None:
        with contextlib.suppress(ActorError):
            for n in range(10_000):
                word = f"{name}{n}"
                await ref.tell(Worker.note, word)
                accepted.append(word)
                if n == 20:
                    going.set()

    async with running(system, worker(book), store=stores()) as s:
        producers = [asyncio.create_task(produce(worker_ref(s), name)) for name in "abc"]
        await going.wait()
        await s.stop()
    async with asyncio.timeout(5):
        await asyncio.gather(*producers)
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert Counter(book.words) == Counter(accepted) | Counter(book.words)
    assert set(accepted) <= set(book.words)


async def test_once_its_actors_have_ended_a_tell_is_refused_and_the_store_closes_though_producers_go_on(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    going, over = asyncio.Event(), asyncio.Event()
    errors: list[Exception] = []
    accepted: list[str] = []

    async def produce(ref: Ref[Worker], name: str) -> None:
        n = 0
        while not over.is_set():
            try:
                await ref.tell(Worker.note, f"{name}{n}")
            except (ActorError, StoreError) as error:
                errors.append(error)
                await asyncio.sleep(0)
            else:
                accepted.append(f"{name}{n}")
                going.set()
            n += 1

    async with running(system, worker(book), store=store) as s:
        producers = [asyncio.create_task(produce(worker_ref(s), name)) for name in "abc"]
        await going.wait()
        async with asyncio.timeout(4):
            await s.stop()
        await turns()
        over.set()
        await asyncio.gather(*producers)
        assert {type(error) for error in errors} == {SystemNotRunning}
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert Counter(book.words) == Counter(accepted)


async def test_the_end_of_an_actor_by_hand_keeps_its_mail_stored(
    system: Systems, stores: Stores, dead_letters: Any
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await worker_ref(s).tell(Worker.note, "x")
        await began.wait()
        top = s.ref("/top", Supervisor)
        ending = asyncio.create_task(top.ask(Supervisor.terminate_child, "a"))
        await turns()
        gate.set()
        await ending
        await s.idle()
        assert book.words == []
        counts = await store.counts()
        assert (counts["work"].waiting, counts["work"].claimed) == (1, 0)
        await top.ask(Supervisor.restart_child, "a")
        await s.idle()
        assert book.words == ["x"]
    assert dead_letters.all == []


async def test_a_message_whose_handler_swallowed_its_cancellation_is_handled_again(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began = asyncio.Event()
    async with a_gate() as gate:

        @book.deed
        async def stay(me: Worker) -> None:
            if book.begun[stay] == 1:
                began.set()
                await swallow(gate)(me)
            book.add("done")

        tree = worker(book)
        async with running(system, tree, store=store, max_restarts=5) as s:
            s._runtime.grace = 0.01  # type: ignore[union-attr]
            await worker_ref(s).tell(Worker.do, stay)
            await began.wait()
            await kill(s, worker_ref(s))
            await s.idle()
            assert book.words == ["done"]
            assert await letters(store) == []


async def test_a_zombie_cannot_write_its_outcome_any_more(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began = asyncio.Event()
    async with a_gate() as gate:

        @book.deed
        async def stay(me: Clerk) -> None:
            if book.begun[stay] == 1:
                began.set()
                await swallow(gate)(me)
                me.state.total += 1_000
                return
            me.state.total += 1

        async with running(system, worker(book, Clerk), store=store, max_restarts=5) as s:
            s._runtime.grace = 0.01  # type: ignore[union-attr]
            await clerk_ref(s).tell(Clerk.do, stay)
            await began.wait()
            await kill(s, clerk_ref(s))
            await s.idle()
            gate.set()
            await turns(20)
            assert await clerk_ref(s).ask(Clerk.book_in, 0) == 1
            await s.idle()
        async with running(system, worker(book, Clerk), store=stores()) as s:
            assert await clerk_ref(s).ask(Clerk.book_in, 0) == 1


async def test_messages_go_on_between_actors_while_one_of_them_is_down(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def pass_on(me: Worker) -> None:
        await me.ctx.ref("b", Other).tell(Other.note, "x")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        top = s.ref("/top", Supervisor)
        await top.ask(Supervisor.terminate_child, "b")
        await worker_ref(s).tell(Worker.do, pass_on)
        await s.idle()
        await top.ask(Supervisor.restart_child, "b")
        await s.idle()
        assert book.words == ["x"]


async def test_a_tell_to_a_durable_actor_that_is_down_is_stored_for_it(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book, Other, "b"), worker(book, Plain, "c"), store=stores()) as s:
        top = s.ref("/top", Supervisor)
        await top.ask(Supervisor.terminate_child, "b")
        await other_ref(s).tell(Other.note, "x")
        await top.ask(Supervisor.restart_child, "b")
        await s.idle()
        assert book.words == ["x"]
        assert await plain_ref(s, "c").ask(Plain.note, "y") == "y"
