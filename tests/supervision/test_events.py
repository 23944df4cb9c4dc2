"""The laws of what supervisors tell: that they give up, once and why, and how long each restart was held back."""

from typing import Any

import pytest

from tests.actors.lives import Deed, Systems, crash, rest
from tests.supervision.trees import Book, fell, fell_together, grown, member, states, top
from upright.actors.events import ActorRestarting, ActorStopped, SupervisorGaveUp
from upright.actors.testing import Recorder, advance, kill, settle
from upright.supervision import Backoff, DynamicSupervisor, dynamic, pool, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


STRATEGIES: Any = ["one_for_one", "one_for_all", "rest_for_one"]
INNER = "/top/in"


def doubled(first: float, cap: float = 60.0) -> Backoff:
    """Delays that double, and are told to the second."""
    return Backoff(first, cap, jitter="none")


def fails(times: int) -> list[Deed]:
    """Starts, then fails to start so often, then starts again."""
    return [rest, *[crash] * times, rest]


def told(recorder: Recorder) -> list[tuple[str, float]]:
    """Who was restarted, and how long that was held back, in order; forgotten here afterwards."""
    restarts = [(event.path.removeprefix("/top/"), event.delay_s) for event in recorder.of(ActorRestarting)]
    recorder.events.clear()
    return restarts


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("together", [False, True])
async def test_a_supervisor_that_gives_up_tells_it_once_and_with_the_reason_of_its_end(
    system: Systems, recorders: list[Recorder], strategy: Any, together: bool
) -> None:
    book = Book()
    inner = supervisor("in", *book.children("a", "b", "c"), strategy=strategy, max_restarts=1, within=7.0)
    async with grown(system, inner.options(restart="temporary")) as s:
        await fell(s, member(s, "b", INNER), "crash")
        assert recorders[0].of(SupervisorGaveUp) == []
        names = "abc" if together else "b"
        await fell_together(*(member(s, name, INNER) for name in names))
        assert await states(s) == {}
    (gave_up,) = recorders[0].of(SupervisorGaveUp)
    (stopped,) = recorders[0].of(ActorStopped, INNER)
    assert gave_up.path == INNER
    assert gave_up.why == (
        f"{names[0]} failed after 1 restart within 7 s, and no more are allowed; last: Oops: on purpose"
    )
    assert getattr(stopped.exit, "why", None) == gave_up.why


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_one_whose_child_does_not_come_up_again_tells_once_that_it_gives_up(
    system: Systems, recorders: list[Recorder], strategy: Any
) -> None:
    book = Book()
    bad = book.child("b", started=[rest, crash])
    inner = supervisor("in", book.child("a"), bad, book.child("c"), strategy=strategy, max_restarts=3)
    async with grown(system, inner.options(restart="temporary")) as s:
        await fell(s, member(s, "b", INNER), "crash")
        await advance(10.0)
        assert await states(s) == {}
    (gave_up,) = recorders[0].of(SupervisorGaveUp)
    assert gave_up.why == "b failed after 3 restarts within 5 s, and no more are allowed; last: Oops: on purpose"


