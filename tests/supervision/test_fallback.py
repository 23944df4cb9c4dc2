"""The laws of a fallback: it takes the place of errors only, and whoever calls can see that it did."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.actors.errors import GuardRefused
from upright.actors.events import Event
from upright.actors.guards import Guards
from upright.actors.policies import BREAKER, House
from upright.actors.testing import Recorder
from upright.supervision.events import CallDegraded
from upright.supervision.fallback import Answer, Fallback
from upright.supervision.hedge import Hedge
from upright.supervision.timeout import Timeout

pytestmark = pytest.mark.anyio
OLD = Fallback("prices", lambda error: 9.5)
BLOCK = Fallback("blocks")
DOWN = ConnectionError("no route")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def price() -> float:
    return 12.5


def failing(error: BaseException) -> Callable[[], Awaitable[float]]:
    async def price() -> float:
        raise error

    return price


class Shut:
    """A policy that refuses every call."""

    name, key, weight, rank = "shut", "", 1, BREAKER

    @property
    def plain(self) -> "Shut":
        return self

    def open(self, house: House) -> "Shut":
        return self

    async def around(self, call: Callable[[], Awaitable[Any]]) -> Any:
        raise GuardRefused("shut", "shut", 1.0)

    def block(self) -> Any:
        raise GuardRefused("shut", "shut", 1.0)


async def test_a_call_that_succeeds_is_none_of_its_business() -> None:
    events: list[Event] = []
    guards = Guards(events.append)
    assert await guards.call(OLD, price) == 12.5
    assert await OLD.answer(guards, (), price) == Answer(12.5)
    async with guards.guard(BLOCK) as passed:
        await price()
    assert (passed.degraded, passed.error, events) == (False, None, [])


async def test_what_it_gives_for_the_error_takes_the_place_of_the_result() -> None:
    events: list[Event] = []
    seen: list[Exception] = []

    def old(error: Exception) -> float:
        seen.append(error)
        return 9.5

    assert await Guards(events.append).call(Fallback("prices", old), failing(DOWN)) == 9.5
    assert seen == [DOWN]
    assert events == [CallDegraded("/", "prices", DOWN)]


async def test_what_it_gives_may_take_its_time() -> None:
    async def old(error: Exception) -> float:
        await asyncio.sleep(3.0)
        return 9.5

    policy = Fallback("prices", old)
    assert await Guards().call(policy, failing(DOWN)) == 9.5
    assert (await policy.answer(Guards(), (), failing(DOWN))).value == 9.5
    assert asyncio.get_running_loop().time() == 6.0


async def test_an_answer_says_whether_it_is_degraded_and_by_what() -> None:
    events: list[Event] = []
    guards = Guards(events.append)
    good, bad = await OLD.answer(guards, (), price), await OLD.answer(guards, (), failing(DOWN))
    assert (good.value, good.degraded, good.error) == (12.5, False, None)
    assert (bad.value, bad.degraded, bad.error) == (9.5, True, DOWN)
    assert events == [CallDegraded("/", "prices", DOWN)]


async def test_a_block_goes_on_after_it_and_says_whether_it_is_degraded_and_by_what() -> None:
    events: list[Event] = []
    guards = Guards(events.append)
    async with guards.guard(BLOCK) as passed:
        await failing(DOWN)()
    assert (passed.degraded, passed.error) == (True, DOWN)
    assert events == [CallDegraded("/", "blocks", DOWN)]


def is_expected(error: Exception) -> bool:
    return isinstance(error, OSError | KeyError)


@pytest.mark.parametrize("on", [(OSError, KeyError), is_expected])
async def test_errors_that_it_is_not_for_go_to_the_caller(on: Any) -> None:
    events: list[Event] = []
    guards, policy = Guards(events.append), Fallback("prices", lambda error: 9.5, on=on)
    for error in (ConnectionError(), KeyError()):
        assert await guards.call(policy, failing(error)) == 9.5
        assert (await policy.answer(guards, (), failing(error))).degraded
    assert len(events) == 4
    other = ValueError("other")
    for calling in (guards.call(policy, failing(other)), policy.answer(guards, (), failing(other))):
        with pytest.raises(ValueError, match="other"):
            await calling
    with pytest.raises(ValueError, match="other"):
        async with guards.guard(policy):
            raise other
    assert len(events) == 4


class Worse(BaseException): ...


@pytest.mark.parametrize("worse", [asyncio.CancelledError(), Worse(), BaseExceptionGroup("", [Worse()])])
async def test_no_cancellation_and_nothing_else_that_is_no_exception_is_ever_caught(worse: BaseException) -> None:
    """Nor is the function asked about it."""
    events: list[Event] = []
    guards, policy = Guards(events.append), Fallback("prices", lambda error: 9.5, on=lambda error: True)
    for calling in (guards.call(policy, failing(worse)), policy.answer(guards, (), failing(worse))):
        with pytest.raises(type(worse)):
            await calling
    with pytest.raises(type(worse)):
        async with guards.guard(policy):
            raise worse
    assert events == []


async def test_an_error_of_its_own_goes_to_the_caller_with_the_first_one_as_its_context() -> None:
    events: list[Event] = []

    def none(error: Exception) -> float:
        raise LookupError("no old price")

    async def later(error: Exception) -> float:
        await asyncio.sleep(1.0)
        raise LookupError("no old price")

    for instead in (none, later):
        guards, policy = Guards(events.append), Fallback("prices", instead)
        for calling in (guards.call(policy, failing(DOWN)), policy.answer(guards, (), failing(DOWN))):
            with pytest.raises(LookupError, match="no old price") as caught:
                await calling
            assert caught.value.__context__ is DOWN
    assert events == []  # nothing took the place of anything


async def test_an_error_of_the_function_that_chooses_goes_to_the_caller() -> None:
    guards, broken = Guards(), Fallback("prices", lambda error: 9.5, on=lambda error: error.args[9] == 1)
    for calling in (guards.call(broken, failing(DOWN)), broken.answer(guards, (), failing(DOWN))):
        with pytest.raises(IndexError) as caught:
            await calling
        assert caught.value.__context__ is DOWN
    with pytest.raises(IndexError):
        async with guards.guard(broken):
            raise DOWN


async def test_it_answers_for_a_policy_that_refuses_whatever_the_order_they_are_named_in() -> None:
    guards, shut = Guards(), Shut()
    assert await guards.call((OLD, shut), price) == 9.5
    assert await guards.call((shut, OLD), price) == 9.5
    answer = await OLD.answer(guards, shut, price)
    assert isinstance(answer.error, GuardRefused)
    async with guards.guard(BLOCK) as passed, guards.guard(shut):
        await failing(KeyError("it ran"))()
    assert isinstance(passed.error, GuardRefused)


async def test_one_that_refuses_in_the_same_block_lets_nothing_begin_and_raises() -> None:
    events: list[Event] = []
    with pytest.raises(GuardRefused):
        async with Guards(events.append).guard(BLOCK, Shut()):
            pytest.fail("it ran")
    assert events == []


async def test_it_stands_around_a_hedge_and_a_time_out() -> None:
    events: list[Event] = []
    guards, hedge, each = Guards(events.append), Hedge("prices", after=1.0), Timeout("prices", 2.0)
    answer = await OLD.answer(guards, (each, hedge), asyncio.sleep, 1e6, 12.5)
    assert (answer.value, type(answer.error)) == (9.5, TimeoutError)
    assert [type(event).__name__ for event in events] == ["CallHedged", "CallDegraded"]
    async with guards.guard(BLOCK, each) as passed:
        await asyncio.sleep(1e6)
    assert (passed.degraded, type(passed.error)) == (True, TimeoutError)


async def test_of_two_the_inner_one_leaves_nothing_to_the_outer_one() -> None:
    guards = Guards()
    async with guards.guard(BLOCK) as outer, guards.guard(OLD) as inner:
        await failing(DOWN)()
    assert (inner.degraded, outer.degraded) == (True, False)


async def test_a_handler_can_tell_too_and_its_system_hears_of_it(
    system: Callable[..., ActorSystem], recorders: list[Recorder]
) -> None:
    class Shop(Actor):
        async def price(self) -> tuple[float, bool]:
            answer = await OLD.answer(self.ctx, (), failing(DOWN))
            return answer.value, answer.degraded

    async with system(log=None) as s:
        shop = await s.spawn("shop", Shop)
        assert await shop.ask(Shop.price) == (9.5, True)
        assert await OLD.answer(s, (), price) == Answer(12.5)
    assert recorders[0].of(CallDegraded) == [CallDegraded("/", "prices", DOWN)]


async def test_without_anything_to_give_it_guards_no_call_and_calls_nothing() -> None:
    said = r"expected Fallback\(name='blocks', .*\) to have an instead, for a call; without one it guards blocks only"
    guards, called = Guards(), list[bool]()

    async def call() -> None:
        called.append(True)

    for calling in (guards.call(BLOCK, call), BLOCK.answer(guards, (), call)):
        with pytest.raises(TypeError, match=said):
            await calling
    assert called == []


async def test_a_call_keeps_the_type_of_its_result() -> None:
    async def quote(symbol: str, *, day: int) -> float:
        return 12.5

    value: float = await Guards().call(OLD, quote, "ACME", day=3)
    answer: Answer[float] = await OLD.answer(Guards(), (), quote, "ACME", day=3)
    typed: float = answer.value
    assert value == typed


async def later(error: Exception) -> bool:
    return bool(error)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "expected name to be a string that is not empty, got ''"),
        ({"instead": 9.5}, "expected instead to be a function of the error, got 9.5"),
        (
            {"on": OSError},
            "expected on to be a tuple of classes of Exception, or a plain function of the error, got <cl",
        ),
        ({"on": (OSError, BaseException)}, r"expected on to be a tuple .*, got \(<class 'OSError'>"),
        ({"on": (OSError, "KeyError")}, r"expected on to be a tuple .*, got \(<class 'OSError'>, 'KeyError'\)"),
        ({"on": later}, "expected on to be a tuple .*, got <function later"),
        ({"on": None}, "expected on to be a tuple .*, got None"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"name": "prices", "instead": later, **fields}
    with pytest.raises((ValueError, TypeError), match=said):
        Fallback(**values)
