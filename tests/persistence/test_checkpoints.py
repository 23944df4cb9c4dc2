"""The laws of steps inside a handler: each is done once for a message, and known by its name."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.effects import Coin, Effects, failing_at, kept_steps, run
from tests.persistence.jobs import (
    QUICK,
    Book,
    Clerk,
    Plain,
    Stores,
    Weather,
    Worker,
    clerk_ref,
    hang,
    running,
    worker,
    worker_ref,
)
from upright.actors import GuardRefused, NotInHand, Refuse
from upright.persistence import Durable, Retry, discard
from upright.supervision import child, pool

pytestmark = pytest.mark.anyio


async def test_a_step_that_is_done_is_not_done_again_by_a_retry_which_gets_its_result(
    system: Systems, stores: Stores
) -> None:
    effects, seen, check = Effects(), list[Any](), failing_at(2)

    async def work(me: Worker) -> None:
        seen.append(await me.ctx.step("pay", effects.pay, 5))
        seen.append(await me.ctx.step("ship", effects.do, "ship"))
        check(me)

    assert await run(system, stores(), work) == []
    assert effects.done == {"pay": 1, "ship": 1}
    assert seen == [Coin(5), 1] * 3


async def test_what_comes_after_the_step_that_failed_goes_on_behind_those_that_are_done(
    system: Systems, stores: Stores
) -> None:
    effects = Effects()

    async def ship(me: Worker) -> None:
        effects.done["ship"] += 1
        failing_at(1)(me)

    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        await me.ctx.step("ship", ship, me)
        await me.ctx.step("mail", effects.do, "mail")

    await run(system, stores(), work)
    assert effects.done == {"pay": 1, "ship": 2, "mail": 1}


async def test_steps_are_known_by_name_whatever_their_order(system: Systems, stores: Stores) -> None:
    effects = Effects()

    async def work(me: Worker) -> None:
        names = ["a", "b"] if me.ctx.delivery.attempt == 1 else ["c", "b", "a"]
        for name in names:
            await me.ctx.step(name, effects.do, name)
        failing_at(1)(me)

    await run(system, stores(), work)
    assert effects.done == {"a": 1, "b": 1, "c": 1}


async def test_each_message_has_steps_of_its_own(system: Systems, stores: Stores) -> None:
    book, effects = Book(), Effects()

    @book.deed
    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell_many(Worker.do, [work] * 3)
        await s.idle()
    assert effects.done == {"pay": 3}


async def test_a_name_is_for_one_step_of_an_attempt(system: Systems, stores: Stores) -> None:
    effects, raised = Effects(), list[str]()

    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        for name in ("pay", ""):
            try:
                await me.ctx.step(name, effects.pay, 5)
            except ValueError as error:
                raised.append(str(error))

    await run(system, stores(), work)
    assert effects.done == {"pay": 1}
    assert "'pay' a second time" in raised[0]
    assert "not empty" in raised[1]


async def test_a_step_that_failed_may_be_tried_again_in_the_same_attempt(system: Systems, stores: Stores) -> None:
    effects = Effects()

    async def flaky() -> str:
        effects.done["flaky"] += 1
        if effects.done["flaky"] == 1:
            raise Oops("on purpose")
        return "done"

    async def work(me: Worker) -> None:
        with pytest.raises(Oops):
            await me.ctx.step("flaky", flaky)
        assert await me.ctx.step("flaky", flaky) == "done"

    store = stores()
    await run(system, store, work)
    assert effects.done["flaky"] == 2


async def test_a_quarantined_message_keeps_its_steps_and_goes_on_behind_them_when_it_is_redriven(
    system: Systems, stores: Stores
) -> None:
    book, effects, store, well = Book(), Effects(), stores(), list[bool]()

    @book.deed
    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        if not well:
            raise Oops("on purpose")

    async with running(system, worker(book), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.do, work)
        assert receipt is not None
        await s.idle()
        assert await kept_steps(store, receipt.id) == ["pay"]
        well.append(True)
        assert await store.quarantine.redrive(receipt.id) == 1
        await s.idle()
        assert await kept_steps(store, receipt.id) == []
    assert effects.done == {"pay": 1}


async def test_they_are_there_after_a_restart_of_the_system(system: Systems, stores: Stores) -> None:
    book, effects, ready = Book(), Effects(), asyncio.Event()

    @book.deed
    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        if not ready.is_set():
            ready.set()
            await hang(me)

    async with running(system, worker(book).options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, work)
        await ready.wait()
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert effects.done == {"pay": 1}
    assert book.begun[work] == 2


@pytest.mark.parametrize("asked", [True, False])
async def test_a_refusal_that_answers_deletes_them_and_one_that_nobody_hears_keeps_them(
    system: Systems, stores: Stores, asked: bool
) -> None:
    book, effects, store = Book(), Effects(), stores()

    @book.deed
    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        book.add(str(me.ctx.delivery.id))
        raise Refuse("no")

    async with running(system, worker(book), store=store) as s:
        if asked:
            with pytest.raises(Refuse):
                await worker_ref(s).ask(Worker.do, work)
        else:
            await worker_ref(s).tell(Worker.do, work)
        await s.idle()
        assert await kept_steps(store, int(book.words[0])) == ([] if asked else ["pay"])


async def test_a_message_that_a_guard_puts_off_keeps_them(system: Systems, stores: Stores) -> None:
    effects, times = Effects(), list[int]()

    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        times.append(me.ctx.delivery.attempt)
        if len(times) == 1:
            raise GuardRefused("smtp", "not now", 0.01)

    await run(system, stores(), work)
    assert times == [1, 1]
    assert effects.done == {"pay": 1}


async def test_a_message_that_the_policy_discards_leaves_none(system: Systems, stores: Stores) -> None:
    effects = Effects()

    async def work(me: Worker) -> None:
        await me.ctx.step("pay", effects.pay, 5)
        raise Oops("on purpose")

    assert await run(system, stores(), work, retry=Retry(classify=lambda _: discard())) == []
    assert effects.done == {"pay": 1}


async def test_a_step_that_ends_as_its_time_is_up_is_kept(system: Systems, stores: Stores) -> None:
    effects, store = Effects(), stores()
    book = Book()

    @book.deed
    async def work(me: Worker) -> None:
        if not effects.done["pay"]:
            weather.calm.clear()
            asyncio.get_running_loop().call_later(0.1, weather.calm.set)
        await me.ctx.step("pay", effects.pay, 5)

    slow = msgspec.structs.replace(QUICK, attempt_timeout=0.05)
    async with running(system, worker(book, retry=slow), store=store) as s:
        weather = Weather(store)
        await worker_ref(s).tell(Worker.do, work)
        await s.idle()
    assert effects.done == {"pay": 1}
    assert book.begun[work] == 2


async def test_steps_may_be_taken_side_by_side_and_in_concurrent_handlers(system: Systems, stores: Stores) -> None:
    book, effects = Book(), Effects()

    @book.deed
    async def work(me: Worker) -> None:
        await asyncio.gather(*(me.ctx.step(name, effects.do, name) for name in "ab"))
        await me.ctx.heartbeat("half")
        if me.ctx.delivery.attempt == 1:
            raise Oops("on purpose")

    async with running(system, worker(book, order="free"), store=stores()) as s:
        await worker_ref(s).tell_many(Worker.overlap, [work] * 3)
        await s.idle()
    assert effects.done == {"a": 3, "b": 3}
    assert book.begun[work] == 6


async def test_workers_of_a_pool_take_them_for_each_other(system: Systems, stores: Stores) -> None:
    effects, made = Effects(), list[Any]()

    def spec(book: Book) -> Any:
        class Member(Worker):
            mailbox = Durable("work", order="free", retry=QUICK)

            def __init__(self) -> None:
                super().__init__(book)

        return pool("a", Member, size=2)

    async def work(me: Worker) -> None:
        made.append(me)
        await me.ctx.step("pay", effects.pay, 5)
        failing_at(2)(me)

    await run(system, stores(), work, spec)
    assert effects.done == {"pay": 1}
    assert len(made) == 3


async def test_it_needs_a_durable_message_in_hand(system: Systems, stores: Stores) -> None:
    book, raised = Book(), list[str]()

    async def try_it(me: Any) -> None:
        with pytest.raises(NotInHand) as error:
            await me.ctx.step("pay", Effects().pay, 5)
        raised.append(str(error.value))

    book.at_start = try_it
    name = book.deed(try_it)
    async with running(system, worker(book), child("b", Plain, book), store=stores()) as s:
        await s.ref("/top/b", Plain).ask(Plain.do, name)
    assert len(raised) == 3
    assert "step needs a durable message" in raised[0]


async def test_state_is_saved_with_the_message_and_not_with_its_steps(system: Systems, stores: Stores) -> None:
    book, effects = Book(), Effects()

    @book.deed
    async def work(me: Clerk) -> None:
        me.state.total += (await me.ctx.step("pay", effects.pay, 5)).cents
        failing_at(1)(me)

    async with running(system, worker(book, Clerk), store=stores()) as s:
        await clerk_ref(s).tell(Clerk.do, work)
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 5


async def test_each_step_has_an_idempotency_key_that_is_the_same_at_every_attempt(
    system: Systems, stores: Stores
) -> None:
    keys = list[str]()

    async def work(me: Worker) -> None:
        keys.extend(me.ctx.delivery.key_for(name) for name in ("pay", "ship"))
        failing_at(1)(me)

    await run(system, stores(), work)
    assert keys[:2] == keys[2:]
    assert len(set(keys)) == 2


async def test_a_handler_without_steps_writes_nothing_more(system: Systems, stores: Stores) -> None:
    """Its outcome holds no records, and so neither costs a statement nor waits for the disk."""
    book, store, batches = Book(), stores(), list[Any]()
    async with running(system, worker(book), store=store) as s:
        engine: Any = store._engine
        write = engine.write

        async def watch(batch: Any) -> Any:
            batches.append(batch)
            return await write(batch)

        engine.write = watch
        await worker_ref(s).tell(Worker.note, "x")
        await s.idle()
    assert not any(step.records for batch in batches for step in batch.steps)
    assert sum(batch.lasts for batch in batches) == 1
