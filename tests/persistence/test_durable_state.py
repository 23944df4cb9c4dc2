"""The laws of durable state: loaded before the first message, saved with the ack, never half."""

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Clerk,
    Other,
    Stores,
    Weather,
    clerk_ref,
    kept,
    letters,
    running,
    turns,
    worker,
)
from upright.actors import Actor, Refuse, StartFailed
from upright.persistence import Durable, OutcomeUnknown, StoreUnavailable
from upright.supervision import child, pool

pytestmark = pytest.mark.anyio


async def test_the_first_state_is_what_its_type_begins_with(system: Systems, stores: Stores) -> None:
    async with running(system, worker(Book(), Clerk), store=stores()) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 5) == 5


async def test_it_is_there_after_a_restart_of_the_system(system: Systems, stores: Stores) -> None:
    book = Book()
    for total in (5, 10, 15):
        async with running(system, worker(book, Clerk), store=stores()) as s:
            assert await clerk_ref(s).ask(Clerk.book_in, 5) == total


async def test_it_is_loaded_before_started_runs(system: Systems, stores: Stores) -> None:
    book = Book()
    seen: list[int] = []

    async def look(me: Clerk) -> None:
        seen.append(me.state.total)

    book.at_start = look
    for _ in range(2):
        async with running(system, worker(book, Clerk), store=stores()) as s:
            await clerk_ref(s).ask(Clerk.book_in, 5)
    assert seen == [0, 5]


