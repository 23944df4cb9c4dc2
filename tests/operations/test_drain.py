"""A drain ends all in its order and in its time, loses nothing that was accepted, and costs nothing that is cut off."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Clerk, Other, Plain, Worker, held, story, turns, worker
from upright.actors import Actor, ActorGone, ActorSystem, Bounded, Exit
from upright.operations import Health, ServiceDraining, ServiceHurried
from upright.operations.drain import Drain
from upright.persistence import Memory, Sqlite, Store
from upright.supervision import ChildSpec, child, supervisor

pytestmark = pytest.mark.anyio
Stores = Callable[[], Store]
WITHIN = 10.0
GRACE = 1.0


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.fixture(params=["sqlite", "memory"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Opens the store of the test."""
    if request.param == "sqlite":
        return lambda: Sqlite(tmp_path / "jobs.db")
    memory = Memory()
    return lambda: memory


def drain_of(system: ActorSystem, within: float = WITHIN) -> Drain:
    return Drain(system, Health(system), within)


def top(*children: ChildSpec[Any]) -> ChildSpec[Any]:
    return supervisor("top", *children, max_restarts=0)


async def told(ref: Any, handler: Any, word: str) -> int:
    """The id of a message, once it is stored."""
    receipt = await ref.tell(handler, word)
    return int(receipt.id)


def now() -> float:
    return asyncio.get_running_loop().time()


class Full(Plain):
    mailbox = Bounded(1)


class Tracked(Actor):
    """Writes down its end, which takes so long."""

    def __init__(self, book: Book, name: str, takes: float = 0.0) -> None:
        self._book, self._name, self._takes = book, name, takes

    async def stopping(self, reason: Exit) -> None:
        await asyncio.sleep(self._takes)
        self._book.add(self._name)


class Stubborn:
    """A deed that swallows being cancelled, until the test lets it go."""

    def __init__(self) -> None:
        self.began, self.gate = asyncio.Event(), asyncio.Event()

    async def __call__(self, _: Any) -> None:
        self.began.set()
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue


class Hanging(Stubborn):
    """A deed that only ends when it is cancelled."""

    async def __call__(self, _: Any) -> None:
        self.began.set()
        await self.gate.wait()


every_deed = pytest.mark.parametrize("kind", [Hanging, Stubborn])


async def test_its_steps_come_in_their_order(system: Systems, stores: Stores) -> None:
    book, store, began, gate = Book(), stores(), asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    made = system(
        top(child("x", Tracked, book, "x"), worker(book), child("y", Tracked, book, "y")), store=store, log=None
    )
    health = Health(made)
    drain = Drain(made, health, WITHIN)
    made.subscribe(lambda event: book.add(f"draining, ready={health.ready().ok}"), ServiceDraining)
    async with made:
        health.started = True
        closing = store.close

        async def note_and_close() -> None:
            book.add("closed")
            await closing()

        store.close = note_and_close  # type: ignore[method-assign]
        assert health.ready().ok
        id = await told(made.ref("/top/a", Worker), Worker.do, "hold")
        await began.wait()
        behind = await told(made.ref("/top/a", Worker), Worker.note, "behind")
        drain.begin("a test")
        ending = asyncio.create_task(drain.finish())
        await turns()
        assert book.words == ["draining, ready=False"]
        gate.set()
        await ending
        assert book.words[1:] == ["y", "x", "closed"]
        store.close = closing  # type: ignore[method-assign]
    async with system(store=store, log=None):
        assert (await story(store, id))[-1] == "acked"
        assert "claimed" not in (await story(store, behind))[-1:]
        assert "acked" not in await story(store, behind)


async def test_what_is_told_meanwhile_is_stored_for_the_next_process(system: Systems, stores: Stores) -> None:
    book, store, began, gate = Book(), stores(), asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    async with system(top(worker(book), worker(book, Other, "b")), store=store, log=None) as first:
        drain = drain_of(first)
        await first.ref("/top/a", Worker).tell(Worker.do, "hold")
        await began.wait()
        drain.begin("a test")
        for word in ("one", "two"):
            await first.ref("/top/b", Other).tell(Other.note, word)
        gate.set()
        await drain.finish()
        assert book.words == []
    async with system(top(worker(book), worker(book, Other, "b")), store=stores(), log=None) as second:
        await second.idle()
    assert book.words == ["one", "two"]


@every_deed
async def test_what_is_cut_off_goes_back_without_having_used_an_attempt(
    system: Systems, stores: Stores, kind: type[Stubborn]
) -> None:
    book, deed = Book(), kind()
    book.deeds["hang"] = deed
    async with system(top(worker(book)), store=stores(), log=None, grace=GRACE) as first:
        id = await told(first.ref("/top/a", Worker), Worker.do, "hang")
        waits = await told(first.ref("/top/a", Worker), Worker.note, "after")
        await deed.began.wait()
        await drain_of(first).finish()
    deed.gate.set()
    store = stores()
    async with system(top(worker(book)), store=store, log=None) as second:
        await second.idle()
        for message in (id, waits):
            last = (await store.story(message))[-1]
            assert (last.name, last.attempt) == ("acked", 1)
    assert book.words == ["after"]


@every_deed
@pytest.mark.parametrize("actor", [Worker, Plain])
async def test_a_handler_that_does_not_end_takes_no_more_than_the_time_and_its_grace(
    system: Systems, stores: Stores, kind: type[Stubborn], actor: Any
) -> None:
    book, deed = Book(), kind()
    book.deeds["hang"] = deed
    made = system(top(worker(book, actor)), store=stores(), log=None, grace=GRACE)
    async with made:
        await made.ref("/top/a", actor).tell(actor.do, "hang")
        await deed.began.wait()
        since = now()
        await drain_of(made).finish()
        assert now() - since <= WITHIN + GRACE
        assert not made.running
    deed.gate.set()


