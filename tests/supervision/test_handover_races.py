"""The laws of being set aside where things happen at once: kills, ends, groups, decorators."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.lives import Doer, Oops, Systems, crash, hang, rest
from tests.supervision.trees import Book, fell, grown, member, slow, states, top
from upright.actors.events import ActorRestarting, SupervisorGaveUp
from upright.actors.handover import Handover
from upright.actors.testing import Recorder, advance
from upright.supervision import Backoff, Plan, Supervisor, child, supervisor

pytestmark = pytest.mark.anyio
INNER = "/top/in"


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def wait_on(handover: Handover) -> None:
    await handover


@pytest.mark.parametrize("error", [None, Oops()])
def test_a_cancellation_that_comes_before_it_goes_on_is_not_lost(error: Exception | None) -> None:
    resumed: list[Any] = []
    handover = Handover(None, resumed.append)
    steps = wait_on(handover)
    steps.send(None)
    job: Any = type("Job", (), {})()
    handover.shelve(job, steps)
    if error is None:
        handover.set_result(None)
    else:
        handover.set_exception(error)
    handover.cancel()
    with pytest.raises(asyncio.CancelledError):
        steps.send(None)


async def test_a_kill_between_the_end_of_a_start_and_the_resumption_of_the_supervisor_ends_it(
    system: Systems,
) -> None:
    """Without it: 100 % of the processor, for ever, in `Life.serve`; neither kill() nor stop() returns."""
    book = Book()

    async def call_the_killer_and_crash(_: Doer) -> None:
        assert killer.try_tell(Doer.do, kill_it)
        await crash(_)

    async def kill_it(_: Doer) -> None:
        """Runs between the failure of the start and the resumption of the supervisor."""
        await s.kill(s.ref(INNER, Supervisor))

    async with grown(system, supervisor("in", slow(book, "a", call_the_killer_and_crash, rest))) as s:
        killer = await s.spawn("killer", Doer)
        found: Any = s.ref(INNER, Supervisor).recipient
        assert member(s, "a", INNER).try_tell(Doer.do, crash)
        for _ in range(100):
            await asyncio.sleep(0)
        try:
            assert found.incarnation == 2
        finally:
            if found.incarnation == 1:
                found.life.attend_soon()  # or this test would hang


def within(seconds: float) -> Any:
    """A decorator of a user, with functools.wraps as it should be."""

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        async def bounded(*args: Any) -> Any:
            async with asyncio.timeout(seconds):
                return await function(*args)

        return bounded

    return decorate


class Wrapped(Supervisor):
    child_ended = within(5.0)(Supervisor.child_ended)


async def test_a_decorated_override_is_not_portable(system: Systems) -> None:
    """functools.wraps copies `__portable__`; the time-out then hits a carrier, and never the supervisor."""
    book = Book()
    plan = Plan((slow(book, "a", hang, rest).options(shutdown=1.0),))
    async with grown(system, child("in", Wrapped, plan)) as s:
        found: Any = s.ref(INNER, Supervisor).recipient
        await fell(s, member(s, "a", INNER), "crash")
        await advance(10.0)
        assert found.incarnation == 2


async def test_a_supervisor_that_is_stopped_while_a_child_comes_up_has_not_given_up(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    async with grown(system, supervisor("in", slow(book, "a", hang), max_restarts=1)) as s:
        await fell(s, member(s, "a", INNER), "crash")
    assert recorders[0].of(SupervisorGaveUp) == []


async def test_one_that_is_brought_back_early_with_its_group_tells_how_long_it_did_wait(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    held = book.child("c").options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, book.child("a"), held, strategy="rest_for_one") as s:
        await fell(s, member(s, "c"), "crash")
        await advance(4.0)
        await fell(s, member(s, "a"), "crash")
        assert await states(s) == {"a": "up", "c": "up"}
    assert [event.delay_s for event in recorders[0].of(ActorRestarting, "/top/c")] == [4.0]


async def test_a_delay_that_was_cut_short_by_hand_is_not_told_at_a_later_restart(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    held = book.child("b").options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, book.child("a"), held, strategy="one_for_all") as s:
        await fell(s, member(s, "b"), "crash")
        await top(s).ask(Supervisor.terminate_child, "b")
        await top(s).ask(Supervisor.restart_child, "b")
        await fell(s, member(s, "a"), "crash")
    assert [event.delay_s for event in recorders[0].of(ActorRestarting, "/top/b")] == [0.0]
