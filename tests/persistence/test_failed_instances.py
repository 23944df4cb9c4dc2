"""The laws of the instance whose delivery failed: a fresh one takes its place, and no supervisor hears of it."""

import asyncio

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Plain,
    Stores,
    Worker,
    failing,
    held,
    letters,
    plain_ref,
    running,
    until,
    worker,
    worker_ref,
)
from upright.actors import Down, Exit, Refuse
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, kill
from upright.persistence import Durable, Retry
from upright.persistence.events import DeliveryFailed

pytestmark = pytest.mark.anyio
ONCE = Retry(max_attempts=1)


async def test_a_fresh_instance_handles_the_next_message(system: Systems, stores: Stores) -> None:
    book = Book()
    seen: list[Worker] = []

    @book.deed
    async def spoil(me: Worker) -> None:
        seen.append(me)
        me.memory["broken"] = True
        raise Oops("on purpose")

    @book.deed
    async def look(me: Worker) -> None:
        seen.append(me)
        assert me.memory == {}

    async with running(system, worker(book, retry=ONCE), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, spoil)
        await worker_ref(s).tell(Worker.do, look)
        await worker_ref(s).tell(Worker.do, look)
        await s.idle()
        first, second, third = seen
        assert first is not second
        assert second is third
        assert book.begun["started"] == len(book.made) == 2


async def test_a_retry_meets_a_fresh_instance_too(system: Systems, stores: Stores) -> None:
    book = Book()
    seen: list[int] = []

    @book.deed
    async def look(me: Worker) -> None:
        seen.append(len(me.memory))
        me.memory["been here"] = True
        raise Oops("on purpose")

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, look)
        await s.idle()
        assert seen == [0, 0, 0]
        assert book.begun["started"] == 4


async def test_a_refusal_leaves_the_instance_as_it_was(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def refuse(me: Worker) -> None:
        me.memory["kept"] = True
        raise Refuse("not today")

    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, refuse)
        await s.idle()
        (letter,) = await letters(store)
        assert (letter.reason, len(letter.attempts)) == ("rejected", 1)
        assert "not today" in letter.attempts[0].error
        assert [one.memory for one in book.made] == [{"kept": True}]


async def test_fifty_failing_messages_do_not_touch_the_supervisors_budget(
    system: Systems, stores: Stores, recorders: list[Recorder]
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        for n in range(50):
            await worker_ref(s).tell(Worker.do, "fail")
            await worker_ref(s).tell(Worker.note, str(n))
        await s.idle()
        assert book.words == [str(n) for n in range(50)]
        assert len(await letters(store)) == 50
        assert len(recorders[0].of(DeliveryFailed)) == 50
        assert recorders[0].of(ActorStopped) == []
        assert s.running


async def test_a_ref_survives_a_failed_delivery_and_nobody_who_watches_hears_of_it(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    downs: list[object] = []

    class Watcher(Plain):
        async def started(self) -> None:
            self.ctx.watch(self.ctx.ref("a", Worker), Watcher.down)

        async def down(self, down: Down) -> None:
            downs.append(down)

    async with running(system, worker(book, retry=ONCE), worker(book, Watcher, "b"), store=stores()) as s:
        ref = worker_ref(s)
        await ref.tell(Worker.do, "fail")
        await ref.tell(Worker.note, "x")
        await s.idle()
        assert (book.words, downs) == (["x"], [])


async def test_stopping_is_called_for_the_instance_that_failed(system: Systems, stores: Stores) -> None:
    book = Book()

    class Leaving(Worker):
        mailbox = Durable("work", retry=ONCE)

        async def stopping(self, reason: Exit) -> None:
            book.add(f"{type(reason).__name__} {book.made.index(self)}")

    async with running(system, worker(book, Leaving), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        assert (book.words, book.begun["started"]) == (["Failed 0"], 2)


async def test_timers_and_tasks_of_the_instance_that_failed_end_with_it(system: Systems, stores: Stores) -> None:
    book = Book()
    gate = asyncio.Event()
    ends: list[str] = []

    @book.deed
    async def leave_things(me: Worker) -> None:
        me.ctx.after(0.01, Worker.note, "a tick")

        async def beside() -> None:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        me.ctx.background(beside())
        await asyncio.sleep(0)
        raise Oops("on purpose")

    async with running(system, worker(book, retry=ONCE), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, leave_things)
        await s.idle()
        assert (book.words, ends) == ([], ["cancelled"])


async def test_an_overlapping_handler_is_not_charged_for_the_failure_of_another(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    done: list[str] = []

    @book.deed
    async def slow(me: Worker) -> None:
        await held(began, gate)(me)
        done.append("slow")

    @book.deed
    async def bad(_: Worker) -> None:
        await began.wait()
        raise Oops("on purpose")

    async with running(system, worker(book, retry=ONCE), store=store) as s:
        await worker_ref(s).tell(Worker.overlap, slow)
        await worker_ref(s).tell(Worker.overlap, bad)
        await until(lambda: book.begun["started"] == 2 or book.begun[bad] == 1)
        gate.set()
        await s.idle()
        assert done == ["slow"]
        assert len(await letters(store)) == 1


async def test_a_crash_in_started_keeps_the_mail_for_the_incarnation_that_its_supervisor_begins(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()

    async def fail_the_second(_: Worker) -> None:
        if book.begun["started"] == 2:
            raise Oops("on purpose")

    book.at_start = fail_the_second
    book.deeds["try"] = failing(1)
    async with running(system, worker(book, retry=QUICK), store=store, max_restarts=5) as s:
        await worker_ref(s).tell(Worker.do, "try")
        for n in range(20):
            await worker_ref(s).tell(Worker.note, str(n))
        await s.idle()
        assert book.words == [str(n) for n in range(20)]
        assert (book.begun["started"], await letters(store)) == (3, [])


async def test_one_that_is_killed_gives_its_message_back_and_the_next_incarnation_handles_it(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began = asyncio.Event()
    attempts: list[int] = []

    @book.deed
    async def hang_once(me: Worker) -> None:
        attempts.append(me.ctx.delivery.attempt)
        if len(attempts) == 1:
            await held(began, asyncio.Event())(me)

    async with running(system, worker(book), store=store, max_restarts=5) as s:
        await worker_ref(s).tell(Worker.do, hang_once)
        await worker_ref(s).tell(Worker.note, "x")
        await began.wait()
        await kill(s, worker_ref(s))
        await s.idle()
        assert (attempts, book.words, await letters(store)) == ([1, 1], ["x"], [])


async def test_a_durable_child_of_a_plain_actor_is_renewed_like_any_other(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def have_a_child(me: Plain) -> str:
        ref = await me.ctx.spawn("kid", Worker, book)
        return ref.path

    async with running(system, worker(book, Plain, "b"), store=stores()) as s:
        path = await plain_ref(s).ask(Plain.do, have_a_child)
        kid = s.ref(path, Worker)
        book.deeds["try"] = failing(2)
        await kid.tell(Worker.do, "try")
        await kid.tell(Worker.note, "x")
        await s.idle()
        assert (book.words, book.begun["try"]) == (["x"], 3)
