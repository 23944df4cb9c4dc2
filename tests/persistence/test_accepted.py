"""The laws of acceptance: what a tell has returned for is stored, outlives its system, and is handled."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Stores,
    Weather,
    Worker,
    failing,
    hang,
    held,
    letters,
    other_ref,
    rest,
    running,
    story,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import StartFailed
from upright.actors.testing import Recorder
from upright.persistence import NoStore, OutcomeUnknown, StoreUnavailable
from upright.persistence.events import StoreFailing

pytestmark = pytest.mark.anyio


async def test_a_tell_returns_only_after_the_message_is_stored(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await turns()
        weather = Weather(store)
        weather.calm.clear()
        telling = asyncio.create_task(worker_ref(s).tell(Worker.note, "x"))
        await turns()
        assert not telling.done()
        assert book.words == []
        weather.calm.set()
        await telling
        await s.idle()
        assert book.words == ["x"]


async def test_a_tell_that_could_not_be_stored_raises_and_nothing_was_accepted(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        Weather(store).before.append(StoreUnavailable("the disk is full"))
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await worker_ref(s).tell(Worker.note, "refused")
        assert await store.counts() == {}
        await worker_ref(s).tell(Worker.note, "accepted")
        await s.idle()
        assert book.words == ["accepted"]


async def test_a_look_for_messages_that_writes_nothing_does_not_tell_that_a_store_works_again(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        weather = Weather(store)
        weather.before.append(StoreUnavailable("the disk is full"))
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await worker_ref(s).tell(Worker.note, "refused")
        before = weather.writes
        store.stir(None)
        await until(lambda: weather.writes > before)
        await s.idle()
        assert str(store.trouble) == "the disk is full"
        await worker_ref(s).tell(Worker.note, "accepted")
        assert store.trouble is None


async def test_all_who_share_a_failed_batch_hear_of_it(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        Weather(store).before.append(StoreUnavailable("the disk is full"))
        tells = [worker_ref(s).tell(Worker.note, str(n)) for n in range(5)]
        results = await asyncio.gather(*tells, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 5
        await s.idle()
        assert book.words == []


async def test_an_ask_that_could_not_be_stored_raises(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        Weather(store).before.append(StoreUnavailable("the disk is full"))
        with pytest.raises(StoreUnavailable):
            await worker_ref(s).ask(Worker.note, "refused")
        assert await worker_ref(s).ask(Worker.note, "accepted") == "accepted"
        assert book.words == ["accepted"]


async def test_a_failing_store_is_told_as_an_event_and_outcomes_are_written_when_it_works_again(
    system: Systems, stores: Stores, recorders: list[Recorder]
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        Weather(store).before += [StoreUnavailable("the disk is full")] * 2
        gate.set()
        await s.idle()
        assert len(recorders[0].of(StoreFailing)) == 2
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert book.begun["hold"] == 1


async def test_when_the_outcome_of_a_write_is_unknown_the_sender_is_told_so_and_the_store_goes_on(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        Weather(store).after.append(OutcomeUnknown("the sync failed"))
        with pytest.raises(OutcomeUnknown):
            await worker_ref(s).tell(Worker.note, "perhaps")
        await worker_ref(s).tell(Worker.note, "surely")
        await s.idle()
        assert book.words in (["perhaps", "surely"], ["surely"])


async def test_a_message_that_was_written_in_a_write_of_unknown_outcome_is_handled_without_a_restart(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        Weather(store).after.append(OutcomeUnknown("the sync failed"))
        with pytest.raises(OutcomeUnknown):
            await worker_ref(s).tell(Worker.note, "perhaps")
        await until(lambda: book.words == ["perhaps"])
        await s.idle()
        assert await store.counts() == {}


async def test_an_outcome_of_which_the_sync_failed_is_told_to_the_asker_all_the_same(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with running(system, worker(book), store=store) as s:
        asking = asyncio.create_task(worker_ref(s).within(5.0).ask(Worker.do, "hold"))
        await began.wait()
        Weather(store).after.append(OutcomeUnknown("the sync failed"))
        gate.set()
        assert await asking is None
        await s.idle()


async def test_when_the_journal_dies_a_tell_raises_and_does_not_hang(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await s.idle()
        for task in asyncio.all_tasks():
            if task.get_name() == "upright journal":
                task.cancel()
        with pytest.raises(StoreUnavailable):
            async with asyncio.timeout(5):
                await worker_ref(s).tell(Worker.note, "x")


@pytest.mark.parametrize("how", ["hold", "brutal"])
async def test_what_was_accepted_outlives_its_system_in_order(system: Systems, stores: Stores, how: str) -> None:
    book = Book()
    began = asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    shutdown: Any = "brutal" if how == "brutal" else 0.01
    async with running(system, worker(book).options(shutdown=shutdown), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        for n in range(300):
            await worker_ref(s).tell(Worker.note, str(n))
    assert book.words == []
    book.deeds["hold"] = rest
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
        assert book.words == [str(n) for n in range(300)]
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
        assert len(book.words) == 300


async def test_a_message_finds_its_actor_by_the_address_when_the_path_has_changed(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    book.deeds["hang"] = hang
    async with running(system, worker(book, name="old").options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s, "old").tell(Worker.do, "hang")
        await worker_ref(s, "old").tell(Worker.note, "x")
    book.deeds["hang"] = rest
    async with running(system, worker(book, name="new"), store=stores()) as s:
        await s.idle()
    assert book.words == ["x"]


async def test_messages_for_an_actor_that_is_not_started_wait_for_it(system: Systems, stores: Stores) -> None:
    book = Book()
    book.deeds["hang"] = hang
    async with running(system, worker(book).options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hang")
        await worker_ref(s).tell(Worker.note, "x")
    async with running(system, worker(book, Other, "b"), store=stores()) as s:
        await other_ref(s).tell(Other.note, "y")
        await s.idle()
    book.deeds["hang"] = rest
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert book.words == ["y", "x"]


async def test_a_plain_message_is_stored_claimed_and_acked(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    ids: list[int] = []

    @book.deed
    async def look(me: Worker) -> None:
        ids.append(me.ctx.delivery.id)

    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, look)
        await s.idle()
        assert await story(store, ids[0]) == ["stored", "claimed", "acked"]
        assert await store.story(10_000) == []
        assert await letters(store) == []


async def test_while_a_message_is_delayed_the_store_is_left_in_peace(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        weather = Weather(store)
        await worker_ref(s).later(0.1).tell(Worker.note, "late")
        await s.idle()
        assert book.words == ["late"]
        assert weather.writes < 20


async def test_a_handler_that_failed_is_run_again_until_it_returns(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    book.deeds["try"] = failing(2)
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, "try")
        await s.idle()
        assert book.begun["try"] == 3
        assert await store.counts() == {}


async def test_a_system_that_was_idle_has_nothing_left_in_its_store_to_do(system: Systems, stores: Stores) -> None:
    book = Book()
    book.deeds["hang"] = hang
    async with running(system, worker(book).options(shutdown="brutal"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "hang")
        await worker_ref(s).later(0.05).tell(Worker.note, "late")
    book.deeds["hang"] = rest
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()  # at once after the start
        assert book.words == ["late"]


async def test_a_durable_actor_in_a_system_without_a_store_is_refused_with_what_to_do(system: Systems) -> None:
    with pytest.raises((NoStore, StartFailed), match=r"/top/a.*store=Sqlite"):
        async with running(system, worker(Book()), store=None):
            pass


async def test_one_store_serves_one_system_at_a_time(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store):
        with pytest.raises(StoreUnavailable, match="a store of its own"):
            async with running(system, worker(book), store=store):
                pass
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.note, "x")
        await s.idle()
    assert book.words == ["x"]
