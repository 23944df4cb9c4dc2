"""The laws of a circuit in front of a real server: while it is open not one request reaches the server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.supervision.flaky import Flaky
from upright.actors import Actor, ActorSystem
from upright.actors.events import ActorResumed
from upright.actors.guards import Guards
from upright.actors.testing import Recorder
from upright.supervision import Backoff, Circuit, CircuitBreaker, CircuitOpen
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerOpened
from upright.supervision.timeout import Timeout

pytestmark = pytest.mark.anyio
LONG = Backoff(3600.0, 3600.0, jitter="none")
"""Nobody waits for its end: an operator ends it."""
SHORT = Backoff(0.02, 0.05)
API = CircuitBreaker("api", minimum_calls=4, wait=LONG, slow_start=0.0)
SOON = CircuitBreaker("soon", minimum_calls=2, permits=1, wait=SHORT, slow_start=0.0)
IMPATIENT = Timeout("impatient", 0.05)
WHO = {"who": "ada", "why": "the test goes on"}


@pytest.fixture
async def server() -> AsyncIterator[Flaky]:
    async with Flaky() as flaky:
        yield flaky


class Client:
    """Calls a server through a circuit. `outcomes`: what came of each."""

    def __init__(self, server: Flaky, policy: CircuitBreaker = API) -> None:
        self.server, self.policy = server, policy
        self.guards = Guards()
        self.outcomes = list[str]()

    @property
    def circuit(self) -> Circuit:
        return self.policy.on(self.guards)

    async def get(self, *more: Any) -> str:
        try:
            async with self.guards.guard(self.policy, *more):
                outcome = await self.server.get()
        except Exception as error:
            outcome = type(error).__name__
        self.outcomes.append(outcome)
        return outcome

    async def gets(self, times: int, *more: Any) -> list[str]:
        """So many, one after the other."""
        return [await self.get(*more) for _ in range(times)]

    async def at_once(self, times: int) -> list[str]:
        return sorted(await asyncio.gather(*(self.get() for _ in range(times))))


async def test_errors_of_the_server_open_it_and_then_no_request_reaches_the_server(server: Flaky) -> None:
    client = Client(server)
    assert await client.gets(4) == ["ok"] * 4
    server.mood = "failing"
    assert await client.gets(5) == ["ServerError"] * 4 + ["CircuitOpen"]
    assert (client.circuit.state, server.came) == ("open", 8)
    assert await client.at_once(50) == ["CircuitOpen"] * 50
    assert server.came == 8


async def test_exactly_the_permits_reach_the_server_when_it_is_half_open_and_it_closes_when_they_are_well(
    server: Flaky,
) -> None:
    client = Client(server)
    server.mood = "failing"
    await client.gets(4)
    server.mood = "slow"
    client.circuit.half_open(**WHO)
    asking = asyncio.create_task(client.at_once(50))
    await server.seen(7)
    assert client.circuit.state == "half-open"
    server.release.set()
    assert await asking == ["CircuitOpen"] * 47 + ["slow"] * 3
    assert (client.circuit.state, server.came) == ("closed", 7)
    server.mood = "healthy"
    assert await client.at_once(50) == ["ok"] * 50


async def test_a_server_that_is_still_down_gets_its_permits_only_and_it_opens_again(server: Flaky) -> None:
    client = Client(server)
    server.mood = "failing"
    await client.gets(4)
    for opened in (1, 2, 3):
        client.circuit.half_open(**WHO)
        assert await client.gets(10) == ["ServerError"] * 3 + ["CircuitOpen"] * 7
        assert (client.circuit.state, server.came) == ("open", 4 + 3 * opened)


async def test_slow_answers_open_it(server: Flaky) -> None:
    client = Client(server, CircuitBreaker("api", minimum_calls=4, wait=LONG, slow_call=1e-9))
    assert await client.gets(5) == ["ok"] * 4 + ["CircuitOpen"]


async def test_a_server_that_hangs_opens_it_where_a_timeout_ends_the_calls(server: Flaky) -> None:
    client = Client(server)
    server.mood = "hanging"
    assert set(await client.gets(4, IMPATIENT)) <= {"TimeoutError", "CallTimedOut"}
    assert await client.get(IMPATIENT) == "CircuitOpen"
    assert server.came <= 4


async def test_calls_into_a_server_that_hangs_which_are_cancelled_tell_nothing_and_lose_no_permit(
    server: Flaky,
) -> None:
    client = Client(server)
    server.mood = "failing"
    await client.gets(4)
    client.circuit.half_open(**WHO)
    server.mood = "hanging"
    for turn in range(3):
        tasks = [asyncio.create_task(client.get()) for _ in range(3)]
        await server.seen(4 + 3 * (turn + 1))
        assert await client.get() == "CircuitOpen"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (client.circuit.state, client.circuit.lets_through) == ("half-open", True)
    server.mood = "healthy"
    assert await client.gets(3) == ["ok"] * 3
    assert client.circuit.state == "closed"


async def test_a_port_that_refuses_opens_it_and_it_closes_when_the_server_is_back(server: Flaky) -> None:
    client = Client(server)
    await server.refuse()
    assert await client.gets(5) == ["ConnectionRefusedError"] * 4 + ["CircuitOpen"]
    await server.listen()
    assert await client.gets(3) == ["CircuitOpen"] * 3
    assert server.came == 0
    client.circuit.half_open(**WHO)
    assert await client.gets(3) == ["ok"] * 3
    assert client.circuit.state == "closed"


async def test_a_server_that_drops_its_connections_opens_it(server: Flaky) -> None:
    client = Client(server)
    server.mood = "hanging"
    asking = asyncio.create_task(client.at_once(4))
    await server.seen(4)
    await server.refuse()
    assert set(await asking) <= {"IncompleteReadError", "ConnectionResetError"}
    assert client.circuit.state == "open"


async def test_the_time_that_the_server_names_is_how_long_it_is_open(server: Flaky) -> None:
    told = list[BreakerOpened]()
    client = Client(server)
    client.guards = Guards(lambda event: told.append(event) if isinstance(event, BreakerOpened) else None)
    server.mood = "busy"
    assert await client.gets(4) == ["RetryAfter"] * 4
    assert [event.wait_s for event in told] == [7.0]
    with pytest.raises(CircuitOpen) as raised:
        async with client.guards.guard(API):
            raise AssertionError("not reached")
    assert 0 < raised.value.retry_after <= 7.0


async def test_an_answer_that_comes_after_it_has_opened_is_no_probe(server: Flaky) -> None:
    client = Client(server)
    server.mood = "slow"
    early = [asyncio.create_task(client.get()) for _ in range(3)]
    await server.seen(3)
    server.mood = "failing"
    await client.gets(4)
    client.circuit.half_open(**WHO)
    assert await client.get() == "ServerError"
    server.release.set()
    await asyncio.wait(early)
    assert (client.circuit.state, client.circuit.tally.calls) == ("half-open", 1)


class Caller(Actor):
    """Handles each message by one request."""

    uses = (SOON,)

    def __init__(self, server: Flaky) -> None:
        self.server = server

    async def call(self) -> str:
        return await self.server.get()


async def test_of_many_actors_one_request_at_a_time_tries_the_server_until_it_is_well_and_no_message_is_lost(
    server: Flaky,
) -> None:
    system = ActorSystem(log=None)
    recorder = Recorder(system)
    async with system as s:
        callers = [await s.spawn(f"caller{number}", Caller, server) for number in range(20)]
        server.mood = "failing"
        for caller in callers[:2]:
            with pytest.raises(Exception, match="ServerError"):
                await caller.ask(Caller.call)
        server.mood = "hanging"
        came = server.came
        asking = [asyncio.create_task(caller.ask(Caller.call)) for caller in callers[2:]]
        await server.seen(came + 1)
        assert (SOON.on(s).state, server.came) == ("half-open", came + 1)
        server.mood = "healthy"
        await server.refuse()  # the one that hangs has failed
        await server.listen()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert answers.count("ok") == 17
        await recorder.wait_for(BreakerClosed)
        assert SOON.on(s).waiting == 0
        assert len(recorder.of(BreakerHalfOpened)) == len(recorder.of(BreakerOpened)) >= 2
        assert recorder.of(ActorResumed)


def test_it_works_on_one_loop_after_another() -> None:
    """What a circuit knows is not of the loop on which it learned it."""
    guards = Guards()

    async def run(mood: Any, expected: list[str]) -> None:
        async with Flaky() as server:
            client = Client(server)
            client.guards, server.mood = guards, mood
            assert await client.gets(len(expected)) == expected

    asyncio.run(run("failing", ["ServerError"] * 4))
    asyncio.run(run("healthy", ["CircuitOpen"] * 3))
