"""The laws of entities in which something goes wrong: it harms no other, and no other process."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Stores,
    Weather,
    failing,
    kept,
    letters,
    rest,
    running,
    turns,
    until,
)
from tests.persistence.tills import Till, till, tills
from upright.actors import Refuse
from upright.persistence import (
    Counts,
    OutcomeUnknown,
    StateRefused,
    Store,
)
from upright.persistence.records import NOBODYS, RecordWrite, Step

pytestmark = pytest.mark.anyio


async def steal(store: Store) -> None:
    """Do what another process does that has a message for `a` in hand: of 5 cents it makes 7."""
    record = await store.read("a", "tills")
    assert record is not None
    write = RecordWrite("tills", "a", record.version, record.body.replace(b"\x05", b"\x07"))
    store.settle(Step(NOBODYS, "save", records=(write,)), lambda _: None)
    await store.flushed()


class TestFailure:
    async def test_of_a_message_replaces_that_instance_alone_and_its_state_is_as_before(
        self, system: Systems, stores: Stores
    ) -> None:
        book = Book()

        @book.deed
        async def spoil(me: Till) -> None:
            me.state.cents += 100
            me.memory["spoiled"] = True
            if me.ctx.delivery.attempt == 1:
                raise Oops("on purpose")

        async with running(system, tills(book), store=stores()) as s:
            for id in "ab":
                await till(s, id).ask(Till.deposit, 1)
            await till(s, "a").tell(Till.do, spoil)
            assert await till(s, "a").ask(Till.deposit, 1) == 102
            assert await till(s, "b").ask(Till.deposit, 1) == 2
        assert [book.begun[f"started {id}"] for id in "ab"] == [2, 1]

    async def test_a_retry_holds_up_that_entity_alone(self, system: Systems, stores: Stores) -> None:
        book = Book()
        slow = msgspec.structs.replace(QUICK, base=0.2, cap=0.2)
        kind = kept(Till, retry=slow)
        name = book.deed(failing(1, lambda me: me.note("retried")))
        async with running(system, tills(book, kind), store=stores()) as s:
            await till(s, "a").tell(Till.do, name)
            await till(s, "a").tell(Till.note, "behind")
            await until(lambda: book.begun["started a"] > 1)
            await till(s, "b").tell(Till.note, "beside")
            await s.idle()
        assert book.words == ["b beside", "a retried", "a behind"]

    async def test_of_a_start_fails_the_message_by_its_policy_and_harms_no_other(
        self, system: Systems, stores: Stores
    ) -> None:
        book, store = Book(), stores()

        async def start(me: Till) -> None:
            if me.ctx.entity == "sick":
                raise Oops("not today")

        book.at_start = start
        async with running(system, tills(book), store=store) as s:
            receipts = await till(s, "sick").tell_many(Till.note, ["1", "2"])
            for _ in range(3):
                await till(s, "well").tell(Till.note, "on")
            await s.idle()
            found = await letters(store)
            assert [letter.id for letter in found] == [receipt.id for receipt in receipts]
            assert [len(letter.attempts) for letter in found] == [QUICK.max_attempts] * 2
            assert "Oops: not today" in found[0].error
            assert book.words == ["well on"] * 3
            book.at_start = rest
            await store.quarantine.redrive(*(letter.id for letter in found))
            await s.idle()
            assert book.words[3:] == ["sick 1", "sick 2"]

    async def test_outside_of_a_message_ends_that_instance_alone(self, system: Systems, stores: Stores) -> None:
        book = Book()

        @book.deed
        async def arm(me: Till) -> None:
            me.ctx.after(0.0, Till.do, "fail")

        async with running(system, tills(book), store=stores()) as s:
            for id in "ab":
                await till(s, id).ask(Till.deposit, 1)
            await till(s, "a").tell(Till.do, arm)
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 1) == 2
            assert await till(s, "b").ask(Till.deposit, 1) == 2
        assert [book.begun[f"started {id}"] for id in "ab"] == [2, 1]

    async def test_a_state_that_cannot_be_read_uses_no_attempt_and_harms_no_other(
        self, system: Systems, stores: Stores
    ) -> None:
        book, store = Book(), stores()
        broken = Step(NOBODYS, "save", records=(RecordWrite("tills", "a", 0, b"\xc1"),))
        async with running(system, tills(book), store=store) as s:
            store.settle(broken, lambda _: None)
            await store.flushed()
            receipt = await till(s, "a").tell(Till.note, "x")
            assert await till(s, "b").ask(Till.deposit, 1) == 1
            assert receipt is not None
            while not (await store.counts()).get("tills", Counts()).waiting:
                await turns()
            assert await letters(store) == []
            assert [event.name for event in await store.story(receipt.id)] == ["stored"]
        assert book.words == []

    async def test_a_refusal_rolls_back_the_state_and_answers(self, system: Systems, stores: Stores) -> None:
        book = Book()

        @book.deed
        async def refuse(me: Till) -> None:
            me.state.cents += 100
            raise Refuse("no")

        async with running(system, tills(book), store=stores()) as s:
            await till(s, "a").ask(Till.deposit, 1)
            with pytest.raises(Refuse):
                await till(s, "a").ask(Till.do, refuse)
            assert await till(s, "a").ask(Till.deposit, 1) == 2
        assert book.begun["started a"] == 1

    async def test_when_the_sync_of_an_ack_failed_nothing_is_counted_twice(
        self, system: Systems, stores: Stores
    ) -> None:
        book, store = Book(), stores()

        @book.deed
        async def work(me: Till) -> None:
            me.state.cents += 1
            weather.after.append(OutcomeUnknown("the sync failed"))

        async with running(system, tills(book), store=store) as s:
            weather = Weather(store)
            assert await till(s, "a").ask(Till.deposit, 1) == 1
            await till(s, "a").tell(Till.do, work)
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 0) == 2

    async def test_a_new_instance_has_what_the_one_before_did_though_that_is_not_written_yet(
        self, system: Systems, stores: Stores
    ) -> None:
        book, store, seen = Book(), stores(), list[int]()

        @book.deed
        async def add(me: Till) -> None:
            me.state.cents += 5
            weather.calm.clear()

        @book.deed
        async def look(me: Till) -> None:
            seen.append(me.state.cents)
            if me.ctx.delivery.attempt == 1:
                asyncio.get_running_loop().call_later(0.05, weather.calm.set)
                raise Oops("on purpose")
            me.state.cents += 1

        async with running(system, tills(book), store=store) as s:
            weather = Weather(store)
            await till(s, "a").tell_many(Till.do, [add, look])
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 0) == 6
            assert len(await store.story(2)) < 10
        assert seen == [5, 5]


class TestTwoProcesses:
    async def test_what_another_one_did_to_it_is_there_for_the_next_message(
        self, system: Systems, stores: Stores
    ) -> None:
        """Also where the next message only looks."""
        book, store = Book(), stores()

        @book.deed
        async def look(me: Till) -> int:
            return me.state.cents

        async with running(system, tills(book), store=store) as s:
            await till(s, "a").ask(Till.deposit, 5)
            await steal(store)
            assert await till(s, "a").ask(Till.do, look) == 7
            assert await till(s, "a").ask(Till.deposit, 1) == 8
        assert book.begun["started a"] == 1

    async def test_a_state_that_changed_under_a_message_is_read_again_and_the_message_is_handled_anew(
        self, system: Systems, stores: Stores
    ) -> None:
        book, store = Book(), stores()

        @book.deed
        async def work(me: Till) -> None:
            if not book.words:
                await steal(store)
            book.add("worked")
            me.state.cents += 1

        async with running(system, tills(book), store=store) as s:
            await till(s, "a").ask(Till.deposit, 5)
            await till(s, "a").tell(Till.do, work)
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 0) == 8
        assert book.words == ["worked", "worked"]

    async def test_what_a_timer_does_to_the_state_is_saved(self, system: Systems, stores: Stores) -> None:
        book = Book()

        @book.deed
        async def arm(me: Till) -> None:
            me.ctx.after(0.0, Till.deposit, 5)

        async with running(system, tills(book), store=stores()) as s:
            await till(s, "a").tell(Till.do, arm)
            await s.idle()
        async with running(system, tills(book), store=stores()) as s:
            assert await till(s, "a").ask(Till.deposit, 0) == 5

    async def test_and_is_refused_where_another_process_was_faster(self, system: Systems, stores: Stores) -> None:
        book, store, refused = Book(), stores(), list[Any]()

        @book.deed
        async def arm(me: Till) -> None:
            me.ctx.after(0.0, Till.do, late)

        @book.deed
        async def late(me: Till) -> None:
            await steal(store)
            me.state.cents += 100

        async with running(system, tills(book), store=store) as s:
            s.subscribe(refused.append, StateRefused)
            await till(s, "a").ask(Till.deposit, 5)
            await till(s, "a").tell(Till.do, arm)
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 1) == 8
        assert [(one.path, one.verdict) for one in refused] == [("/top/tills/a", "conflict")]
        assert book.begun["started a"] == 2
