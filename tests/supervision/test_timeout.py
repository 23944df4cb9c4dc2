"""The laws of a time-out: it is for each attempt, names itself, and never passes another's cancellation for its own."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from upright.actors import Actor, ActorFailed, ActorSystem
from upright.actors.guards import Guards
from upright.actors.testing import VirtualDeadlock, VirtualTimeLoop, settle
from upright.supervision.timeout import Timeout

pytestmark = pytest.mark.anyio
QUOTES, IN_ALL = Timeout("quotes", 2.0), Timeout("quotes in all", 5.0)
TEXT = "expected 'quotes' to take no more than 2.0 seconds"
Guarded = Callable[[Guards, Timeout, Callable[[], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def in_a_call(guards: Guards, policy: Timeout, code: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return await guards.call(policy, code)


async def in_a_block(guards: Guards, policy: Timeout, code: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    result = None
    async with guards.guard(policy):
        result = await code()
    return result


BOTH = pytest.mark.parametrize("guarded", [in_a_call, in_a_block])


def now() -> float:
    return asyncio.get_running_loop().time()


async def hang() -> None:
    await asyncio.sleep(1e6)


async def never() -> None:
    await asyncio.get_running_loop().create_future()


@BOTH
async def test_code_that_takes_longer_ends_at_its_time_with_an_error_that_names_policy_and_seconds(
    guarded: Guarded,
) -> None:
    with pytest.raises(TimeoutError) as caught:
        await guarded(Guards(), QUOTES, hang)
    assert (type(caught.value), str(caught.value), now()) == (TimeoutError, TEXT, 2.0)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


@BOTH
async def test_code_that_ends_in_time_returns_and_nothing_happens_to_it_later(guarded: Guarded) -> None:
    async def code() -> str:
        await asyncio.sleep(1.9)
        return "12"

    assert await guarded(Guards(), QUOTES, code) == "12"
    await asyncio.sleep(10)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


@BOTH
async def test_an_error_of_the_code_stays_what_it_is(guarded: Guarded) -> None:
    own = TimeoutError("of the socket")

    async def code() -> None:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await guarded(Guards(), QUOTES, code)
    assert caught.value is own


@BOTH
async def test_after_a_time_out_the_task_goes_on_and_can_be_cancelled_as_before(guarded: Guarded) -> None:
    async def caller() -> None:
        with pytest.raises(TimeoutError):
            await guarded(Guards(), QUOTES, hang)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        with pytest.raises(TimeoutError):  # one around it would be deceived by a request that is still counted
            async with asyncio.timeout(1):
                await hang()
        await hang()

    task = asyncio.create_task(caller())
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@BOTH
async def test_a_cancellation_from_outside_is_no_time_out(guarded: Guarded) -> None:
    task = asyncio.ensure_future(guarded(Guards(), QUOTES, hang))
    asyncio.get_running_loop().call_later(1.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 1.0


@BOTH
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_cancellation_from_outside_at_the_very_moment_is_no_time_out(guarded: Guarded, is_first: bool) -> None:
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Future[Any]] = []
    if is_first:
        loop.call_later(2.0, lambda: tasks[0].cancel())
    tasks.append(asyncio.ensure_future(guarded(Guards(), QUOTES, hang)))
    await settle()
    if not is_first:
        loop.call_later(2.0, lambda: tasks[0].cancel())
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert now() == 2.0


@BOTH
async def test_a_cancellation_from_outside_while_late_code_cleans_up_is_no_time_out(guarded: Guarded) -> None:
    async def code() -> None:
        try:
            await hang()
        finally:
            await asyncio.sleep(2.0)

    task = asyncio.ensure_future(guarded(Guards(), QUOTES, code))
    asyncio.get_running_loop().call_later(3.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 3.0


@BOTH
async def test_code_that_was_cancelled_before_can_still_be_late(guarded: Guarded) -> None:
    """The requests that were there before it do not count."""

    async def caller() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            with pytest.raises(TimeoutError, match=TEXT):
                await guarded(Guards(), QUOTES, hang)
            late.append(now())
            raise

    late: list[float] = []
    task = asyncio.create_task(caller())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert late == [2.0]


@BOTH
async def test_code_that_swallows_its_cancellation_is_waited_for_and_what_it_returns_or_raises_counts(
    guarded: Guarded,
) -> None:
    async def late(error: Exception | None) -> str:
        try:
            await hang()
        except asyncio.CancelledError:
            await asyncio.sleep(3.0)
            if error is not None:
                raise error from None
        return "late"

    assert await guarded(Guards(), QUOTES, lambda: late(None)) == "late"
    assert now() == 5.0
    with pytest.raises(OSError, match="worse"):
        await guarded(Guards(), QUOTES, lambda: late(OSError("worse")))
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_one_around_the_attempts_is_for_all_of_them_together() -> None:
    guards, errors = Guards(), list[str]()
    with pytest.raises(TimeoutError, match="'quotes in all' to take no more than 5"):
        async with guards.guard(IN_ALL):
            while True:
                try:
                    await guards.call(QUOTES, hang)
                except TimeoutError as error:
                    errors.append(str(error))
    assert (errors, now()) == ([TEXT, TEXT], 5.0)


async def test_of_two_that_end_at_one_moment_the_outer_one_is_told() -> None:
    guards = Guards()
    for outer, inner in ((Timeout("outer", 1.0), Timeout("inner", 1.0)), (Timeout("first", 1.0), QUOTES)):
        with pytest.raises(TimeoutError, match=f"'{outer.name}'"):
            async with guards.guard(outer), guards.guard(inner):
                await hang()


async def test_two_in_one_call_are_both_for_each_attempt() -> None:
    with pytest.raises(TimeoutError, match=TEXT):
        await Guards().call((IN_ALL, QUOTES), hang)


@BOTH
async def test_an_infinite_one_never_ends_anything(guarded: Guarded) -> None:
    async def code() -> str:
        await hang()
        return "at last"

    assert await guarded(Guards(), Timeout("slow", float("inf")), code) == "at last"


@BOTH
def test_an_infinite_one_wakes_nobody(guarded: Guarded) -> None:
    with (
        asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(deadlock_after=0.0)) as runner,
        pytest.raises(VirtualDeadlock),
    ):
        runner.run(guarded(Guards(), Timeout("slow", float("inf")), never))


@BOTH
async def test_a_call_that_was_in_time_leaves_nothing_of_its_caller_with_the_loop(guarded: Guarded) -> None:
    """A cancelled timer stays in the heap of the loop, and would keep the caller's context variables alive there."""

    class Load: ...

    variable: ContextVar[Load] = ContextVar("load")

    async def caller() -> "weakref.ref[Load]":
        load = Load()
        variable.set(load)
        await guarded(Guards(), Timeout("slow", 1e6), lambda: asyncio.sleep(0))
        return weakref.ref(load)

    sooner = asyncio.get_running_loop().call_later(1e5, lambda: None)  # what lies at the top of the heap is removed
    kept = await asyncio.create_task(caller())
    await settle()
    gc.collect()
    assert kept() is None
    sooner.cancel()


