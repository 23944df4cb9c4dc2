"""The laws of steps inside a handler: each is done once for a message, and known by its name."""

import asyncio
import functools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

import msgspec
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Clerk,
    Other,
    Plain,
    Stores,
    Weather,
    Worker,
    clerk_ref,
    hang,
    running,
    until,
    worker,
    worker_ref,
)
from upright.actors import Actor, GuardRefused, NotInHand, Ref, Refuse, concurrent
from upright.actors.errors import Detached
from upright.persistence import Durable, OutcomeUnknown, Retry, Store, StoreUnavailable, discard
from upright.persistence.records import steps_of
from upright.persistence.reports import RecordFilter
from upright.supervision import child, pool

pytestmark = pytest.mark.anyio


class Coin(msgspec.Struct):
    cents: int


class Effects:
    """The world outside: counts what is done to it."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    async def do(self, what: str) -> int:
        self.done[what] += 1
        return self.done[what]

    async def pay(self, cents: int) -> Coin:
        self.done["pay"] += 1
        return Coin(cents)


async def kept_steps(store: Store, id: int) -> list[str]:
    return [one.name for one in await store.desk.records(RecordFilter(steps_of(id)))]


async def run(
    system: Systems, store: Store, deed: Callable[[Any], Awaitable[Any]], spec: Any = None, **options: Any
) -> list[str]:
    """Tell a worker that deed and wait until that is over; the steps that are kept of it."""
    book = Book()
    name = book.deed(deed)
    async with running(system, spec(book) if spec else worker(book, **options), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.do, name)
        await s.idle()
        assert receipt is not None
        return await kept_steps(store, receipt.id)


def failing_at(attempts: int) -> Callable[[Any], None]:
    """Raises in the first attempts."""

    def check(me: Any) -> None:
        if me.ctx.delivery.attempt <= attempts:
            raise Oops("on purpose")

    return check


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


def test_the_type_checkers_know_the_result() -> None:
    """Checked by mypy and pyright, which read this file."""

    class Payer(Actor):
        mailbox = Durable("payer")

        @concurrent(2)
        async def pay(self, cents: int) -> Coin:
            coin: Coin = await self.ctx.step("pay", Effects().pay, cents)
            return coin

    assert get_type_hints(Payer.pay)["return"] is Coin
