"""The laws of isolation: one item that cannot be stored, read or routed stops nothing but itself."""

import asyncio
import os
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import (
    Book,
    Other,
    Stores,
    Worker,
    letters,
    other_ref,
    running,
    worker,
    worker_ref,
)
from upright.actors import Actor, StartFailed
from upright.persistence import Durable, Memory, Retry, StoreFailing, StoreUnavailable, handler, quarantine
from upright.persistence.records import Batch, Written
from upright.supervision import child, pool
from upright.supervision.routing import by_key

pytestmark = pytest.mark.anyio
NO_UTF_8 = os.fsdecode(b"caf\xe9.txt")
"""The name of a file that has no encoding."""


async def test_a_reason_that_has_no_encoding_is_stored_as_far_as_it_has(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def lose(_: Worker) -> None:
        raise OSError(NO_UTF_8)

    ruled = Retry(classify=lambda error: quarantine(str(error)))
    async with running(system, worker(book, retry=ruled), worker(book, Other, "b"), store=store) as s:
        await worker_ref(s).tell(Worker.do, lose)
        assert await other_ref(s).ask(Other.note, "goes on") == "goes on"
        await s.idle()
        assert [letter.reason for letter in await letters(store)] == ["caf\\udce9.txt"]


def test_names_that_have_no_encoding_are_told_where_they_are_written() -> None:
    with pytest.raises(ValueError, match="expected address to be a string that has an encoding"):
        Durable(NO_UTF_8)
    with pytest.raises(ValueError, match="expected name to be a string that has an encoding"):
        child(NO_UTF_8, Put)
    with pytest.raises(ValueError, match="expected name to be a string that has an encoding"):
        handler(name=NO_UTF_8)


class Poisoned:
    """An engine that fails at each batch with one message in it, in a way that is no weather."""

    def __init__(self, store: Any, body: bytes) -> None:
        self._write, self._body = store._engine.write, body
        store._engine.write = self.write
        self.met = 0

    async def write(self, batch: Batch) -> Written:
        bodies = [message.body for message in batch.messages()] + [step.reply or b"" for step in batch.steps]
        if any(self._body in body for body in bodies):
            self.met += 1
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "on purpose")
        written: Written = await self._write(batch)
        return written


async def test_a_message_that_cannot_be_stored_fails_alone(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        poisoned = Poisoned(store, b"poison")
        told = [worker_ref(s).tell(Worker.note, word) for word in ("a", "poison", "b", "c")]
        results = await asyncio.gather(*told, return_exceptions=True)
        assert [isinstance(one, StoreUnavailable) for one in results] == [False, True, False, False]
        await s.idle()
        assert book.words == ["a", "b", "c"]
        assert poisoned.met == 2


async def test_an_end_that_cannot_be_stored_fails_alone_and_is_told(system: Systems, stores: Stores) -> None:
    book, store, told = Book(), stores(), list[StoreFailing]()

    @book.deed
    async def answer(_: Worker) -> None:
        await asyncio.sleep(0)

    async with running(system, worker(book, order="free"), worker(book, Other, "b"), store=store) as s:
        s.subscribe(told.append, StoreFailing)
        Poisoned(store, b"poison")
        asked = asyncio.ensure_future(worker_ref(s).within(0.2).ask(Worker.note, "poison"))
        with pytest.raises(StoreUnavailable):
            await asked
        assert await other_ref(s).ask(Other.note, "goes on") == "goes on"
        assert len(told) == 1
        assert "on purpose" in told[0].error


class Put(Actor):
    mailbox = Durable("put", order="free")
    done: list[str] = []

    async def put(self, key: str) -> None:
        self.done.append(key)

    async def flush(self) -> None: ...


async def test_a_message_that_nobody_in_a_pool_can_be_found_for_goes_to_quarantine(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    Put.done.clear()
    async with running(system, pool("a", Put, size=2, routing=by_key()), store=store) as s:
        ref = s.ref("/top/a", Put)
        await ref.tell(Put.flush)
        await ref.tell(Put.put, "k")
        await s.idle()
        assert Put.done == ["k"]
        (letter,) = await letters(store)
        assert letter.reason == "unroutable"
        assert "flush" in letter.error


async def test_a_mailbox_that_fails_to_take_what_was_claimed_ends_nobody_elses_work(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    seen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["message"]))
    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        consumer: Any = store._journal.consumers._known["work"]  # type: ignore[union-attr]

        def broken(_: Any) -> None:
            raise RuntimeError("on purpose")

        consumer.take = broken
        await worker_ref(s).tell(Worker.note, "lost for now")
        assert await other_ref(s).ask(Other.note, "goes on") == "goes on"
        assert seen == ["messages for 'work' were claimed, but not taken"]
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        assert book.words == ["goes on", "lost for now"]


async def test_a_signature_whose_names_are_never_defined_is_refused_at_the_start(
    system: Systems, stores: Stores
) -> None:
    class Forward(Actor):
        mailbox = Durable("forward")

        async def take(self, it: "NeverDefined") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(StartFailed, match="NeverDefined"):
        async with running(system, child("a", Forward), store=stores()):
            pass


async def test_what_is_told_in_a_delivery_to_another_system_goes_into_its_own_store(
    system: Systems, stores: Stores
) -> None:
    book, far, store, other = Book(), Book(), stores(), Memory()

    @book.deed
    async def tell(_: Worker) -> None:
        await other_ref(there).tell(Other.note, "x")

    async with running(system, worker(far, Other, "b"), store=other) as there:
        async with running(system, worker(book), store=store) as here:
            await worker_ref(here).tell(Worker.do, tell)
            await here.idle()
            await there.idle()
        assert far.words == ["x"]
        assert (await store.counts()).get("other") is None


def test_a_broadcast_pool_of_durable_workers_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a pool of durable Puts to give each message to one of them"):
        pool("a", Put, size=2, routing="broadcast")


async def test_what_cannot_be_read_holds_up_those_behind_it_where_there_is_an_order(
    system: Systems, stores: Stores
) -> None:
    class Newer(Worker):
        async def brand_new(self) -> None: ...

    book, store = Book(), stores()
    async with quiet(system, tree=worker(book, Newer), store=store, only=()) as s:
        await s.ref("/a", Newer).tell(Newer.brand_new)
        await s.ref("/a", Newer).tell_many(Newer.note, ["2", "3"])
    async with running(system, worker(book), store=store) as s:
        while (await store.counts())["work"].waiting != 3:  # noqa: ASYNC110  # no event tells of a commit
            await asyncio.sleep(0.001)
        await worker_ref(s).tell(Worker.note, "4")
        await asyncio.sleep(0.05)
        assert (book.words, (await store.counts())["work"].waiting) == ([], 4)
