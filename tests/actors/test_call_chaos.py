"""The laws of chaos in calls: it strikes only where it may, tells each strike, and repeats itself for a seed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from upright.actors import Actor, ActorFailed, ActorSystem
from upright.actors.events import Event
from upright.actors.guards import Guards
from upright.actors.testing import ChaosCrash, ChaosNotAllowed, ChaosStruck, Recorder
from upright.actors.testing.call_chaos import KINDS, CallChaos
from upright.actors.testing.strikes import KILLED_BY
from upright.supervision.fallback import Fallback
from upright.supervision.hedge import Hedge
from upright.supervision.timeout import Timeout

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
Guarded = Callable[[Guards, CallChaos, Callable[[], Awaitable[Any]]], Awaitable[Any]]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def in_a_call(guards: Guards, policy: CallChaos, code: Callable[[], Awaitable[Any]]) -> Any:
    return await guards.call(policy, code)


async def in_a_block(guards: Guards, policy: CallChaos, code: Callable[[], Awaitable[Any]]) -> Any:
    async with guards.guard(policy):
        await code()


BOTH = pytest.mark.parametrize("guarded", [in_a_call, in_a_block])


class Smtp:
    """Counts what it was asked to send."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent, self.error = 0, error

    async def send(self) -> None:
        self.sent += 1
        if self.error is not None:
            raise self.error


def now() -> float:
    return asyncio.get_running_loop().time()


@BOTH
async def test_a_fault_is_raised_in_the_place_of_the_call(guarded: Guarded) -> None:
    smtp, guards = Smtp(), Guards(allows_chaos=True)
    with pytest.raises(ConnectionError, match=r"^chaos: fault at smtp, strike 1 of seed 7$"):
        await guarded(guards, CallChaos("smtp", 7, fault=1.0), smtp.send)
    assert smtp.sent == 0


@BOTH
async def test_an_outcome_is_raised_after_the_call_was_made(guarded: Guarded) -> None:
    smtp, guards = Smtp(), Guards(allows_chaos=True)
    with pytest.raises(TimeoutError, match=r"^chaos: outcome at smtp, strike 1 of seed 7$"):
        await guarded(guards, CallChaos("smtp", 7, outcome=1.0, error=TimeoutError), smtp.send)
    assert smtp.sent == 1


@BOTH
async def test_latency_is_waited_before_the_call_and_never_longer_than_so_long(guarded: Guarded) -> None:
    guards, chaos = Guards(allows_chaos=True), CallChaos("smtp", 7, latency=1.0, longest=3.0)
    waits: list[float] = []

    async def send() -> None:
        waits.append(now() - began)

    for _ in range(200):
        began = now()
        await guarded(guards, chaos, send)
        assert now() - began == waits[-1]
    assert 0.0 <= min(waits) < 0.2
    assert 2.8 < max(waits) <= 3.0


@BOTH
async def test_a_crash_comes_before_the_call_or_after_it_and_says_which(guarded: Guarded) -> None:
    smtp, guards = Smtp(), Guards(allows_chaos=True)
    seen: Counter[str] = Counter()
    for _ in range(100):
        with pytest.raises(ChaosCrash) as caught:
            await guarded(guards, CallChaos("smtp", 7, crash=1.0), smtp.send)
        seen["after" if "crash at smtp, after it," in str(caught.value) else "before"] += 1
    assert smtp.sent == seen["after"]
    assert min(seen["after"], seen["before"]) > 30


@BOTH
async def test_a_call_that_failed_by_itself_is_not_struck_after_it(guarded: Guarded) -> None:
    own, events = OSError("own"), list[Event]()
    smtp, guards = Smtp(own), Guards(events.append, allows_chaos=True)
    with pytest.raises(OSError, match="own") as caught:
        await guarded(guards, CallChaos("smtp", 7, outcome=1.0), smtp.send)
    assert caught.value is own
    assert events == []


async def test_each_strike_is_told_with_what_where_number_and_seed() -> None:
    events: list[Event] = []
    guards, chaos = Guards(events.append, allows_chaos=True), CallChaos("smtp", 7, latency=1.0, fault=1.0)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await guards.call(chaos, Smtp().send)
    assert events == [
        ChaosStruck("/", "latency", "smtp", 1, 7),
        ChaosStruck("/", "fault", "smtp", 2, 7),
        ChaosStruck("/", "latency", "smtp", 3, 7),
        ChaosStruck("/", "fault", "smtp", 4, 7),
    ]
    assert chaos.strikes(guards).all == events
    assert chaos.strikes(guards).count("fault") == 2


async def struck(chaos: CallChaos, calls: int = 300) -> list[tuple[str, str, float]]:
    """What it does to so many calls, and when."""
    guards, began = Guards(allows_chaos=True), now()
    for _ in range(calls):
        try:
            await guards.call(chaos, asyncio.sleep, 0.01)
        except (ConnectionError, ChaosCrash):
            continue
    return [(one.what, one.where, round(now() - began, 6)) for one in chaos.strikes(guards).all]


ALL: dict[str, Any] = {"fault": 0.1, "latency": 0.1, "outcome": 0.1, "crash": 0.1}


async def test_the_same_seed_gives_the_same_strikes_and_another_one_others() -> None:
    first = await struck(CallChaos("smtp", 7, **ALL))
    assert first == await struck(CallChaos("smtp", 7, **ALL))
    assert first != await struck(CallChaos("smtp", 8, **ALL))


