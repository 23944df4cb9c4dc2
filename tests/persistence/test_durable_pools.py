"""The laws of durable mailboxes with several workers, and of several actors on one address."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Stores,
    Worker,
    failing,
    held,
    letters,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import Actor, ActorFailed, StartFailed
from upright.persistence import Durable, Retry, StoreError
from upright.supervision import ChildSpec, Pool, Supervisor, child, pool

pytestmark = pytest.mark.anyio


def workers(book: Book, size: int, **options: Any) -> ChildSpec[Any]:
    """A pool at `/top/a` of workers that write into the book."""
    chosen: dict[str, Any] = {"order": "free", "retry": QUICK, **options}

    class Member(Worker):
        mailbox = Durable("work", **chosen)

        def __init__(self) -> None:
            super().__init__(book)

    return pool("a", Member, size=size)


async def test_each_message_is_handled_once_by_one_of_them(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, workers(book, 4), store=stores()) as s:
        await asyncio.gather(*(worker_ref(s).tell(Worker.note, str(n)) for n in range(500)))
        await s.idle()
        assert Counter(book.words) == Counter(str(n) for n in range(500))


async def test_they_work_at_the_same_time(system: Systems, stores: Stores) -> None:
    book = Book()
    together = asyncio.Barrier(4)

    @book.deed
    async def meet(_: Worker) -> None:
        await together.wait()

    async with running(system, workers(book, 4), store=stores()) as s:
        for _ in range(8):
            await worker_ref(s).tell(Worker.do, meet)
        await s.idle()
        assert book.begun[meet] == 8


async def test_a_pool_is_asked_like_one_actor(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, workers(book, 3), store=stores()) as s:
        replies = await asyncio.gather(*(worker_ref(s).ask(Worker.note, str(n)) for n in range(50)))
        assert replies == [str(n) for n in range(50)]
        with pytest.raises(ActorFailed, match="attempts"):
            await worker_ref(s).ask(Worker.do, "fail")


async def test_a_message_that_fails_costs_a_worker_its_instance_and_no_restart(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, workers(book, 2, retry=Retry(max_attempts=1)), store=store) as s:
        for n in range(30):
            await worker_ref(s).tell(Worker.do, "fail")
            await worker_ref(s).tell(Worker.note, str(n))
        await s.idle()
        assert Counter(book.words) == Counter(str(n) for n in range(30))
        assert len(await letters(store)) == 30


async def test_messages_that_wait_for_a_retry_are_passed(system: Systems, stores: Stores) -> None:
    book = Book()
    book.deeds["try"] = failing(2)
    async with running(system, workers(book, 2), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "try")
        for n in range(20):
            await worker_ref(s).tell(Worker.note, str(n))
        await s.idle()
        assert (book.begun["try"], len(book.words)) == (3, 20)


async def test_two_of_one_key_never_run_at_the_same_time(system: Systems, stores: Stores) -> None:
    book = Book()
    running_now: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def work(me: Worker, key: str) -> None:
        running_now[key] += 1
        most[key] = max(most[key], running_now[key])
        await turns(5)
        running_now[key] -= 1
        book.add(key)

    for key in ("x", "y", "z"):

        async def deed(me: Worker, key: str = key) -> None:
            await work(me, key)

        book.deeds[key] = deed
    async with running(system, workers(book, 4, order="keyed"), store=stores()) as s:
        for _ in range(10):
            for key in ("x", "y", "z"):
                await worker_ref(s).keyed(key).tell(Worker.do, key)
        await s.idle()
        assert most == {"x": 1, "y": 1, "z": 1}
        assert Counter(book.words) == {"x": 10, "y": 10, "z": 10}


async def test_a_strict_pool_runs_one_at_a_time_in_order(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, workers(book, 3, order="strict"), store=stores()) as s:
        book.deeds["try"] = failing(1)
        await worker_ref(s).tell(Worker.do, "try")
        for n in range(30):
            await worker_ref(s).tell(Worker.note, str(n))
        await s.idle()
        assert book.words == [str(n) for n in range(30)]


async def test_what_one_worker_had_is_handled_by_the_others_when_its_shutdown_cut_it_off(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    began = asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    async with running(system, workers(book, 2), store=stores(), max_restarts=5) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        for n in range(10):
            await worker_ref(s).tell(Worker.note, str(n))
        await until(lambda: len(book.words) >= 9)
        (busy,) = [one for one in book.made if one.ctx._host.turn is not None]
        book.deeds["hold"] = failing(0)
        await s.kill(s.ref(busy.ctx.path, Worker))
        await s.idle()
        assert Counter(book.words) == Counter(str(n) for n in range(10))
        assert book.begun["hold"] == 2


async def test_a_pool_that_is_restarted_keeps_its_mail(system: Systems, stores: Stores) -> None:
    book = Book()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, workers(book, 1), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        for n in range(10):
            await worker_ref(s).tell(Worker.note, str(n))
        top = s.ref("/top", Supervisor)
        ending = asyncio.create_task(top.ask(Supervisor.terminate_child, "a"))
        await turns()
        gate.set()
        await ending
        await top.ask(Supervisor.restart_child, "a")
        await s.idle()
        assert Counter(book.words) == Counter(str(n) for n in range(10))


async def test_two_actors_of_one_system_with_one_strict_address_are_refused(system: Systems, stores: Stores) -> None:
    book = Book()
    with pytest.raises((StartFailed, StoreError), match="work"):
        async with running(system, worker(book, name="a"), worker(book, name="b"), store=stores()):
            pass


async def test_what_the_members_of_a_pool_tell_is_staged(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def tell_and_fail(me: Worker) -> None:
        await me.ctx.ref("/top/a", Worker).tell(Worker.note, f"x{me.ctx.delivery.attempt}")
        if me.ctx.delivery.attempt < 3:
            raise Oops("on purpose")

    async with running(system, workers(book, 2), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, tell_and_fail)
        await s.idle()
        assert book.words == ["x3"]


async def test_a_restart_by_their_supervisor_leaves_their_messages_stored(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def crash_in_the_background(me: Worker) -> None:
        async def crash() -> None:
            raise Oops("on purpose")

        me.ctx.background(crash())

    async with running(system, workers(book, 2), store=store, max_restarts=5) as s:
        await worker_ref(s).tell(Worker.do, crash_in_the_background)
        for n in range(20):
            await worker_ref(s).tell(Worker.note, str(n))
        await s.idle()
        assert Counter(book.words) == Counter(str(n) for n in range(20))
        assert await letters(store) == []


async def test_nothing_waits_behind_a_long_job_while_another_worker_has_nothing_to_do(
    system: Systems, stores: Stores
) -> None:
    book, began, gate = Book(), asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, pool("a", worker(book, order="free"), size=2), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        await worker_ref(s).tell_many(Worker.note, [str(n) for n in range(20)])
        await until(lambda: len(book.words) == 20)
        assert not gate.is_set()
        gate.set()


class Leaving(Actor):
    mailbox = Durable("leaving", order="free")
    heard: list[int] = []

    async def take(self, number: int) -> None:
        self.heard.append(number)
        self.ctx.stop()


async def test_a_pool_whose_workers_have_all_ended_holds_no_message_and_keeps_nobody_waiting(
    system: Systems, stores: Stores
) -> None:
    Leaving.heard.clear()
    store = stores()
    spec = child("w", Leaving).options(restart="transient")
    async with running(system, pool("a", spec, size=2), store=store) as s:
        await s.ref("/top/a", Leaving).tell_many(Leaving.take, list(range(6)))
        await s.idle()
        counts = (await store.counts())["leaving"]
        assert (counts.waiting, counts.claimed, len(Leaving.heard)) == (4, 0, 2)
        await s.ref("/top/a", Pool).ask(Pool.resize, 3)
        await s.idle()
        assert sorted(Leaving.heard) == [0, 1, 2, 3, 4]  # each of three new ones takes one
