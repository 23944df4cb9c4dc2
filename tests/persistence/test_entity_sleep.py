"""The laws of sleep: an entity is awake while it has something to do, and of those asleep nothing is in memory."""

import asyncio
import gc
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Stores, held, running, turns
from tests.persistence.tills import Stopping, Till, till, tills
from upright.actors import ActorSystem
from upright.actors.testing import advance, settle
from upright.persistence import Entities

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def awake(system: ActorSystem) -> list[str]:
    return sorted(await system.ref("/top/tills", Entities).ask(Entities.awake))


async def test_one_without_a_message_for_that_time_sleeps_and_is_woken_by_the_next_with_its_state(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, tills(book, idle=3.0), store=stores()) as s:
        assert await till(s, "a").ask(Till.deposit, 5) == 5
        await advance(2.0)
        assert await till(s, "b").ask(Till.deposit, 1) == 1
        await advance(1.5)
        assert await awake(s) == ["b"]
        assert till(s, "a").recipient.state == "asleep"  # type: ignore[union-attr]  # somebody is there
        assert await till(s, "a").ask(Till.deposit, 5) == 10
        assert await awake(s) == ["a", "b"]
    assert book.begun["started a"] == 2


async def test_each_message_keeps_it_awake_anew(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, tills(book, idle=2.0), store=stores()) as s:
        for _ in range(4):
            await till(s, "a").ask(Till.deposit, 1)
            await advance(1.5)
        assert await awake(s) == ["a"]
    assert book.begun["started a"] == 1


async def test_it_is_told_of_its_end(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, tills(book, Stopping, idle=1.0), store=stores()) as s:
        await till(s, "a").ask(Till.deposit, 1)
        await advance(1.5)
        assert book.words == ["a stopping"]
        assert await awake(s) == []


async def test_a_message_that_comes_while_it_ends_wakes_it_again(system: Systems, stores: Stores) -> None:
    book, gate = Book(), asyncio.Event()

    class Slow(Till):
        async def stopping(self, reason: Any) -> None:
            await gate.wait()

    async with running(system, tills(book, Slow, idle=1.0), store=stores()) as s:
        await till(s, "a").ask(Till.deposit, 1)
        await advance(1.5)
        await till(s, "a").tell(Till.note, "again")
        await settle()
        assert book.words == []
        gate.set()
        await s.idle()
    assert book.words == ["a again"]
    assert book.begun["started a"] == 2


async def test_one_with_a_message_in_hand_or_a_timer_or_a_task_stays_awake(system: Systems, stores: Stores) -> None:
    book, began, gate = Book(), asyncio.Event(), asyncio.Event()
    hold = book.deed(held(began, gate))

    @book.deed
    async def arm(me: Till) -> None:
        me.ctx.after(3.5, Till.note, "ticked")

    @book.deed
    async def work(me: Till) -> None:
        me.ctx.background(asyncio.sleep(3.5))

    async with running(system, tills(book, idle=1.0), store=stores()) as s:
        for id, deed in (("hold", hold), ("arm", arm), ("work", work), ("rest", "rest")):
            await till(s, id).tell(Till.do, deed)
        await advance(3.0)
        assert await awake(s) == ["arm", "hold", "work"]
        await advance(2.0)
        assert book.words == ["arm ticked"]
        await advance(1.0)
        assert await awake(s) == ["hold"]
        gate.set()
        await advance(1.5)
        assert await awake(s) == []


async def test_one_may_stop_itself(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def stop(me: Till) -> None:
        me.ctx.stop()

    async with running(system, tills(book), store=stores()) as s:
        await till(s, "a").tell(Till.do, stop)
        await till(s, "a").tell(Till.note, "on")
        await s.idle()
    assert book.words == ["a on"]
    assert book.begun["started a"] == 2


async def test_no_more_are_awake_than_may_be_and_those_that_rest_longest_make_room(
    system: Systems, stores: Stores
) -> None:
    book, most = Book(), 0

    async def count(me: Till) -> None:
        nonlocal most
        most = max(most, len(s.tree().children[-1].children[0].children))

    book.at_start = count
    async with running(system, tills(book, at_most=3), store=stores()) as s:
        for id in "abcab":
            await till(s, id).ask(Till.deposit, 1)
        await till(s, "d").ask(Till.deposit, 1)
        await settle()
        assert await awake(s) == ["a", "b", "d"]
        await asyncio.gather(*(till(s, str(n)).tell(Till.deposit, 1) for n in range(100)))
        await s.idle()
        assert len(await s.ref("/top/tills", Entities).ask(Entities.known)) == 104
        assert len(await awake(s)) <= 3
    assert most == 3


async def test_when_all_are_busy_the_next_ones_wait_in_their_order(system: Systems, stores: Stores) -> None:
    book, began, gate = Book(), asyncio.Event(), asyncio.Event()
    hold = book.deed(held(began, gate))
    async with running(system, tills(book, at_most=1), store=stores()) as s:
        await till(s, "a").tell(Till.do, hold)
        await began.wait()
        for id in "bcd":
            await till(s, id).tell(Till.note, "on")
        await advance(3.0)
        assert book.words == []
        gate.set()
        await s.idle()
    assert book.words == ["b on", "c on", "d on"]


async def test_nothing_is_kept_in_memory_of_those_that_sleep(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, tills(book, idle=1.0, at_most=10), store=stores()) as s:
        for n in range(50):
            await till(s, f"one {n}").ask(Till.deposit, 1)
        await advance(2.0)
        assert await awake(s) == []
        house: Any = s.ref("/top/tills", Entities).recipient
        mailbox = house.mailbox
        book.made.clear()
        await turns()
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, Till) and one.book is book]
        assert len(kept) <= 1  # the run queue knows the one that ran last
        assert [len(one) for one in (mailbox._places, mailbox._waiting, mailbox._resting)] == [0, 0, 0]
        assert (len(mailbox.front._writing), len(mailbox.front._hands), len(mailbox.front._lanes._behind)) == (0, 0, 0)
