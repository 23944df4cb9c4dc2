"""The laws of pauses that last: what was counted and what was claimed is right again when they end."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Oops, Systems, hang, quiet, sleep
from tests.actors.outage import BY, LATER, SMTP
from tests.persistence.jobs import Book, Stores, Worker, story, worker, worker_ref
from tests.persistence.outages import Outage, at, calls, claimed, running
from upright.actors import ActorSystem
from upright.actors.testing import advance, settle
from upright.persistence import Memory, Retry
from upright.supervision import Bulkhead, CircuitBreaker, supervisor

pytestmark = pytest.mark.anyio
ONE = CircuitBreaker("one", consecutive=1, wait=LATER, permits=1, slow_start=0)
SINGLE = Bulkhead("single", running=1)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def trip(system: Any, policy: CircuitBreaker) -> None:
    with pytest.raises(Oops):
        async with system.guards.guard(policy):
            raise Oops("down")


class TestWhatTheCircuitSees:
    async def test_a_handler_that_takes_too_long_is_a_failure_of_the_dependency(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store = Outage(), stores()
        outage.book.deeds["hang"] = hang
        short = Retry(max_attempts=3, attempt_timeout=1.0)
        async with running(system, outage.spec(SMTP, retry=short), store=store) as s:
            _ = await at(s).tell(Worker.do, "hang")
            await advance(1.5)
            assert SMTP.on(s).state == "open"
            outage.book.deeds["hang"] = outage.call
            await s.idle()

    async def test_a_system_stops_at_once_while_it_is_open_and_everything_is_there_in_the_next(
        self, system: Systems, stores: Stores
    ) -> None:
        outage, store = Outage(), stores()
        async with running(system, outage.spec(SMTP, size=3, order="free"), store=store) as s:
            SMTP.on(s).force_open(**BY)
            ids = await calls(at(s), 20)
            await settle()
            began = s.guards.now()
        assert asyncio.get_running_loop().time() - began < 1.0
        async with running(system, outage.spec(SMTP, size=3, order="free"), store=stores()) as s:
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert sorted(outage.done) == ids


async def test_an_actor_with_nothing_left_to_wait_for_is_idle(system: Systems, stores: Stores) -> None:
    """Another one took the permits of those that it had claimed; then they were cancelled by hand."""
    outage, store = Outage(), stores()
    outage.dependency.takes = 10.0
    specs = [outage.spec(SINGLE, SMTP, name=name, address=name) for name in "ab"]
    async with running(system, *specs, store=store) as s:
        await calls(at(s, "a"), 1)
        await settle()
        ids = await calls(at(s, "b"), 1)
        await advance(1.0)
        SMTP.on(s).force_open(**BY)
        await advance(20.0)
        for id in ids:
            assert await store.cancel(id)
        await s.idle()
        assert (await story(store, ids[0]))[-1] == "cancelled"


async def test_a_paused_actor_lets_go_of_what_it_had_claimed_and_waits_for_nothing(
    system: Systems, stores: Stores
) -> None:
    outage, store = Outage(), stores()
    outage.dependency.takes = 10.0
    specs = [outage.spec(SMTP, name=name, address=name) for name in "abc"]
    async with running(system, *specs, store=store) as s:
        await trip(s, SMTP)
        for name in "abc":
            await calls(at(s, name), 2)
        await advance(6.0)
        assert SMTP.on(s).state == "half-open"
        claims = sum([await claimed(store, name) for name in "abc"])
        assert claims >= 2
        SMTP.on(s).force_open(**BY)
        await settle()
        waiting = SMTP.on(s).waiting
        ids = [id for id in range(1, 7) if await store.cancel(id)]
        assert len(ids) == 4
        await s.idle()
        assert (waiting, SMTP.on(s).waiting) == (0, 0)


async def test_a_park_of_more_than_a_minute_ends(system: Systems, stores: Stores) -> None:
    outage = Outage()
    outage.dependency.is_down = True
    async with running(system, outage.spec(order="free", retry=Retry(max_attempts=100)), store=stores()) as s:
        ids = await calls(at(s), 20)
        await advance(3600.0)
        tried = len(outage.tried)
        await advance(600.0)
        assert len(outage.tried) > tried
        outage.dependency.is_down = False
        await s.idle()
        assert sorted(outage.done) == ids


async def test_a_handler_that_has_shown_its_call_is_judged_by_that_alone(system: Systems, stores: Stores) -> None:
    """An error before the call tells nothing of the dependency: one bad message must not cut it off."""
    outage = Outage()

    async def guarded(worker: Any) -> None:
        async with worker.ctx.guard(ONE):
            pass

    async def bad(_: Any) -> None:
        raise Oops("bad input")

    outage.book.deeds |= {"good": guarded, "bad": bad}
    retry = Retry(max_attempts=3, base=0.1, cap=0.1)
    async with running(system, outage.spec(ONE, order="free", retry=retry), store=stores()) as s:
        _ = await at(s).tell(Worker.do, "good")
        await s.idle()
        _ = await at(s).tell(Worker.do, "bad")
        await s.idle()
        assert ONE.on(s).state == "closed"
        assert ONE.on(s).tally.calls == 1


@pytest.mark.parametrize("verb", ["kill", "end"])
async def test_one_whose_delivery_failed_ends_when_it_is_told_to(system: Systems, verb: str) -> None:
    """Though another handler, which overlaps with the one that failed, has not come to its end."""
    book = Book()
    book.deeds["long"] = sleep(10.0)
    tree = supervisor("top", worker(book, order="free"), max_restarts=9)
    async with quiet(ActorSystem, tree=tree, store=Memory()) as s:
        await worker_ref(s).tell_many(Worker.overlap, ["long", "fail"])
        await advance(1.0)
        async with asyncio.timeout(60.0):
            await getattr(s, verb)(worker_ref(s))