async def test_each_kind_strikes_about_as_often_as_it_should() -> None:
    counted = Counter(what for what, _, _ in await struck(CallChaos("smtp", 7, **ALL), 1000))
    assert set(counted) == set(ALL)
    assert all(50 < count < 150 for count in counted.values())


async def test_no_probability_moves_the_strikes_of_another_kind() -> None:
    """Which calls are late does not change when some of them are also struck in other ways."""

    async def late(chaos: CallChaos) -> list[int]:
        guards, calls = Guards(allows_chaos=True), list[int]()
        for number in range(200):
            before = chaos.strikes(guards).count("latency")
            try:
                await guards.call(chaos, asyncio.sleep, 0.01)
            except (ConnectionError, ChaosCrash):
                pass
            if chaos.strikes(guards).count("latency") > before:
                calls.append(number)
        return calls

    assert await late(CallChaos("smtp", 7, latency=0.1)) == await late(CallChaos("smtp", 7, **ALL))


async def test_without_probabilities_nothing_happens() -> None:
    assert await struck(CallChaos("smtp", 7)) == []


@BOTH
async def test_guards_that_did_not_ask_for_it_are_left_alone(guarded: Guarded) -> None:
    smtp = Smtp()
    with pytest.raises(ChaosNotAllowed, match="allows_chaos=True"):
        await guarded(Guards(), CallChaos("smtp", 7), smtp.send)
    assert smtp.sent == 0


async def test_it_is_the_innermost_policy_so_that_all_others_see_what_it_does() -> None:
    guards = Guards(allows_chaos=True)
    late, fault = CallChaos("late", 7, latency=1.0, longest=100.0), CallChaos("smtp", 7, fault=1.0)
    with pytest.raises(TimeoutError, match="'smtp'"):
        await guards.call((late, Timeout("smtp", 0.01)), Smtp().send)
    with pytest.raises(ConnectionError) as caught:
        await guards.call((fault, Hedge("smtp", after=1.0)), Smtp().send)
    assert len(caught.value.__notes__) == 1  # each call of the hedge was struck
    answer = await Fallback("smtp", lambda error: None).answer(guards, fault, Smtp().send)
    assert isinstance(answer.error, ConnectionError)


async def test_in_a_system_it_strikes_what_an_actor_calls_and_the_bus_hears_of_it(
    system: Callable[..., ActorSystem], recorders: list[Recorder]
) -> None:
    chaos = CallChaos("smtp", 7, fault=1.0)

    class Mailer(Actor):
        async def send(self) -> None:
            async with self.ctx.guard(chaos):
                pytest.fail("it was sent")

    async with system(log=None, allows_chaos=True) as s:
        mailer = await s.spawn("mailer", Mailer)
        with pytest.raises(ActorFailed) as caught:
            await mailer.ask(Mailer.send)
        assert isinstance(caught.value.__cause__, ConnectionError)
        assert recorders[0].of(ChaosStruck) == chaos.strikes(s.guards).all == [ChaosStruck("/", "fault", "smtp", 1, 7)]


async def test_in_a_system_that_did_not_ask_for_it_the_call_is_refused(system: Callable[..., ActorSystem]) -> None:
    async with system(log=None) as s:
        with pytest.raises(ChaosNotAllowed, match="allows_chaos=True"):
            s.guards.guard(CallChaos("smtp", 7))


CHILD = """
import asyncio, sys
from upright.actors.guards import Guards
from upright.actors.testing.call_chaos import CallChaos
async def call():
    print("called", flush=True)
async def main():
    guards = Guards(lambda event: print(event.where, flush=True), allows_chaos=True)
    await guards.call(CallChaos("smtp", int(sys.argv[1]), kill=1.0), call)
    print("survived")
asyncio.run(main())
"""


def run_child(seed: int, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(seed)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("seed", "printed"), [(1, "smtp, before it\n"), (5, "called\nsmtp, after it\n")])
async def test_a_child_that_asked_for_it_is_killed_before_the_call_or_after_it(seed: int, printed: str) -> None:
    done = await asyncio.to_thread(run_child, seed, **{KILLED_BY: str(os.getpid())})
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, printed), done.stderr


@BOTH
async def test_a_process_that_did_not_ask_to_be_killed_is_not(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", pytest.fail)
    monkeypatch.setenv(KILLED_BY, str(os.getpid()))  # its own number, which is no parent's
    smtp = Smtp()
    with pytest.raises(ChaosNotAllowed, match=f"expected a child process that asked to be killed.*{KILLED_BY}"):
        await guarded(Guards(allows_chaos=True), CallChaos("smtp", 7, kill=1e-9), smtp.send)
    assert smtp.sent == 0


async def test_a_call_keeps_the_type_of_its_result() -> None:
    async def quote(symbol: str, *, day: int) -> float:
        return 12.5

    price: float = await Guards(allows_chaos=True).call(CallChaos("quotes", 7), quote, "ACME", day=3)
    assert price == 12.5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "expected name to be a string that is not empty, got ''"),
        ({"seed": "a"}, "expected seed to be a whole number, got 'a'"),
        ({"longest": -1.0}, "expected longest to be 0 or more seconds and finite, got -1.0"),
        ({"error": "no"}, "expected error to make an error of a text, as a class of errors does, got 'no'"),
        *(({kind: 1.5}, f"expected {kind} to be a probability from 0 to 1, got 1.5") for kind in KINDS),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"name": "smtp", "seed": 7, **fields}
    with pytest.raises((ValueError, TypeError), match=said):
        CallChaos(**values)
