"""The laws of deliveries that were cut off: by a shutdown, by a neighbour's failure, by a state that cannot be read."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import Book, Clerk, Stores, Worker, clerk_ref, letters, running, story, worker, worker_ref
from upright.actors import Actor, ActorFailed, ActorSystem, SystemFailed, concurrent
from upright.actors.durable import Receipt
from upright.persistence import Durable, Quarantining, Retry
from upright.supervision import child, supervisor
from upright.supervision.retry import MAX_INTERRUPTS

pytestmark = pytest.mark.anyio


class Both(Actor):
    """Handles two at once: one that takes its time, and one that fails."""

    mailbox = Durable("both", order="free", retry=Retry(max_attempts=1))
    began, gate = asyncio.Event(), asyncio.Event()
    log: list[str] = []

    @concurrent(5)
    async def slow(self) -> None:
        self.log.append(f"slow {self.ctx.delivery.attempt}")
        Both.began.set()
        await Both.gate.wait()
        self.log.append("done")

    @concurrent(5)
    async def broken(self) -> None:
        raise Oops("on purpose")

    async def after(self) -> None:
        self.log.append("after")


async def test_a_failure_lets_those_that_overlap_with_it_come_to_their_ends(system: Systems, stores: Stores) -> None:
    Both.began, Both.gate, Both.log = asyncio.Event(), asyncio.Event(), []
    store = stores()
    async with running(system, child("a", Both).options(shutdown=0.01), store=store) as s:
        ref = s.ref("/top/a", Both)
        slow = await ref.tell(Both.slow)
        await Both.began.wait()
        broken = await ref.tell(Both.broken)
        await ref.tell(Both.after)
        assert slow is not None
        assert broken is not None
        while (await story(store, broken.id))[-1] != "quarantined":  # noqa: ASYNC110  # no event tells of a commit
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # far longer than its shutdown time
        assert Both.log == ["slow 1"]
        Both.gate.set()
        await s.idle()
        assert Both.log == ["slow 1", "done", "after"]
        assert await story(store, slow.id) == ["stored", "claimed", "acked"]


class Keyed(Actor):
    mailbox = Durable("keyed", order="keyed")
    running: dict[str, int] = {}
    most: dict[str, int] = {}

    @concurrent(8)
    async def work(self, key: str, number: int) -> None:
        self.running[key] = self.running.get(key, 0) + 1
        self.running["all"] = self.running.get("all", 0) + 1
        for name in (key, "all"):
            self.most[name] = max(self.most.get(name, 0), self.running[name])
        await asyncio.sleep(0.001)
        self.running[key] -= 1
        self.running["all"] -= 1


async def test_handlers_of_one_actor_that_overlap_are_of_different_keys(system: Systems, stores: Stores) -> None:
    Keyed.running, Keyed.most = {}, {}
    async with running(system, child("a", Keyed), store=stores()) as s:
        for number in range(20):
            for key in ("x", "y"):
                await s.ref("/top/a", Keyed).keyed(key).tell(Keyed.work, key, number)
        await s.idle()
        assert Keyed.most == {"x": 1, "y": 1, "all": 2}


async def test_a_stop_still_cuts_those_off_that_a_failure_waits_for(system: Systems, stores: Stores) -> None:
    Both.began, Both.gate, Both.log = asyncio.Event(), asyncio.Event(), []
    store = stores()
    async with running(system, child("a", Both).options(shutdown=0.01), store=store) as s:
        slow = await s.ref("/top/a", Both).tell(Both.slow)
        await Both.began.wait()
        await s.ref("/top/a", Both).tell(Both.broken)
        while not await letters(store):  # noqa: ASYNC110  # no event tells of a commit
            await asyncio.sleep(0.001)
    assert slow is not None
    assert (await story(store, slow.id))[-1] == "released"
    assert (await store.counts())["both"].waiting == 1


async def convert(_: Any) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        raise ConnectionError("lost while it was cancelled") from None


async def group(_: Any) -> None:
    async def spoil() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ConnectionError("lost while it was cancelled")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spoil())


@pytest.mark.parametrize("deed", [convert, group])
async def test_what_a_handler_makes_of_its_cancellation_is_no_failure(
    system: Systems, stores: Stores, deed: Any
) -> None:
    book, store = Book(), stores()
    began = asyncio.Event()

    @book.deed
    async def begin(me: Worker) -> None:
        began.set()
        await deed(me)

    spec = worker(book, retry=Retry(max_attempts=1)).options(shutdown=0.01)
    async with running(system, spec, store=store) as s:
        await worker_ref(s).tell(Worker.do, begin)
        await began.wait()
    assert await letters(store) == []
    assert (await store.counts())["work"].waiting == 1


async def test_one_that_was_cut_off_too_often_is_told_of_like_any_other(system: Systems, stores: Stores) -> None:
    book, store, told = Book(), stores(), list[Quarantining]()
    for _ in range(MAX_INTERRUPTS + 1):
        began = asyncio.Event()

        async def hang(_: Worker, began: asyncio.Event = began) -> None:
            began.set()
            await asyncio.get_running_loop().create_future()

        book.deeds["hang"] = hang
        spec = worker(book, retry=Retry(max_attempts=1)).options(shutdown=0.0)
        async with running(system, spec, store=store) as s:
            s.subscribe(told.append, Quarantining)
            await worker_ref(s).once("key").tell(Worker.do, "hang")
            await began.wait()
    assert [event.reason for event in told] == ["attempts"]
    async with running(system, worker(book), store=store) as s:
        with pytest.raises(ActorFailed):
            await worker_ref(s).once("key").ask(Worker.do, "hang")


class Newer(msgspec.Struct):
    __version__ = 2
    total: int = 0


async def test_a_state_that_cannot_be_read_when_its_turn_comes_costs_no_attempt(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    receipt: Receipt | None = None
    with pytest.raises(SystemFailed, match="stored as version"):
        tree = supervisor("top", worker(book, Clerk, retry=Retry(max_attempts=1)), max_restarts=0)
        async with ActorSystem(tree, store=store, log=None) as s:
            await clerk_ref(s).ask(Clerk.book_in, 1)
            front: Any = s._runtime.find("/top/a").mailbox.front  # type: ignore[union-attr]
            front.state.is_stale = True  # as when another session has had the address
            codec = front.state._codec

            class Unreadable:
                def decode(self, *_: Any) -> Any:
                    raise ValueError("stored as version 2")

                def encode(self, state: Any) -> bytes:
                    return bytes(codec.encode(state))

            front.state._codec = Unreadable()
            receipt = await clerk_ref(s).tell(Clerk.book_in, 1)
            await s.wait()
    assert receipt is not None
    assert await letters(store) == []
    assert await story(store, receipt.id) == ["stored"]
    assert (await store.counts())["clerk"].waiting == 1