async def test_a_deep_tree_whose_ends_take_very_long_takes_no_more_than_the_time_and_its_grace(system: Systems) -> None:
    book = Book()
    tree: ChildSpec[Any] = child("leaf", Tracked, book, "leaf", 100.0).options(shutdown=100.0)
    beside = [child(f"beside-{number}", Tracked, book, "", 100.0).options(shutdown=100.0) for number in range(3)]
    for depth in range(5):
        tree = supervisor(f"level-{depth}", tree, *beside).options(shutdown=100.0)
    made = system(tree, log=None, grace=GRACE)
    async with made:
        since = now()
        await drain_of(made).finish()
        assert now() - since <= WITHIN + GRACE


async def test_a_suspect_that_waits_to_be_alone_goes_back_in_time(system: Systems, stores: Stores) -> None:
    book, store, began = Book(), stores(), asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    made = system(top(worker(book), worker(book, Other, "b")), store=store, log=None)
    async with made:
        await made.ref("/top/a", Worker).tell(Worker.do, "hold")
        await began.wait()
        waiting = asyncio.create_task(store.solitude.enter("somebody", True))
        await turns()
        assert not waiting.done()
        id = await told(made.ref("/top/b", Other), Other.note, "not now")
        since = now()
        await drain_of(made).finish()
        assert now() - since <= WITHIN + GRACE
        waiting.cancel()
        await asyncio.wait({waiting})
    assert book.words == []
    async with system(store=store, log=None):
        assert "begun" not in await story(store, id)


async def test_senders_who_wait_at_a_full_mailbox_wait_no_longer_and_hold_up_nobody(system: Systems) -> None:
    book, began = Book(), asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    made = system(top(child("a", Full, book)), log=None)
    async with made:
        ref = made.ref("/top/a", Plain)
        await ref.tell(Plain.do, "hold")
        await began.wait()
        sending = [asyncio.create_task(ref.tell(Plain.note, "more")) for _ in range(5)]
        await turns()
        assert sum(task.done() for task in sending) == 1
        since = now()
        await drain_of(made).finish()
        assert now() - since <= WITHIN + GRACE
        assert all(task.done() for task in sending)
        for said in await asyncio.gather(*sending, return_exceptions=True):
            assert said is None or isinstance(said, ActorGone)
    assert book.words == []


@pytest.mark.parametrize("meanwhile", ["handlers", "ends"])
async def test_hurried_what_runs_is_cancelled_at_once(system: Systems, stores: Stores, meanwhile: str) -> None:
    book, began = Book(), asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    slow = child("slow", Tracked, book, "slow", 100.0).options(shutdown=100.0)
    made, told = system(top(worker(book), slow), store=stores(), log=None), list[str]()
    made.subscribe(lambda event: told.append(event.why), ServiceHurried)
    async with made:
        if meanwhile == "handlers":
            await made.ref("/top/a", Worker).tell(Worker.do, "hold")
            await began.wait()
        drain, since = drain_of(made), now()
        ending = asyncio.create_task(drain.finish())
        await asyncio.sleep(1)
        drain.hurry("SIGTERM, again")
        drain.hurry("SIGTERM, and again")
        await ending
        assert now() - since <= 1 + GRACE
        drain.hurry("too late")
    assert told == ["SIGTERM, again"]


async def test_hurried_before_it_has_begun_it_begins(system: Systems) -> None:
    made = system(top(child("x", Tracked, Book(), "x", 100.0).options(shutdown=100.0)), log=None)
    async with made:
        drain, since = drain_of(made), now()
        drain.hurry("twice in one instant")
        assert drain.begun.is_set()
        await drain.finish()
        assert now() - since <= GRACE


async def test_whoever_is_cancelled_ends_only_the_own_wait(system: Systems) -> None:
    book = Book()
    made = system(top(child("x", Tracked, book, "x", 3.0)), log=None)
    async with made:
        drain = drain_of(made)
        waiting = asyncio.create_task(drain.finish())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        await drain.finish()
        assert not made.running
    assert book.words == ["x"]


async def test_begun_twice_it_is_told_once_and_the_time_runs_from_the_first(system: Systems) -> None:
    book, told = Book(), list[Any]()
    made = system(top(child("x", Tracked, book, "x", 100.0).options(shutdown=100.0)), log=None)
    made.subscribe(told.append, ServiceDraining)
    async with made:
        drain = drain_of(made)
        drain.begin("first")
        since = now()
        await asyncio.sleep(6)
        drain.begin("second")
        await drain.finish()
        assert now() - since <= WITHIN + GRACE
    assert [(event.why, event.within_s) for event in told] == [("first", WITHIN)]


async def test_with_no_time_at_all_it_ends_at_once(system: Systems, stores: Stores) -> None:
    book, began = Book(), asyncio.Event()
    book.deeds["hold"] = held(began, asyncio.Event())
    made = system(top(worker(book, Clerk)), store=stores(), log=None)
    async with made:
        await made.ref("/top/a", Clerk).tell(Clerk.do, "hold")
        await began.wait()
        since = now()
        await drain_of(made, 0.0).finish()
        assert now() - since <= GRACE


async def test_of_a_system_that_has_ended_nothing_is_left_to_do(system: Systems) -> None:
    made = system(top(), log=None)
    async with made:
        await made.stop()
        await drain_of(made).finish()
