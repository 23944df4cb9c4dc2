"""The laws of calls through a circuit: no permit is lost wherever a call is cut, and no more than its permits go."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

import pytest

from tests.supervision.circuits import EXACT
from upright.actors.guards import Guards
from upright.actors.testing import settle
from upright.supervision import CircuitBreaker, CircuitOpen
from upright.supervision.breaker import Breaker
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.timeout import Timeout
from upright.supervision.window import Tally

SMTP = CircuitBreaker("smtp", minimum_calls=1, permits=1, wait=EXACT)
MANY = CircuitBreaker("many", minimum_calls=1, permits=3, wait=EXACT)
PLACES = Bulkhead("places", running=1)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Step:
    """A point at which a call waits."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Timeless(Guards):
    """Guards that need no loop. They are half-open, with all permits."""

    def __init__(self, policy: CircuitBreaker = SMTP) -> None:
        super().__init__()
        self.clock = 0.0
        self.now = lambda: self.clock
        self.policy = policy
        machine = self.gate(policy).machine
        assert isinstance(machine, Breaker)
        self.machine = machine
        for _ in range(2):
            machine.leave(machine.enter(0.0, False, 1) or 0, ConnectionError(), 0.0, 0.0)
        self.clock = 5.0
        machine.give_back(machine.enter(5.0, False, 1) or 0, 5.0)
        assert (machine.state, self.room) == ("half-open", policy.permits)

    @property
    def room(self) -> float:
        return self.machine.room(self.clock)


async def block(guards: Timeless) -> None:
    await Step()
    async with guards.guard(guards.policy):
        await Step()
        await Step()
    await Step()


async def call(guards: Timeless) -> None:
    async def steps() -> None:
        await Step()
        await Step()

    await guards.call(guards.policy, steps)


async def by_generator(guards: Timeless) -> None:
    async def lines() -> AsyncGenerator[int, None]:
        async with guards.guard(guards.policy):
            for number in range(3):
                await Step()
                yield number

    source = lines()
    try:
        async for _ in source:
            await Step()
    finally:
        with contextlib.suppress(RuntimeError):  # cut in the middle of its own step
            await source.aclose()


WAYS = [block, call, by_generator]
CUTS: list[type[BaseException]] = [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit]
# Python hands no GeneratorExit on to a generator in the middle of its step: that one ends when it is forgotten.
BOTH = [(way, cut) for way in WAYS for cut in CUTS if (way, cut) != (by_generator, GeneratorExit)]


def drive(coroutine: Coroutine[Any, Any, Any], steps: int, cut: type[BaseException]) -> bool:
    """Make so many steps of it and cut it then; False if it had ended before."""
    try:
        for _ in range(steps):
            coroutine.send(None)
    except StopIteration:
        return False
    with pytest.raises(cut):
        coroutine.throw(cut())
    return True


class TestCuts:
    @pytest.mark.parametrize(("way", "cut"), BOTH)
    def test_wherever_a_call_is_cut_its_permit_comes_back_and_nothing_is_counted(
        self, way: Callable[[Timeless], Coroutine[Any, Any, None]], cut: type[BaseException]
    ) -> None:
        steps, cuts = 0, 0
        while True:
            guards = Timeless()
            if not drive(way(guards), steps, cut):
                break
            steps, cuts = steps + 1, cuts + 1
            if guards.machine.state == "half-open":  # else it was cut after its block, which had told that all is well
                assert (guards.room, guards.machine.tally()) == (1, Tally())
                drive(way(guards), 99, cut)
            assert guards.machine.state == "closed"
        assert cuts >= 3

    @pytest.mark.parametrize("way", WAYS)
    def test_a_call_that_is_forgotten_within_gives_its_permit_back(
        self, way: Callable[[Timeless], Coroutine[Any, Any, None]]
    ) -> None:
        for steps in range(3):
            guards = Timeless()
            coroutine = way(guards)
            for _ in range(steps):
                coroutine.send(None)
            coroutine.close()
            assert guards.room == 1

    @pytest.mark.anyio
    async def test_a_task_that_is_cancelled_before_its_first_step_has_taken_nothing(self) -> None:
        guards = Timeless()
        task = asyncio.create_task(block(guards))
        task.cancel()
        await asyncio.wait({task})
        assert guards.room == 1

    @pytest.mark.anyio
    async def test_a_call_that_is_cut_in_line_behind_the_circuit_gives_its_permit_back(self) -> None:
        """The circuit lets it through first, and then it waits for a place, which it may be given just then."""
        for steps in range(12):
            for release in range(12):
                guards = Timeless()
                places = guards.gate(PLACES)
                holder = places.machine.enter(places.now(), False, 1)
                task = asyncio.create_task(behind(guards))
                for step in range(12):
                    if step == release:
                        places.leave(holder, None, 0.0, guards.clock)
                    if step == steps:
                        task.cancel()
                    await asyncio.sleep(0)
                await asyncio.wait({task})
                assert (places.room(), places.waiting) == (1, 0)
                assert guards.room == 1, "closed again it begins gently, with as many as there were permits"

    @pytest.mark.anyio
    async def test_a_refusal_of_a_later_guard_gives_the_permit_back(self) -> None:
        guards = Timeless()
        none = Bulkhead("none", running=1, waiting=0)
        guards.gate(none).machine.enter(guards.now(), False, 1)
        for _ in range(5):
            with pytest.raises(Exception, match="bulkhead none is full"):
                async with guards.guard(none, SMTP):
                    raise AssertionError("not reached")
        assert (guards.room, guards.machine.tally()) == (1, Tally())

    @pytest.mark.anyio
    async def test_a_timeout_of_the_call_is_a_failure_and_a_cancellation_from_outside_is_none(self) -> None:
        guards = Timeless()
        task = asyncio.create_task(slow(guards))
        await settle()
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), guards.room) == (True, 1)
        with pytest.raises(TimeoutError):
            await slow(guards)
        assert guards.machine.state == "open"


async def behind(guards: Timeless) -> None:
    async with guards.guard(SMTP, PLACES):
        await asyncio.sleep(0)


async def slow(guards: Timeless) -> None:
    async with guards.guard(SMTP, Timeout("slow", 2.0)):
        await asyncio.sleep(1e6)


@pytest.mark.anyio
async def test_of_fifty_calls_at_once_exactly_the_permits_get_through() -> None:
    guards, came = Timeless(MANY), asyncio.Event()
    through, refusals = list[int](), list[CircuitOpen]()

    async def one(number: int) -> None:
        try:
            async with guards.guard(MANY):
                await came.wait()
            through.append(number)
        except CircuitOpen as error:
            refusals.append(error)

    tasks = [asyncio.create_task(one(number)) for number in range(50)]
    await settle()
    assert {error.guard for error in refusals} == {"many"}
    assert all(0 < error.retry_after <= MANY.half_open_max_wait for error in refusals)
    assert (through, len(refusals)) == ([], 47)
    came.set()
    await asyncio.wait(tasks)
    assert (through, len(refusals)) == ([0, 1, 2], 47)
    assert guards.machine.state == "closed"