async def test_each_supervisor_that_gives_up_tells_it_for_itself_the_lowest_first(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    deep = supervisor("deep", book.child("a"), max_restarts=0)
    async with grown(system, supervisor("in", deep, max_restarts=0).options(restart="temporary")) as s:
        await fell(s, member(s, "a", f"{INNER}/deep"), "crash")
    told = [(event.path, event.why.partition(" ")[0]) for event in recorders[0].of(SupervisorGaveUp)]
    assert told == [(f"{INNER}/deep", "a"), (INNER, "deep")]


async def test_pools_and_dynamic_supervisors_tell_it_too(system: Systems, recorders: list[Recorder]) -> None:
    book = Book()
    hands = pool("pool", book.child("w"), size=2, max_restarts=0).options(restart="temporary")
    many = dynamic("many", max_restarts=0).options(restart="temporary")
    async with grown(system, hands, many) as s:
        start = DynamicSupervisor.start_child
        one = await s.ref("/top/many", DynamicSupervisor).ask(start, book.child("one"))
        for ref in (one, member(s, "1", "/top/pool")):
            await fell(s, ref, "crash")
    told = [(event.path, event.why.partition(" ")[0]) for event in recorders[0].of(SupervisorGaveUp)]
    assert told == [("/top/many", "one"), ("/top/pool", "1")]


async def test_a_supervisor_that_ends_otherwise_has_not_given_up(system: Systems, recorders: list[Recorder]) -> None:
    """Not by a stop, nor by a kill, nor because a significant child has ended."""
    book = Book()
    leader = book.child("leader").options(restart="temporary", significant=True)
    led = supervisor("led", leader, auto_shutdown="any_significant", max_restarts=0).options(restart="temporary")
    async with grown(system, supervisor("in", book.child("a"), max_restarts=0), led) as s:
        await fell(s, member(s, "leader", "/top/led"), "crash")
        assert await states(s) == {"in": "up"}
        await kill(s, top(s, INNER))
        await settle()
        assert await states(s) == {"in": "up"}
    assert recorders[0].of(SupervisorGaveUp) == []


async def test_a_restart_tells_how_long_it_was_held_back_and_its_siblings_that_they_were_not(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    specs = (book.child("a"), book.child("b").options(backoff=doubled(2.0)), book.child("c"))
    async with grown(system, *specs, strategy="one_for_all") as s:
        for delay in (2.0, 4.0, 8.0):
            await fell(s, member(s, "b"), "crash")
            await advance(delay)
            assert await states(s) == dict.fromkeys("abc", "up")
            assert told(recorders[0]) == [("a", 0.0), ("b", delay), ("c", 0.0)]


@pytest.mark.parametrize(
    ("strategy", "then"),
    [
        ("one_for_one", [("a", 0.0)]),
        ("one_for_all", [("a", 0.0), ("b", 0.0)]),
        ("rest_for_one", [("a", 0.0), ("b", 0.0)]),
    ],
)
async def test_a_later_restart_without_a_pause_tells_of_none(
    system: Systems, recorders: list[Recorder], strategy: Any, then: list[tuple[str, float]]
) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("b").options(backoff=doubled(2.0)), strategy=strategy) as s:
        for _ in range(2):
            await fell(s, member(s, "b"), "crash")
            await advance(10.0)
        assert dict(told(recorders[0]))["b"] == 4.0
        await fell(s, member(s, "a"), "crash")
        assert await states(s) == {"a": "up", "b": "up"}
        assert told(recorders[0]) == then


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_each_attempt_after_a_failed_one_tells_its_own_delay(
    system: Systems, recorders: list[Recorder], strategy: Any
) -> None:
    book = Book()
    bad = book.child("b", started=fails(3)).options(backoff=doubled(1.0))
    async with grown(system, book.child("a"), bad, strategy=strategy) as s:
        await fell(s, member(s, "b"), "crash")
        await advance(100.0)
        assert await states(s) == {"a": "up", "b": "up"}
    assert [delay for name, delay in told(recorders[0]) if name == "b"] == [1.0, 2.0, 4.0, 8.0]


async def test_an_attempt_without_a_back_off_tells_of_no_delay(system: Systems, recorders: list[Recorder]) -> None:
    book = Book()
    async with grown(system, book.child("a", started=fails(3))) as s:
        await fell(s, member(s, "a"), "crash")
        assert await states(s) == {"a": "up"}
    assert told(recorders[0]) == [("a", 0.0)] * 4


async def test_a_child_of_a_dynamic_supervisor_tells_its_delay_too(system: Systems, recorders: list[Recorder]) -> None:
    book = Book()
    async with grown(system, dynamic("many")) as s:
        one = book.child("one").options(backoff=doubled(3.0))
        ref = await s.ref("/top/many", DynamicSupervisor).ask(DynamicSupervisor.start_child, one)
        for delay in (3.0, 6.0):
            await fell(s, ref, "crash")
            await advance(delay)
            assert told(recorders[0]) == [("many/one", delay)]