async def test_a_handler_that_raises_leaves_the_last_committed_state_to_the_next_message(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    seen: list[int] = []

    @book.deed
    async def spoil(me: Clerk) -> None:
        seen.append(me.state.total)
        me.state.total += 100
        raise Oops("on purpose")

    async with running(system, worker(book, Clerk), store=stores()) as s:
        await clerk_ref(s).tell(Clerk.book_in, 5)
        await clerk_ref(s).tell(Clerk.do, spoil)
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 6
        assert seen == [5, 5, 5]


async def test_a_refusal_rolls_back_the_state_and_what_was_told_and_answers(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def refuse(me: Clerk) -> None:
        me.state.total += 100
        me.state.names.append("wrong")
        await me.ctx.ref("b", Other).tell(Other.note, "wrong")
        raise Refuse("not today")

    async with running(system, worker(book, Clerk), worker(book, Other, "b"), store=stores()) as s:
        await clerk_ref(s).tell(Clerk.book_in, 5)
        with pytest.raises(Refuse, match="not today"):
            await clerk_ref(s).ask(Clerk.do, refuse)
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 6
        await s.idle()
        assert book.words == []
        assert len([one for one in book.made if isinstance(one, Clerk)]) == 1


async def test_a_refusal_of_the_very_first_message_rolls_back_to_the_beginning(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def refuse(me: Clerk) -> None:
        me.state.total += 100
        raise Refuse("not today")

    async with running(system, worker(book, Clerk), store=store) as s:
        await clerk_ref(s).tell(Clerk.do, refuse)
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 1
        assert [letter.reason for letter in await letters(store)] == ["rejected"]


async def test_state_and_ack_and_tells_are_one_commit(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def work(me: Clerk) -> None:
        me.state.total += 1
        await me.ctx.ref("b", Other).tell(Other.note, f"total {me.state.total}")
        if book.begun[work] == 1:
            weather.before += [StoreUnavailable("the disk is full")] * 2

    async with running(system, worker(book, Clerk), worker(book, Other, "b"), store=store) as s:
        weather = Weather(store)
        await asyncio.gather(*(clerk_ref(s).tell(Clerk.do, work) for _ in range(3)))
        await s.idle()
        assert book.words == ["total 1", "total 2", "total 3"]
        assert book.begun[work] == 3
    async with running(system, worker(book, Clerk), store=stores()) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 3


async def test_when_the_sync_of_an_ack_failed_nothing_is_counted_twice(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, Clerk), store=store) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 1

        @book.deed
        async def work(me: Clerk) -> None:
            me.state.total += 1
            weather.after.append(OutcomeUnknown("the sync failed"))

        weather = Weather(store)
        await clerk_ref(s).tell(Clerk.do, work)
        await s.idle()
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 2


async def test_a_state_that_is_no_longer_what_it_says_fails_the_delivery_alone(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def spoil(me: Clerk) -> None:
        me.state.total = "a word"  # type: ignore[assignment]

    async with running(system, worker(book, Clerk), store=store) as s:
        await clerk_ref(s).tell(Clerk.book_in, 5)
        await clerk_ref(s).tell(Clerk.do, spoil)
        assert await clerk_ref(s).ask(Clerk.book_in, 1) == 6
        (letter,) = await letters(store)
        assert "Unencodable" in letter.attempts[-1].error


class Old(msgspec.Struct):
    total: int = 0


class New(msgspec.Struct):
    __version__: ClassVar[int] = 2
    sum: int = 0

    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {"sum": data["total"] * 100 + from_version}


class Strange(msgspec.Struct):
    total: str = ""


class OldTeller(Actor[Old]):
    mailbox = Durable("teller", retry=QUICK)

    async def add(self, amount: int) -> int:
        self.state.total += amount
        return self.state.total


class NewTeller(Actor[New]):
    mailbox = Durable("teller", retry=QUICK)

    async def add(self, amount: int) -> int:
        self.state.sum += amount
        return self.state.sum


class StrangeTeller(Actor[Strange]):
    mailbox = Durable("teller", retry=QUICK)

    async def add(self, amount: int) -> int:
        return amount


async def test_a_state_of_an_older_version_is_upgraded(system: Systems, stores: Stores) -> None:
    async with running(system, child("a", OldTeller), store=stores()) as s:
        assert await s.ref("/top/a", OldTeller).ask(OldTeller.add, 5) == 5
    for total in (502, 503):
        async with running(system, child("a", NewTeller), store=stores()) as s:
            assert await s.ref("/top/a", NewTeller).ask(NewTeller.add, 1) == total


async def test_a_state_that_cannot_be_read_refuses_the_start_and_uses_no_attempt(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    async with running(system, child("a", OldTeller), store=store) as s:
        await s.ref("/top/a", OldTeller).ask(OldTeller.add, 5)
        ref = s.ref("/top/a", OldTeller)
        await ref.later(0.01).tell(OldTeller.add, 1)
    with pytest.raises(StartFailed, match=r"/top/a.*do not fit the state"):
        async with running(system, child("a", StrangeTeller), store=stores()):
            pass
    with pytest.raises(StartFailed, match=r"/top/a"):
        async with running(system, child("a", StrangeTeller), store=stores()):
            pass
    last = stores()
    async with running(system, child("a", OldTeller), store=last) as s:
        await s.idle()
        assert await s.ref("/top/a", OldTeller).ask(OldTeller.add, 0) == 6
        assert await letters(last) == []


def test_a_class_with_durable_state_is_refused_the_free_order_when_it_is_made() -> None:
    with pytest.raises(TypeError, match=r"Clerk to have order=\"strict\".*, got order='free': .*Tally"):
        kept(Clerk, order="free")


async def test_a_pool_with_durable_state_is_refused(system: Systems, stores: Stores) -> None:
    with pytest.raises((TypeError, StartFailed), match="without durable state"):
        async with running(system, pool("a", OldTeller, size=2), store=stores()):
            pass


async def test_what_a_timer_does_to_the_state_is_saved(system: Systems, stores: Stores) -> None:
    book = Book()

    async def set_a_timer(me: Clerk) -> None:
        if book.begun["started"] == 1:
            me.ctx.after(0.001, Clerk.book_in, 7)

    book.at_start = set_a_timer
    async with running(system, worker(book, Clerk), store=stores()) as s:
        await s.idle()
    async with running(system, worker(book, Clerk), store=stores()) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 7


async def test_a_state_that_did_not_change_is_not_written_again(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, Clerk), store=store) as s:
        await clerk_ref(s).ask(Clerk.book_in, 5)
        steps: list[Any] = []
        engine: Any = store._engine
        write = engine.write

        async def look(batch: Any) -> Any:
            steps.extend(batch.steps)
            return await write(batch)

        engine.write = look
        await clerk_ref(s).ask(Clerk.book_in, 0)
        await turns()
        await s.idle()
        assert [step.state for step in steps] == [None]


async def test_messages_in_a_burst_each_meet_the_state_that_the_one_before_left(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, worker(book, Clerk), store=stores()) as s:
        for _ in range(300):
            await clerk_ref(s).tell(Clerk.book_in, 1)
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 300
    async with running(system, worker(book, Clerk), store=stores()) as s:
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 300
