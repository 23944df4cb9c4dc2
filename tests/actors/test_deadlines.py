"""The laws of deadlines: exact to the instant, and nothing is left of an ask that has ended."""

import asyncio
import functools
import gc
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds, raised_by
from upright.actors import ActorSystem, AskTimedOut
from upright.actors.deadlines import WIDTH, Bucket, Deadlines, timed_out
from upright.actors.envelope import DONE, IN_HAND, QUEUED, Question
from upright.actors.handlers import Handler
from upright.actors.testing import VirtualTimeLoop, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def an_ask(deadline: float, phase: int = QUEUED) -> Question:
    reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return Question(Handler("sleep", Deeds.sleep), (), None, None, reply, phase, deadline)


def forget(deadlines: Deadlines, envelope: Question, bucket: Bucket) -> None:
    """As a ref does when its ask has ended."""
    if bucket.pop(envelope, None) is None:
        deadlines.discard(envelope)


def timers() -> list[asyncio.TimerHandle]:
    """The timers that the loop still has to ring."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return [timer for timer in loop._scheduled if not timer.cancelled()]


# What happens to a set of asks: one is made with so much time, the n-th is answered, time passes. Times stand close to
# the borders of the buckets, where an error of one would show.
INSTANTS = st.one_of(
    st.integers(0, 40).map(lambda count: count * WIDTH),
    st.integers(0, 40).map(lambda count: math.nextafter(count * WIDTH, math.inf)),
    st.floats(0.0, 3.0),
)
STORY = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), INSTANTS),
        st.tuples(st.just("answer"), st.integers(0, 30)),
        st.tuples(st.just("pass"), INSTANTS),
    ),
    max_size=40,
)


@given(STORY)
def test_each_ask_ends_at_its_very_deadline_unless_it_was_answered_before(story: list[tuple[str, Any]]) -> None:
    async def tell() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        asks: list[Question] = []
        buckets: list[Bucket] = []
        ended: dict[int, float] = {}
        expected: dict[int, float] = {}
        answered: set[int] = set()

        def note(number: int, _: object) -> None:
            ended.setdefault(number, loop.time())

        for verb, value in story:
            if verb == "ask":
                envelope = an_ask(loop.time() + value)
                assert envelope.reply is not None
                envelope.reply.add_done_callback(functools.partial(note, len(asks)))
                expected[len(asks)] = envelope.deadline
                asks.append(envelope)
                buckets.append(deadlines.add(envelope, "/a"))
            elif verb == "pass":
                await advance(value)
            elif (number := int(value)) < len(asks) and asks[number].deadline > loop.time():
                forget(deadlines, asks[number], buckets[number])
                answered.add(number)
                expected.pop(number, None)
            waiting = [asks[number] for number, when in expected.items() if when > loop.time()]
            assert len(deadlines) >= len(waiting)
        await advance(4.0)
        assert ended == expected
        assert all(not asks[number].reply.done() for number in answered if asks[number].reply)  # type: ignore[union-attr]
        assert len(deadlines) == 0
        assert not timers()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(tell())


@given(st.lists(st.floats(0.0, 3.0), max_size=50), st.floats(0.0, 3.0))
def test_closing_cancels_every_timer(times: list[float], after: float) -> None:
    async def tell() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        for limit in times:
            deadlines.add(an_ask(limit), "/a")
        await advance(after)
        deadlines.close()
        assert len(deadlines) == 0
        assert not timers()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(tell())


async def test_an_ask_without_end_is_not_watched() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    envelope = an_ask(math.inf)
    bucket = deadlines.add(envelope, "/a")
    assert len(deadlines) == 0
    assert not timers()
    forget(deadlines, envelope, bucket)


async def test_asks_of_the_same_time_share_a_timer() -> None:
    """A timer each would cost more than the ask."""
    deadlines = Deadlines(asyncio.get_running_loop())
    for _ in range(1_000):
        deadlines.add(an_ask(5.0), "/a")
    assert len(timers()) == 1


@pytest.mark.parametrize("limit", [0.001, WIDTH, 0.1, 1.0, 5.0, 3600.0])
async def test_an_ask_times_out_at_the_instant_that_it_named(system: Callable[..., ActorSystem], limit: float) -> None:
    async with system() as s:
        actor = await s.spawn("actor", Deeds)
        await asyncio.sleep(1)
        error = await raised_by(actor.within(limit).ask(Deeds.sleep, limit + 1))
        assert isinstance(error, AskTimedOut)
        assert asyncio.get_running_loop().time() == 1 + limit


@pytest.mark.parametrize(("phase", "handled"), [(QUEUED, False), (IN_HAND, True), (DONE, False)])
async def test_a_time_out_says_how_far_the_message_had_come(phase: int, handled: bool) -> None:
    error = timed_out(an_ask(1.0, phase), "/actor")
    assert (error.path, error.handled) == ("/actor", handled)
    assert ("still running" in str(error)) is handled


async def test_ten_thousand_concurrent_asks_leave_nothing_behind(system: Callable[..., ActorSystem]) -> None:
    """No task, no timer, no envelope: of answered asks, of expired ones and of those that were withdrawn."""

    async def crowd(kind: Callable[[int], Any]) -> list[Any]:
        return await asyncio.gather(*(kind(number) for number in range(10_000)), return_exceptions=True)

    async def withdrawn(ask: Any) -> None:
        task = asyncio.create_task(ask)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = asyncio.all_tasks()
    async with system(log=None, dead_letters=Deeds_that_forget) as s:
        actors = [await s.spawn(f"actor-{number}", Deeds) for number in range(10)]
        carriers = len(asyncio.all_tasks())
        assert await crowd(lambda number: actors[number % 10].ask(Deeds.reply, number)) == list(range(10_000))
        slept = await crowd(lambda number: actors[number % 10].within(0.5 + number / 1e5).ask(Deeds.sleep, 1.0))
        assert {type(result) for result in slept} == {AskTimedOut}
        await crowd(lambda number: withdrawn(actors[number % 10].ask(Deeds.sleep, 1.0)))
        await s.idle()
        await settle()
        assert len(asyncio.all_tasks()) <= carriers + 1
        recipient: Any = actors[0].recipient
        assert len(recipient.runtime.deadlines) == 0
        assert all(len(actor.recipient.mailbox) == 0 for actor in actors if actor.recipient)
        del slept
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Question) and thing.reply is not None]
        await advance(6)
        assert not timers()
    assert asyncio.all_tasks() == before


class Deeds_that_forget(Deeds):  # noqa: N801  # it reads as what it is
    """A dead-letter actor that keeps nothing."""

    async def letter(self, letter: object) -> None: ...
