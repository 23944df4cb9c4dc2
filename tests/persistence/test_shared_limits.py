"""The laws of rate limits that systems on one store share."""

import asyncio
import bisect
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.persistence.crashes import PATIENCE
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Memory, Sqlite, StoreUnavailable
from upright.persistence.limits import GRAIN, RETRY, Limits, loan
from upright.supervision import RateLimit, child, pool, supervisor
from upright.supervision.shared_limit import Terms

RATE, BURST, JOBS = 100, 10, 150
API = RateLimit("api", RATE, burst=BURST, shared=True)


class Caller(Actor):
    """Notes when it calls."""

    mailbox = Durable("calls", order="free")
    uses = (API,)

    def __init__(self, calls: list[float]) -> None:
        self.calls = calls

    async def call(self, number: int) -> None:
        self.calls.append(time.monotonic())


@pytest.mark.anyio
async def test_two_systems_on_one_file_make_no_more_calls_than_one_may(tmp_path: Path) -> None:
    both: tuple[list[float], list[float]] = [], []
    systems = [
        ActorSystem(supervisor("top", child("caller", Caller, calls)), store=Sqlite(tmp_path / "jobs.db"), log=None)
        for calls in both
    ]
    async with systems[0], systems[1], asyncio.timeout(PATIENCE):
        caller = systems[0].ref("/top/caller", Caller)
        await asyncio.gather(*(caller.tell(Caller.call, number) for number in range(JOBS)))
        for system in systems:
            await system.idle()
    calls = sorted(both[0] + both[1])
    assert len(calls) == JOBS
    # A token may be used for a second after it was lent: that is added to what the bucket itself lets through.
    for at, began in enumerate(calls):
        within = bisect.bisect_left(calls, began + 0.5) - at
        assert within <= BURST + RATE * 0.5 + 2 * RATE * 0.1 + 1, "a tenth of a second's worth ahead, for each system"


@pytest.mark.anyio
async def test_a_limit_is_remembered_by_its_store_and_not_by_its_system(virtual_loop_store: Any) -> None:
    store, calls = virtual_loop_store, list[float]()
    for _ in range(2):
        tree = supervisor("top", pool("callers", Noter, size=2))
        async with ActorSystem(tree, store=store, log=None) as system:
            Noter.calls = calls
            refs = system.ref("/top/callers", Noter)
            for number in range(BURST):
                await refs.tell(Noter.call, number)
            await system.idle()
    loop = asyncio.get_running_loop()
    assert len(calls) == 2 * BURST
    assert loop.time() >= BURST / RATE - 0.01, "the second system found the bucket empty"


class Noter(Actor):
    """Notes when it calls, on the loop's clock."""

    mailbox = Durable("noted", order="free")
    uses = (API,)
    calls: list[float]

    async def call(self, number: int) -> None:
        self.calls.append(asyncio.get_running_loop().time())


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Virtual time for those that ask for its store."""
    if "virtual_loop_store" in request.fixturenames:
        return request.getfixturevalue("virtual_time")
    return "asyncio"


@pytest.fixture
def virtual_loop_store() -> Memory:
    return Memory()


class Broken:
    """A store that cannot be read."""

    def now(self) -> float:
        return 0.0

    async def read(self, address: str) -> None:
        raise StoreUnavailable("as told")


class Keeping:
    """Runs at once what a runtime would keep."""

    def keep(self, work: Any, name: str) -> None:
        with pytest.raises(StopIteration):
            work.send(None)


def test_a_store_that_fails_lends_nothing_and_is_asked_again() -> None:
    answers: list[tuple[int, float]] = []
    runtime: Any = Keeping()
    Limits(Broken(), runtime).lend("api", Terms(0.01, 10), 1, 5, lambda lent, wait: answers.append((lent, wait)))
    assert answers == [(0, RETRY)]


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20), st.integers(1, 20)), max_size=60),
    st.floats(0.01, 2.0),
    st.integers(1, 20),
)
def test_never_more_is_lent_than_burst_and_rate_allow(
    asks: list[tuple[float, int, int]], interval: float, burst: int
) -> None:
    """Tokens to come count when they have come."""
    now, full_at, lent = 1_000.0, 0.0, list[tuple[float, int]]()
    for pause, more, needed in asks:
        now += pause
        least = min(needed, burst)
        wanted = min(least + more, burst)
        got, full_at, wait = loan(Terms(interval, burst), full_at, wanted, now, least)
        assert got == 0 or least <= got <= wanted
        assert 0 <= wait <= (burst + 1) * interval + GRAIN
        if got:
            assert least > 1 or wait == 0
            lent.append((now + wait, got))
        else:
            assert wait > 0
    assert lent == sorted(lent, key=lambda one: one[0])
    for first, (began, _) in enumerate(lent):
        total = 0
        for at, got in lent[first:]:
            total += got
            assert total <= burst + (at - began + 2 * GRAIN) / interval


def test_a_clock_that_was_set_back_keeps_it_empty_for_no_longer_than_it_takes_to_fill_and_once_more() -> None:
    """It may have been lent before it was full, to one who needs much."""
    lent, _, wait = loan(Terms(1.0, 3), full_at=5_000.0, wanted=1, now=1_000.0)
    assert (lent, wait) == (0, 4.0)


def test_one_who_needs_much_gets_what_is_to_come_before_those_who_need_little() -> None:
    terms = Terms(1.0, 3)
    two, full_at, wait = loan(terms, 1_002.0, 2, 1_000.0, least=2)
    assert (two, wait) == (2, 1.0)
    assert loan(terms, full_at, 1, 1_000.5) == (0, full_at, 1.5), "until the third token has come"
    assert loan(terms, full_at, 2, 1_000.5, least=2) == (0, full_at, 0.5), "one at a time"
    assert loan(terms, full_at, 2, 1_001.0, least=2)[0::2] == (2, 2.0)
