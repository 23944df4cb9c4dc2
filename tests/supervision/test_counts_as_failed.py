"""The laws of what a policy is told of a message whose handler guards its call with that very policy."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from upright.actors import Actor
from upright.actors.guards import Guards
from upright.actors.testing import CallChaos
from upright.persistence import Durable, Memory, Retry
from upright.supervision import Backoff, CircuitBreaker, RateLimit, Timeout, child, supervisor
from upright.supervision.errors import CircuitOpen, RateLimited

pytestmark = pytest.mark.anyio
DEP = CircuitBreaker("dep", consecutive=3, permits=1, wait=Backoff(100.0, 1_000.0, jitter="none"))
ONCE_MORE = Retry(max_attempts=3, jitter="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Caller(Actor):
    """Makes a call that ends when it likes, with a guard around it or without."""

    def __init__(self, seconds: float, calls: list[int]) -> None:
        self.seconds, self.calls = seconds, calls

    async def plain(self, number: int) -> None:
        self.calls.append(number)
        await asyncio.sleep(self.seconds)

    async def guarded(self, number: int) -> None:
        async with self.ctx.guard(DEP):
            await self.plain(number)


IN_TIME: dict[str, dict[str, Any]] = {
    "in memory": {"uses": (DEP, Timeout("dep", 1.0))},
    "durable": {"uses": (DEP, Timeout("dep", 1.0)), "mailbox": Durable("a", order="free", retry=ONCE_MORE)},
    "attempt_timeout": {
        "uses": (DEP,),
        "mailbox": Durable("a", order="free", retry=Retry(max_attempts=3, jitter="none", attempt_timeout=1.0)),
    },
}


@pytest.mark.parametrize("handler", [Caller.plain, Caller.guarded])
@pytest.mark.parametrize("way", IN_TIME)
async def test_a_time_out_is_a_failure_also_of_a_call_with_a_guard_of_its_own(
    system: Systems, way: str, handler: Any
) -> None:
    calls: list[int] = []
    kind = type("Timed", (Caller,), dict(IN_TIME[way]))
    tree = supervisor("top", child("a", kind, 3600.0, calls), max_restarts=100)
    async with quiet(system, store=Memory()) as s:
        await s.spawn_from(tree.blueprint())
        for number in range(6):
            await s.ref("/top/a", Caller).tell(handler, number)
        await asyncio.sleep(5.0)
        assert DEP.on(s).state == "open"
        assert len(calls) == 3, "and no attempt more"


@pytest.mark.parametrize("handler", [Caller.plain, Caller.guarded])
@pytest.mark.parametrize("kind", ["fault", "outcome", "crash"])
async def test_chaos_beside_a_breaker_is_seen_as_the_dependencys_also_where_the_call_has_a_guard(
    system: Systems, kind: str, handler: Any
) -> None:
    odds: dict[str, Any] = {kind: 1.0}
    chaos, calls = CallChaos("dep", seed=1, **odds), list[int]()
    struck = type("Struck", (Caller,), {"uses": (DEP, chaos), "mailbox": Durable("a", order="free", retry=ONCE_MORE)})
    async with quiet(system, store=Memory(), allows_chaos=True) as s:
        await s.spawn_from(supervisor("top", child("a", struck, 0.0, calls), max_restarts=100).blueprint())
        await s.ref("/top/a", Caller).tell(Caller.guarded, -1)  # from then on it is known where the call is
        await asyncio.sleep(3.0)
        for number in range(6):
            await s.ref("/top/a", Caller).tell(handler, number)
        await asyncio.sleep(5.0)
        assert DEP.on(s).state == "open"
        assert chaos.strikes(s.guards).count(kind) == 3


async def outcomes(guards: Guards, *policies: Any, block: bool) -> list[str]:
    async def call() -> None:
        """It does nothing."""

    seen: list[str] = []
    for _ in range(5):
        try:
            if block:
                async with guards.guard(*policies):
                    await call()
            else:
                await guards.call(policies, call)
        except Exception as error:
            seen.append(type(error).__name__)
    return seen


@pytest.mark.parametrize("block", [False, True])
async def test_chaos_in_a_block_is_seen_by_the_policies_around_it_as_in_a_call(block: bool) -> None:
    guards = Guards(allows_chaos=True)
    failing = await outcomes(guards, DEP, CallChaos("dep", seed=1, fault=1.0), block=block)
    assert failing == ["ConnectionError"] * 3 + [CircuitOpen.__name__] * 2


@pytest.mark.parametrize("block", [False, True])
async def test_latency_that_a_time_out_cuts_off_is_a_failure_in_a_block_too(block: bool) -> None:
    guards, slow = Guards(allows_chaos=True), CallChaos("dep", seed=1, latency=1.0, longest=1e6)
    seen = await outcomes(guards, DEP, Timeout("dep", 0.1), slow, block=block)
    assert seen == ["TimeoutError"] * 3 + [CircuitOpen.__name__] * 2


@pytest.mark.parametrize("block", [False, True])
async def test_a_fault_costs_a_token_as_a_call_does(block: bool) -> None:
    guards, limit = Guards(allows_chaos=True), RateLimit("dep", 1, longest_wait=0)
    seen = await outcomes(guards, limit, CallChaos("dep", seed=1, fault=1.0), block=block)
    assert seen == ["ConnectionError"] + [RateLimited.__name__] * 4


def test_a_class_of_policies_is_none() -> None:
    with pytest.raises(TypeError, match="uses to be a tuple of policies"):
        type("Wrong", (Actor,), {"uses": (CircuitBreaker,)})


@pytest.mark.parametrize("given", [{"rate": 5e-324}, {"rate": 0.1, "per": 1e308}, {"rate": 1e308, "per": 5e-324}])
def test_a_rate_that_no_float_can_keep_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected per / rate to be seconds that a float can say"):
        RateLimit("api", **given)


@pytest.mark.parametrize("field", ["rate", "per", "longest_wait"])
def test_a_number_too_large_for_a_float_is_refused_by_name(field: str) -> None:
    given: dict[str, Any] = {"rate": 1.0, field: 10**400}
    with pytest.raises(ValueError, match=rf"^expected {field} to be "):
        RateLimit("api", **given)