async def test_a_handler_that_is_late_crashes_its_actor_with_the_time_out(system: Callable[..., ActorSystem]) -> None:
    class Slow(Actor):
        async def work(self) -> None:
            async with self.ctx.guard(QUOTES):
                await hang()

    async with system(log=None) as s:
        slow = await s.spawn("slow", Slow)
        with pytest.raises(ActorFailed) as caught:
            await slow.within(60).ask(Slow.work)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert now() == 2.0


async def test_a_call_keeps_the_type_of_its_result() -> None:
    async def quote(symbol: str, *, day: int) -> float:
        return 12.5

    price: float = await Guards().call(QUOTES, quote, "ACME", day=3)
    assert price == 12.5


async def test_outside_a_task_it_says_what_it_needs() -> None:
    done = asyncio.get_running_loop().create_future()

    def callback() -> None:
        try:
            Guards().call(QUOTES, hang).send(None)
        except RuntimeError as error:
            done.set_result(str(error))

    asyncio.get_running_loop().call_soon(callback)
    assert await done == "expected Timeout(name='quotes', seconds=2.0) to guard code of a task"


@pytest.mark.parametrize(
    ("name", "seconds", "said"),
    [
        ("", 1.0, "expected name to be a string that is not empty, got ''"),
        ("quotes", 0, "expected seconds to be more than 0, got 0"),
        ("quotes", float("nan"), "expected seconds to be more than 0, got nan"),
        ("quotes", "2", "expected seconds to be more than 0, got '2'"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(name: Any, seconds: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Timeout(name, seconds)


async def test_two_of_one_name_must_agree() -> None:
    guards = Guards()
    guards.guard(QUOTES, Timeout("quotes", 2.0))
    with pytest.raises(ValueError, match="expected one Timeout of the name 'quotes'"):
        guards.guard(Timeout("quotes", 3.0))
