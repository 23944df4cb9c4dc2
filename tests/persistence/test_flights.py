"""The laws of what is written and not on disk yet: others work meanwhile, and nobody hears of it before it is there."""

import asyncio
import errno
from collections import Counter
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from upright.actors import Actor, Ref
from upright.actors.testing import Recorder, settle
from upright.persistence import Durable, Memory, OutcomeUnknown
from upright.persistence.events import StoreFailing
from upright.persistence.flights import MOST
from upright.persistence.journal import GROUP, PAUSE, WORTH
from upright.persistence.memory_engine import MemoryEngine
from upright.persistence.records import NOBODYS, Batch, RecordWrite, Step, Verdict, Written
from upright.persistence.syncer import SyncFailed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Clerk(Actor):
    """Notes what it is told, and passes on what it is told to."""

    mailbox = Durable("clerk", window=1_000)

    def __init__(self, noted: list[int]) -> None:
        self.noted = noted

    async def note(self, number: int) -> int:
        self.noted.append(number)
        return number


class Disk:
    """Stands between a store in memory and who waits for it: a batch lasts when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[Batch] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.opened = 0
        write, open_ = MemoryEngine.write, MemoryEngine.open

        async def lagging(engine: MemoryEngine, batch: Batch) -> Written:
            written = await write(engine, batch)
            self.batches.append(batch)
            if batch.lasts:
                written.lasting = asyncio.get_running_loop().create_future()
                self.waiting.append(written.lasting)
            return written

        async def opening(engine: MemoryEngine, stirred: Any) -> None:
            self.opened += 1
            await open_(engine, stirred)

        monkeypatch.setattr(MemoryEngine, "write", lagging)
        monkeypatch.setattr(MemoryEngine, "open", opening)

    @property
    def steps(self) -> int:
        return sum(len(batch.steps) for batch in self.batches)

    async def has_it(self) -> None:
        """All that was written so far is on disk."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.set_result(None)
        await settle()

    async def breaks(self) -> None:
        """Nobody knows what of it is."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.set_exception(SyncFailed(errno.EIO, "a broken disk", "/jobs.db"))
        await settle()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def tells(clerk: Ref[Clerk], numbers: range) -> list["asyncio.Task[object]"]:
    return [asyncio.ensure_future(clerk.tell(Clerk.note, number)) for number in numbers]


def count_done(tasks: list["asyncio.Task[object]"]) -> int:
    return sum(task.done() for task in tasks)


async def test_what_is_written_is_handled_and_the_sender_waits_for_the_disk(system: Systems, disk: Disk) -> None:
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        clerk = await s.spawn("clerk", Clerk, noted)
        telling = tells(clerk, range(3))
        await settle()
        assert (noted, count_done(telling)) == ([0, 1, 2], 0)
        await disk.has_it()
        assert count_done(telling) == 3
        await disk.has_it()


async def test_a_reply_waits_for_the_disk_to_have_the_ack(system: Systems, disk: Disk) -> None:
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        clerk = await s.spawn("clerk", Clerk, noted)
        asking = asyncio.ensure_future(clerk.within(60.0).ask(Clerk.note, 7))
        await settle()
        assert (noted, asking.done(), disk.steps) == ([7], False, 0)
        await disk.has_it()  # the message
        assert (asking.done(), disk.steps) == (False, 1)
        await disk.has_it()  # its ack
        assert asking.result() == 7


async def test_a_reply_that_the_disk_gets_together_with_its_question_is_heard(system: Systems, disk: Disk) -> None:
    async with quiet(system, store=Memory()) as s:
        clerk = await s.spawn("clerk", Clerk, [])
        ask = clerk.within(60.0).ask
        asking = [asyncio.ensure_future(ask(Clerk.note, number)) for number in range(WORTH)]
        await settle()
        assert disk.steps == WORTH
        await disk.has_it()
        assert [one.done() and one.result() for one in asking] == [*range(WORTH)]


async def test_few_wait_until_the_disk_is_free_and_many_are_written_meanwhile(system: Systems, disk: Disk) -> None:
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        clerk = await s.spawn("clerk", Clerk, noted)
        first = tells(clerk, range(1))
        await settle()
        some = tells(clerk, range(1, WORTH - 1))  # with the ack of the first they are one too few
        await settle()
        assert [len(batch.puts) for batch in disk.batches if batch.puts] == [1]
        more = tells(clerk, range(WORTH - 1, 2 * WORTH))
        await settle()
        assert [len(batch.puts) for batch in disk.batches if batch.puts] == [1, 2 * WORTH - 1]
        assert noted == [*range(2 * WORTH)]
        assert count_done(first + some + more) == 0
        disk.waiting.pop(0).set_result(None)  # each for itself
        await settle()
        assert (count_done(first), count_done(some + more)) == (1, 0)
        await disk.has_it()
        assert count_done(first + some + more) == 2 * WORTH
        await disk.has_it()


async def test_acks_are_written_while_the_disk_is_busy(system: Systems, disk: Disk) -> None:
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        clerk = await s.spawn("clerk", Clerk, noted)
        telling = tells(clerk, range(WORTH))
        await settle()
        assert (disk.steps, count_done(telling)) == (WORTH, 0)
        await disk.has_it()
        assert count_done(telling) == WORTH


async def test_when_the_disk_breaks_all_that_was_under_way_is_unknown_and_the_store_opens_anew(
    system: Systems, disk: Disk
) -> None:
    noted: list[int] = []
    async with quiet(system, store=Memory()) as s:
        with Recorder(s) as recorder:
            clerk = await s.spawn("clerk", Clerk, noted)
            telling = tells(clerk, range(WORTH))
            await settle()
            telling += tells(clerk, range(WORTH, 2 * WORTH))
            await settle()
            assert len([batch for batch in disk.batches if batch.puts]) == 2
            await disk.breaks()
            for task in telling:
                with pytest.raises(OutcomeUnknown, match="a broken disk"):
                    await task
            assert len(recorder.of(StoreFailing)) == 1
            assert disk.opened == 2
            late = tells(clerk, range(2 * WORTH, 2 * WORTH + 1))
            await asyncio.sleep(1.0)
            await disk.has_it()
            assert (await asyncio.gather(*late)) is not None
            await disk.has_it()
        await s.idle()
        assert set(Counter(noted).values()) <= {1, 2}
        assert set(noted) == {*range(2 * WORTH + 1)}


async def test_a_disk_that_breaks_again_and_again_is_asked_ever_less(system: Systems, disk: Disk) -> None:
    store, clock = Memory(), asyncio.get_running_loop()
    async with quiet(system, store=store) as s:
        clerk, waits = s.ref("/elsewhere/clerk", Clerk), list[float]()
        for number in range(4):
            telling = asyncio.ensure_future(clerk.tell(Clerk.note, number))
            began = clock.time()
            while not disk.waiting:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(PAUSE / 4)
            waits.append(clock.time() - began)
            await disk.breaks()
            assert isinstance(telling.exception(), OutcomeUnknown)
            assert store.trouble is not None
        assert waits == pytest.approx([0.0, PAUSE, 2 * PAUSE, 4 * PAUSE], abs=PAUSE / 2)
        telling = asyncio.ensure_future(clerk.tell(Clerk.note, 9))
        await asyncio.sleep(10 * PAUSE)
        assert store.trouble is not None, "it is written, and the disk may break once more"
        await disk.has_it()
        assert telling.done()
        assert store.trouble is None


async def test_a_stop_waits_for_the_disk(system: Systems, disk: Disk) -> None:
    noted: list[int] = []
    s = await quiet(system, store=Memory()).start()
    clerk = await s.spawn("clerk", Clerk, noted)
    telling = tells(clerk, range(1))
    await settle()
    stopping = asyncio.ensure_future(s.stop())
    await asyncio.sleep(1.0)
    assert (stopping.done(), count_done(telling)) == (False, 0)
    await disk.has_it()
    await stopping
    assert count_done(telling) == 1


async def test_who_waits_for_what_was_given_before_waits_for_nothing_that_comes_after(
    system: Systems, disk: Disk
) -> None:
    store = Memory()
    async with quiet(system, store=store) as s:
        clerk = await s.spawn("clerk", Clerk, [])
        tells(clerk, range(WORTH))
        await settle()  # the messages are under way, and their acks are written
        flushed = asyncio.ensure_future(store.flushed())
        await settle()
        assert not flushed.done(), "somebody may still wait for these"
        tells(clerk, range(WORTH, 2 * WORTH))
        await settle()
        disk.waiting.pop(0).set_result(None)
        await settle()
        assert disk.waiting
        assert flushed.done()
        await disk.has_it()


async def test_when_the_disk_stalls_only_so_much_is_written_before_it_goes_on(system: Systems, disk: Disk) -> None:
    count = MOST + 2 * GROUP
    async with quiet(system, store=Memory()) as s:
        clerk = s.ref("/elsewhere/clerk", Clerk)
        telling: list[asyncio.Task[object]] = []
        for first in range(0, count, GROUP):
            telling += tells(clerk, range(first, first + GROUP))
            await settle()
        assert sum(len(batch.puts) for batch in disk.batches) == MOST
        await disk.has_it()
        assert count_done(telling) == MOST
        await disk.has_it()
        assert count_done(telling) == count


async def test_what_one_does_who_hears_of_a_broken_disk_keeps_no_other_from_hearing(
    system: Systems, disk: Disk
) -> None:
    store, verdicts, raised = Memory(), list[Verdict](), list[object]()

    def stumbles(_: Verdict) -> None:
        raise LookupError("on purpose")

    async with quiet(system, store=store):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
        for settled in (stumbles, verdicts.append):
            store.settle(Step(NOBODYS, "save", records=(RecordWrite("kind", "name", 0, b"x"),)), settled)
        await settle()
        await disk.breaks()
        assert [type(error) for error in raised] == [LookupError]
    assert verdicts in (["lost"], ["conflict"])
    assert disk.opened == 2


async def test_what_is_under_way_lands_although_the_journal_has_ended(system: Systems, disk: Disk) -> None:
    store: Any = Memory()
    async with quiet(system, store=store) as s:
        clerk = s.ref("/elsewhere/clerk", Clerk)
        telling = tells(clerk, range(WORTH))
        await settle()
        telling += tells(clerk, range(WORTH, 2 * WORTH))
        await settle()
        assert len(disk.waiting) == 2
        store._journal._task.cancel()
        await settle()
        await disk.has_it()
        assert [task.exception() for task in telling] == [None] * (2 * WORTH)
