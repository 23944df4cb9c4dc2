"""The laws of the receipts of many producers: given together and in order, to each its own."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.test_flights import Clerk, Disk
from upright.actors.durable import Receipt
from upright.actors.testing import settle
from upright.persistence import Memory

pytestmark = pytest.mark.anyio
MANY = 100


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class Producers:
    """Many tasks that tell a number each, and note in which order they hear of it. The first may cancel others then."""

    def __init__(self, clerk: Any, cancelled_by_the_first: tuple[int, ...] = ()) -> None:
        self.clerk, self.cancelled_by_the_first = clerk, cancelled_by_the_first
        self.heard: list[int] = []
        self.receipts: dict[int, Receipt] = {}
        self.tasks = [asyncio.create_task(self.tell(number)) for number in range(MANY)]

    async def tell(self, number: int) -> None:
        self.receipts[number] = await self.clerk.tell(Clerk.note, number)
        self.heard.append(number)
        if number == 0:
            for one in self.cancelled_by_the_first:
                self.tasks[one].cancel()

    async def end(self) -> None:
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_each_of_many_producers_gets_its_own_receipt_in_the_order_of_the_tells(
    system: Systems, disk: Disk
) -> None:
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        producers = Producers(await s.spawn("clerk", Clerk, noted))
        await settle()
        assert producers.heard == []
        await disk.has_it()
        await producers.end()
        assert producers.heard == noted == list(range(MANY))
        ids = [producers.receipts[number].id for number in range(MANY)]
        assert ids == sorted(set(ids))
        stored = [message.body for batch in disk.batches for message in batch.puts]
        assert [body[-1] for body in stored] == list(range(MANY)), "in this order the store has given its ids"
        await disk.has_it()


async def test_a_producer_that_was_cancelled_meanwhile_harms_no_other(system: Systems, disk: Disk) -> None:
    noted: list[int] = []
    gone = {0, 17, 18, 50, MANY - 1}
    async with quiet(system, store=Memory()) as s:
        producers = Producers(await s.spawn("clerk", Clerk, noted))
        await settle()
        for number in gone:
            producers.tasks[number].cancel()
        await disk.has_it()
        await producers.end()
        assert producers.heard == [number for number in range(MANY) if number not in gone]
        assert {number for number in gone if producers.tasks[number].cancelled()} == gone
        first = producers.receipts[1].id
        assert {number: one.id - first + 1 for number, one in producers.receipts.items()} == {
            number: number for number in producers.heard
        }
        await disk.has_it()


async def test_producers_that_are_cancelled_by_one_that_heard_before_harm_no_other(system: Systems, disk: Disk) -> None:
    """In the same turn of the loop: their receipts are there, and they do not go on with them any more."""
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        producers = Producers(await s.spawn("clerk", Clerk, noted), cancelled_by_the_first=(1, 50, MANY - 1))
        await settle()
        await disk.has_it()
        await producers.end()
        assert producers.heard == [number for number in range(MANY) if number not in (1, 50, MANY - 1)]
        assert [number for number, task in enumerate(producers.tasks) if task.cancelled()] == [1, 50, MANY - 1]
        await disk.has_it()


async def test_all_who_hear_of_one_write_are_woken_by_one_callback_of_the_loop(
    system: Systems, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[int] = []
    loop, calls = asyncio.get_running_loop(), list[object]()
    async with quiet(system, store=Memory()) as s:
        producers = Producers(await s.spawn("clerk", Clerk, noted))
        await settle()
        call_soon = loop.call_soon

        def counted(callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
            calls.append(callback)
            return call_soon(callback, *args, context=context)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_soon", counted)
            for one in disk.waiting:
                one.set_result(None)
            await asyncio.sleep(0)
        disk.waiting.clear()
        assert len(calls) < MANY / 4
        await disk.has_it()
        await producers.end()
        assert producers.heard == list(range(MANY))
        await disk.has_it()
