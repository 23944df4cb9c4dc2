"""The laws of the lines in front of limits and bulkheads: what counts for much, who passes whom, and who is counted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from upright.actors import Actor, ActorSystem
from upright.actors.guards import Guards
from upright.actors.testing import advance, settle
from upright.persistence import Durable, Memory
from upright.supervision import Bulkhead, CircuitBreaker, RateLimit
from upright.supervision.errors import BulkheadFull, RateLimited

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


class Worker(Actor):
    """Notes when it began, and works for a second."""

    def __init__(self, begun: list[float]) -> None:
        self.begun = begun

    async def work(self, seconds: float = 1.0) -> None:
        self.begun.append(round(now(), 3))
        await asyncio.sleep(seconds)


def using(*policies: Any, durable: bool = False) -> type[Worker]:
    given: dict[str, Any] = {"uses": policies}
    if durable:
        given["mailbox"] = Durable("work", order="free")
    return type("Using", (Worker,), given)


@asynccontextmanager
async def workers(
    system: Systems, kind: type[Worker], many: int = 1
) -> AsyncGenerator[tuple[ActorSystem, list[Any], list[float]]]:
    begun: list[float] = []
    async with quiet(system, store=Memory()) as s:
        yield s, [await s.spawn(f"w{number}", kind, begun) for number in range(many)], begun


@pytest.mark.parametrize("durable", [False, True])
async def test_a_message_counts_for_as_much_at_a_limit_as_its_actor_says(system: Systems, durable: bool) -> None:
    limit = RateLimit("api", 1, burst=10, most_waiting=0)
    async with workers(system, using(limit.costing(5), durable=durable)) as (s, (worker,), begun):
        for _ in range(4):
            await worker.tell(Worker.work, 0.0)
        await s.idle()
        assert [round(at) for at in begun] == [0, 0, 5, 10]
        with pytest.raises(RateLimited):
            async with s.guards.guard(limit):
                pytest.fail("all is spent")


@pytest.mark.parametrize("durable", [False, True])
async def test_a_message_takes_as_many_places_of_a_bulkhead_as_its_actor_says(system: Systems, durable: bool) -> None:
    places = Bulkhead("db", running=5, waiting=0)
    async with workers(system, using(places.costing(2), durable=durable), 1 if durable else 4) as (s, them, begun):
        for number in range(4):
            await them[number % len(them)].tell(Worker.work)
        await settle()
        assert len(begun) == (1 if durable else 2), "a durable actor does one after the other anyway"
        with pytest.raises(BulkheadFull):
            async with s.guards.guard(places.costing(4)):
                pytest.fail("two of five are taken, or four")
        await s.idle()
        assert len(begun) == 4


async def test_of_two_weights_of_one_policy_the_larger_counts(system: Systems) -> None:
    places = Bulkhead("db", running=3)
    async with workers(system, using(places.costing(3), places), 2) as (_, them, begun):
        for one in them:
            await one.tell(Worker.work)
        await settle()
        assert len(begun) == 1


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("wait", [0.0, 60.0])
async def test_calls_that_do_not_wait_pass_no_message_that_waits(system: Systems, durable: bool, wait: float) -> None:
    one = Bulkhead("one", running=1, longest_wait=wait)
    async with workers(system, using(one, durable=durable)) as (s, (worker,), begun):
        calls, refused = 0, 0

        async def call_on_and_on() -> None:
            nonlocal calls, refused
            while True:
                try:
                    async with s.guards.guard(one):
                        calls += 1
                        await asyncio.sleep(0.5)
                except BulkheadFull:
                    refused += 1
                    await asyncio.sleep(0.5)

        calling = asyncio.ensure_future(call_on_and_on())
        await settle()
        for _ in range(5):
            await worker.tell(Worker.work)
        await advance(30.0)
        assert len(begun) == 5
        assert calls > 5, "and they go on as well"
        calling.cancel()


async def test_a_call_that_does_not_wait_goes_where_there_is_room_for_all_who_wait_and_for_it(system: Systems) -> None:
    breaker = CircuitBreaker("dep", consecutive=1)
    async with workers(system, using(breaker), 3) as (s, them, begun):
        breaker.on(s).force_open(who="me", why="a test")
        for one in them:
            await one.tell(Worker.work, 0.0)
        await settle()
        assert begun == []
        breaker.on(s).automatic(who="me", why="it is over")
        async with s.guards.guard(breaker):  # those three have not gone on yet
            assert begun == []
        await s.idle()
        assert len(begun) == 3


async def test_only_calls_are_counted_among_those_who_wait_in_line(system: Systems) -> None:
    places = Bulkhead("db", running=1, waiting=2)
    async with workers(system, using(places), 4) as (s, them, begun):
        for one in them:
            await one.tell(Worker.work)
        await settle()
        assert (len(begun), s.guards.gate(places).waiting) == (1, 3)

        async def call() -> float:
            async with s.guards.guard(places):
                return now()

        waiting = [asyncio.ensure_future(call()) for _ in range(3)]
        await settle()
        with pytest.raises(BulkheadFull):
            await waiting[2]
        assert await asyncio.gather(*waiting[:2]) == [4.0, 4.0]
        assert s.guards.gate(places).calls == 0


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("weight", [2, 3, 5])
async def test_a_call_that_counts_for_much_goes_when_so_many_have_come_in(
    system: Systems, shared: bool, weight: int
) -> None:
    limit = RateLimit("api", 2, burst=5, longest_wait=600.0, shared=shared)
    async with quiet(system, store=Memory()) as s:
        async with s.guards.guard(limit.costing(5)):
            pass

        async def call(one: RateLimit) -> float:
            async with s.guards.guard(one):
                return now()

        heavy = asyncio.ensure_future(call(limit.costing(weight)))
        await settle()
        behind = asyncio.ensure_future(call(limit))
        assert await heavy == pytest.approx(weight / 2, abs=0.05)
        assert await behind == pytest.approx((weight + 1) / 2, abs=0.05)


async def test_two_systems_on_one_store_let_one_who_needs_much_have_its_turn(system: Systems) -> None:
    """The other one is never without a call that needs little."""
    store = Memory()
    limit = RateLimit("api", 2, burst=4, longest_wait=600.0, shared=True)
    went: list[float] = []
    async with quiet(system, store=store) as s:

        async def call_on_and_on() -> None:
            while True:
                async with s.guards.guard(limit):
                    went.append(now())

        async def in_another_line() -> float:
            other: Any = Guards()
            other.lender, other.now = s.guards.lender, s.guards.now
            async with other.guard(limit.costing(4)):
                return now()

        calling = asyncio.ensure_future(call_on_and_on())
        await advance(5.0)
        heavy = await asyncio.wait_for(in_another_line(), 20.0)
        assert heavy < 5.0 + 4 + 2
        await advance(5.0)
        calling.cancel()
        assert len(went) + 4 <= 4 + 2 * (now() + 1)
