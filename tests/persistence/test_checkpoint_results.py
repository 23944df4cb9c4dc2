"""The laws of what a step returns, and of what it tells: both are stored at once."""

import asyncio
import functools
from collections.abc import Awaitable
from typing import Any, get_type_hints

import pytest

from tests.actors.lives import Systems
from tests.persistence.effects import Coin, Effects, failing_at, kept_steps, run
from tests.persistence.jobs import (
    Book,
    Other,
    Plain,
    Stores,
    Weather,
    Worker,
    running,
    until,
    worker,
    worker_ref,
)
from upright.actors import Actor, Ref, concurrent
from upright.actors.errors import Detached
from upright.persistence import Durable, OutcomeUnknown, StoreUnavailable
from upright.supervision import child

pytestmark = pytest.mark.anyio


async def test_its_result_is_stored_when_it_returns(system: Systems, stores: Stores) -> None:
    effects, kept, store = Effects(), list[Any](), stores()

    async def work(me: Worker) -> None:
        weather.before.append(StoreUnavailable("the disk is full"))
        await me.ctx.step("pay", effects.pay, 5)
        assert not weather.before
        kept.append(await kept_steps(store, me.ctx.delivery.id))

    book = Book()
    name = book.deed(work)
    async with running(system, worker(book), store=store) as s:
        weather = Weather(store)
        await worker_ref(s).tell(Worker.do, name)
        await s.idle()
    assert kept == [["pay"]]


async def test_where_it_cannot_be_told_whether_it_is_on_disk_the_step_raises(system: Systems, stores: Stores) -> None:
    effects, store, raised = Effects(), stores(), list[type[BaseException]]()

    async def work(me: Worker) -> None:
        if effects.done["pay"]:
            return
        weather.after.append(OutcomeUnknown("the sync failed"))
        try:
            await me.ctx.step("pay", effects.pay, 5)
        except Detached as error:
            raised.append(type(error))
            raise

    book = Book()
    name = book.deed(work)
    async with running(system, worker(book), store=store) as s:
        weather = Weather(store)
        await worker_ref(s).tell(Worker.do, name)
        await s.idle()
    assert raised == [Detached]


class TestWhatItTells:
    async def test_it_is_stored_with_the_result_and_told_once(self, system: Systems, stores: Stores) -> None:
        book, heard = Book(), list[str]()

        async def announce(me: Worker) -> None:
            await me.ctx.ref("b", Other).tell(Other.note, "durable")
            await me.ctx.ref("c", Plain).tell(Plain.note, "in memory")

        @book.deed
        async def work(me: Worker) -> None:
            await me.ctx.ref("b", Other).tell(Other.note, "with the end")
            await me.ctx.step("announce", announce, me)
            await until(lambda: len(book.words) > 1)
            heard.extend(book.words)
            failing_at(1)(me)

        spec = worker(book), worker(book, Other, "b"), child("c", Plain, book)
        async with running(system, *spec, store=stores()) as s:
            await worker_ref(s).tell(Worker.do, work)
            await s.idle()
        assert sorted(heard[:2]) == ["durable", "in memory"]
        assert sorted(book.words) == ["durable", "in memory", "with the end"]

    async def test_what_a_step_told_that_failed_never_was(self, system: Systems, stores: Stores) -> None:
        book = Book()

        async def announce(me: Worker) -> None:
            await me.ctx.ref("b", Other).tell(Other.note, f"attempt {me.ctx.delivery.attempt}")
            failing_at(1)(me)

        @book.deed
        async def work(me: Worker) -> None:
            await me.ctx.step("announce", announce, me)

        async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
            await worker_ref(s).tell(Worker.do, work)
            await s.idle()
        assert book.words == ["attempt 2"]

    async def test_what_a_task_of_it_tells_later_goes_with_the_message(self, system: Systems, stores: Stores) -> None:
        book, tasks = Book(), list[asyncio.Task[Any]]()

        async def later(me: Worker, gate: asyncio.Event) -> None:
            await gate.wait()
            await me.ctx.ref("b", Other).tell(Other.note, "late")

        async def begin(me: Worker, gate: asyncio.Event) -> None:
            tasks.append(asyncio.create_task(later(me, gate)))

        @book.deed
        async def work(me: Worker) -> None:
            gate = asyncio.Event()
            await me.ctx.step("begin", begin, me, gate)
            gate.set()
            await tasks[0]

        async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
            await worker_ref(s).tell(Worker.do, work)
            await s.idle()
        assert book.words == ["late"]


class TestResults:
    async def test_refs_in_them_lead_to_their_actors(self, system: Systems, stores: Stores) -> None:
        book = Book()

        async def find(me: Worker) -> Ref[Other]:
            return me.ctx.ref("b", Other)

        @book.deed
        async def work(me: Worker) -> None:
            found = await me.ctx.step("find", find, me)
            failing_at(1)(me)
            await found.tell(Other.note, "found")

        async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
            await worker_ref(s).tell(Worker.do, work)
            await s.idle()
        assert book.words == ["found"]

    async def test_what_is_no_type_that_can_be_stored_is_refused_before_the_function_runs(
        self, system: Systems, stores: Stores
    ) -> None:
        effects, raised = Effects(), list[str]()

        async def socket() -> Worker:
            raise AssertionError("never run")

        async def nameless():  # type: ignore[no-untyped-def]  # on purpose
            raise AssertionError("never run")

        async def work(me: Worker) -> None:
            for function in (socket, nameless, functools.partial(socket)):
                with pytest.raises(TypeError) as error:
                    await me.ctx.step("bad", function)
                raised.append(str(error.value))

        await run(system, stores(), work)
        assert "socket" in raised[0]
        assert "Worker" in raised[0]
        assert "nameless" in raised[1]
        assert "no annotation" in raised[1]
        assert "socket" in raised[2]
        assert not effects.done

    async def test_a_result_that_is_not_what_its_annotation_says_is_named_and_not_kept(
        self, system: Systems, stores: Stores
    ) -> None:
        store, kept = stores(), list[Any]()

        async def lie() -> int:
            return "text"  # type: ignore[return-value]  # on purpose

        async def work(me: Worker) -> None:
            with pytest.raises(TypeError, match=r"'number'.*int.*str"):
                await me.ctx.step("number", lie)
            kept.append(await kept_steps(store, me.ctx.delivery.id))

        await run(system, store, work)
        assert kept == [[]]

    async def test_methods_partials_and_callable_objects_may_be_steps(self, system: Systems, stores: Stores) -> None:
        effects, seen = Effects(), list[Any]()

        class Call:
            async def __call__(self, cents: int) -> Coin:
                return Coin(cents)

        def plain(cents: int) -> Awaitable[Coin]:
            return effects.pay(cents)

        async def work(me: Worker) -> None:
            calls: list[tuple[Any, ...]] = [
                (effects.pay, 5),
                (functools.partial(effects.pay, 5),),
                (Call(), 5),
                (plain, 5),
            ]
            for number, (function, *args) in enumerate(calls):
                seen.append(await me.ctx.step(f"step {number}", function, *args))
            failing_at(1)(me)

        await run(system, stores(), work)
        assert seen == [Coin(5)] * 8
        assert effects.done == {"pay": 3}


def test_the_type_checkers_know_the_result() -> None:
    """Checked by mypy and pyright, which read this file."""

    class Payer(Actor):
        mailbox = Durable("payer")

        @concurrent(2)
        async def pay(self, cents: int) -> Coin:
            coin: Coin = await self.ctx.step("pay", Effects().pay, cents)
            return coin

    assert get_type_hints(Payer.pay)["return"] is Coin
