"""The laws of a hedge: the first acceptable answer wins, and nothing of the other calls is left behind."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.actors.errors import GuardRefused
from upright.actors.events import Event
from upright.actors.guards import Guards
from upright.actors.testing import Recorder, VirtualDeadlock, VirtualTimeLoop, settle
from upright.supervision.events import CallHedged
from upright.supervision.hedge import Hedge
from upright.supervision.timeout import Timeout

pytestmark = pytest.mark.anyio
TWO, THREE = Hedge("quotes", after=1.0), Hedge("quotes of three", after=1.0, calls=3)
Deed = Callable[[], Awaitable[Any]]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def after(seconds: float, outcome: Any) -> Deed:
    """Returns that, or raises it."""

    async def deed() -> Any:
        await asyncio.sleep(seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return deed


def stubborn(seconds: float, outcome: Any = "stubborn") -> Deed:
    """Swallows its cancellation, and goes on for so long."""

    async def deed() -> Any:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            return await after(seconds, outcome)()

    return deed


class Quotes:
    """A dependency: each call does the next deed."""

    def __init__(self, *deeds: Deed) -> None:
        self.deeds = list(deeds)
        self.began: list[float] = []
        self.cancelled: list[int] = []

    async def ask(self) -> Any:
        self.began.append(now())
        number = len(self.began)
        try:
            return await self.deeds[number - 1]()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise


async def hedged(policy: Hedge, quotes: Quotes, events: list[Event] | None = None) -> Any:
    """Call it; at that very moment nothing may be left behind, however it ends."""
    before = asyncio.all_tasks()
    try:
        return await Guards(events.append if events is not None else None).call(policy, quotes.ask)
    finally:
        assert asyncio.all_tasks() == before


async def test_a_call_that_answers_in_time_is_made_once() -> None:
    quotes, events = Quotes(after(0.9, "first")), list[Event]()
    assert await hedged(TWO, quotes, events) == "first"
    assert (quotes.began, now(), events) == ([0.0], 0.9, [])


async def test_a_slow_call_is_made_again_beside_itself_and_the_first_answer_wins() -> None:
    quotes, events = Quotes(after(9.0, "first"), after(0.5, "second")), list[Event]()
    assert await hedged(TWO, quotes, events) == "second"
    assert (quotes.began, quotes.cancelled, now()) == ([0.0, 1.0], [1], 1.5)
    assert events == [CallHedged("/", "quotes", 2)]


async def test_the_slow_call_itself_may_win() -> None:
    quotes = Quotes(after(1.2, "first"), after(9.0, "second"))
    assert await hedged(TWO, quotes) == "first"
    assert (quotes.cancelled, now()) == ([2], 1.2)


async def test_there_are_never_more_than_so_many_calls_each_after_so_long() -> None:
    quotes, events = Quotes(*[after(9.0, number) for number in range(5)]), list[Event]()
    assert await hedged(THREE, quotes, events) == 0
    assert (quotes.began, quotes.cancelled, now()) == ([0.0, 1.0, 2.0], [2, 3], 9.0)
    assert events == [CallHedged("/", "quotes of three", 2), CallHedged("/", "quotes of three", 3)]


async def test_a_call_that_fails_has_the_next_one_made_at_once() -> None:
    quotes, events = Quotes(after(0.25, OSError("down")), after(0.25, "second")), list[Event]()
    assert await hedged(TWO, quotes, events) == "second"
    assert (quotes.began, now(), events) == ([0.0, 0.25], 0.5, [CallHedged("/", "quotes", 2)])


async def test_the_time_until_the_next_call_is_counted_from_the_last_one() -> None:
    quotes = Quotes(after(0.25, OSError("down")), after(9.0, "second"), after(9.0, "third"))
    assert await hedged(THREE, quotes) == "second"
    assert quotes.began == [0.0, 0.25, 1.25]


async def test_with_no_time_at_all_the_calls_begin_together() -> None:
    quotes = Quotes(after(9.0, "first"), after(1.0, "second"))
    assert await hedged(Hedge("quotes", after=0.0), quotes) == "second"
    assert quotes.began == [0.0, 0.0]


async def test_with_endless_time_only_a_failure_has_another_call_made() -> None:
    endless = Hedge("quotes", after=float("inf"))
    assert await hedged(endless, Quotes(after(1e6, "first"))) == "first"
    assert await hedged(endless, Quotes(after(1.0, OSError()), after(1e6, "second"))) == "second"


def test_with_endless_time_nobody_is_woken() -> None:
    never = Quotes(lambda: asyncio.get_running_loop().create_future())
    with (
        asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(deadlock_after=0.0)) as runner,
        pytest.raises(VirtualDeadlock),
    ):
        runner.run(hedged(Hedge("quotes", after=float("inf")), never))


async def test_of_two_answers_at_one_moment_that_of_the_earlier_call_wins() -> None:
    for _ in range(20):  # a set of tasks comes in any order
        assert await hedged(TWO, Quotes(after(2.0, "first"), after(1.0, "second"))) == "first"


async def test_an_answer_that_is_not_acceptable_has_the_next_call_made_at_once_and_waits_for_a_better_one() -> None:
    fresh = Hedge("quotes", after=1.0, accepts=lambda answer: answer != "stale")
    quotes = Quotes(after(0.5, "stale"), after(0.5, "fresh"))
    assert await hedged(fresh, quotes) == "fresh"
    assert quotes.began == [0.0, 0.5]


@pytest.mark.parametrize("deeds", [("a", "b"), ("b", "a"), (OSError(), "b")])
async def test_if_no_answer_is_acceptable_that_of_the_call_that_began_first_is_returned(deeds: tuple[Any, Any]) -> None:
    """And an answer is better than an error."""
    never = Hedge("quotes", after=1.0, accepts=lambda answer: False)
    quotes = Quotes(after(3.0, deeds[0]), after(0.5, deeds[1]))
    assert await hedged(never, quotes) == (deeds[1] if isinstance(deeds[0], OSError) else deeds[0])
    assert now() == 3.0


async def test_if_all_calls_fail_the_first_ones_error_is_raised_and_names_the_others() -> None:
    first = OSError("down")
    quotes = Quotes(after(9.0, first), after(1.0, KeyError("ACME")), after(1.0, ValueError()))
    with pytest.raises(OSError, match="down") as caught:
        await hedged(THREE, quotes)
    assert caught.value is first
    assert first.__notes__ == [
        "hedge 'quotes of three': call 2 of 3 failed too: KeyError: 'ACME'",
        "hedge 'quotes of three': call 3 of 3 failed too: ValueError",
    ]


async def test_an_error_that_all_calls_share_gets_no_note_of_itself() -> None:
    shared = OSError("down")
    with pytest.raises(OSError, match="down"):
        await hedged(TWO, Quotes(after(0.1, shared), after(0.1, shared)))
    assert not hasattr(shared, "__notes__")


async def test_what_is_no_exception_ends_it_all_at_once() -> None:
    class Worse(BaseException): ...

    quotes = Quotes(after(9.0, "first"), after(0.5, Worse()))
    with pytest.raises(Worse):
        await hedged(TWO, quotes)
    assert (quotes.cancelled, now()) == ([1], 1.5)


async def test_a_cancellation_within_a_call_ends_it_all_at_once() -> None:
    quotes = Quotes(after(9.0, "first"), after(0.5, asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await hedged(TWO, quotes)
    assert (quotes.cancelled, now()) == ([2, 1], 1.5)


async def test_what_accepts_raises_ends_it_all_at_once() -> None:
    broken = Hedge("quotes", after=1.0, accepts=lambda answer: answer["price"] > 0)
    quotes = Quotes(after(9.0, "first"), after(0.5, {}))
    with pytest.raises(KeyError, match="price"):
        await hedged(broken, quotes)
    assert quotes.cancelled == [1]


async def test_a_loser_that_swallows_its_cancellation_is_waited_for() -> None:
    for outcome in ("too late", OSError("too late"), KeyError()):
        began = now()
        assert await hedged(TWO, Quotes(stubborn(5.0, outcome), after(1.0, "second"))) == "second"
        assert now() - began == 7.0


async def test_no_error_of_a_loser_is_complained_of_later() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    await hedged(TWO, Quotes(stubborn(1.0, OSError()), after(1.0, "second")))
    await hedged(TWO, Quotes(after(2.0, OSError()), after(1.0, "second")))
    await hedged(TWO, Quotes(after(0.5, OSError()), after(1.0, "second")))
    with pytest.raises(OSError, match="last"):
        await hedged(TWO, Quotes(after(2.0, OSError("last")), after(1.0, OSError())))
    gc.collect()
    await settle()
    assert complaints == []


async def test_a_cancellation_from_outside_cancels_all_calls_and_waits_for_them() -> None:
    quotes = Quotes(stubborn(3.0), after(9.0, "second"))
    task = asyncio.create_task(hedged(TWO, quotes))
    asyncio.get_running_loop().call_later(2.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (quotes.cancelled, now()) == ([2], 5.0)


async def test_a_cancellation_from_outside_counts_though_there_is_an_answer_already() -> None:
    """And it reaches a loser that has swallowed the one before."""
    quotes = Quotes(stubborn(100.0), after(1.0, "second"))
    task = asyncio.create_task(hedged(TWO, quotes))
    asyncio.get_running_loop().call_later(3.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (quotes.cancelled, now()) == ([1], 3.0)


async def test_a_cancellation_from_outside_before_the_first_step_calls_nothing() -> None:
    quotes = Quotes(after(9.0, "first"))
    task = asyncio.create_task(hedged(TWO, quotes))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert quotes.began == []


async def test_a_time_out_within_a_hedge_is_for_each_call_and_one_around_it_for_all() -> None:
    each, in_all, guards = Timeout("each", 2.0), Timeout("in all", 2.5), Guards()
    quotes = Quotes(after(9.0, "first"), after(9.0, "second"))
    with pytest.raises(TimeoutError, match="'each'") as caught:
        await guards.call((each, TWO), quotes.ask)
    assert now() == 3.0
    assert caught.value.__notes__ == [
        "hedge 'quotes': call 2 of 2 failed too: TimeoutError: expected 'each' to take no more than 2.0 seconds"
    ]
    with pytest.raises(TimeoutError, match="'in all'"):
        async with guards.guard(in_all):
            await guards.call((each, TWO), Quotes(after(9.0, "first"), after(9.0, "second")).ask)
    assert now() == 5.5


async def test_a_refusal_counts_as_a_failure() -> None:
    refused = GuardRefused("no room", "quotes", 1.0)
    assert await hedged(TWO, Quotes(after(0.0, refused), after(0.0, "second"))) == "second"


async def test_each_call_runs_in_a_copy_of_the_callers_context() -> None:
    user: ContextVar[str] = ContextVar("user")
    seen: list[str] = []

    async def call() -> str:
        seen.append(user.get())
        user.set("changed")
        await asyncio.sleep(2.0)
        return "done"

    user.set("ada")
    await Guards().call(TWO, call)
    assert (seen, user.get()) == (["ada", "ada"], "ada")


async def test_the_calls_of_a_handler_belong_to_its_actor(
    system: Callable[..., ActorSystem], recorders: list[Recorder]
) -> None:
    class Shop(Actor):
        async def price(self) -> str:
            return "12"

    class Buyer(Actor):
        async def buy(self) -> str:
            return await self.ctx.guards.call(TWO, self.ask)

        async def ask(self) -> str:
            await asyncio.sleep(1.5)
            return await self.ctx.ref("/shop", Shop).ask(Shop.price)

    async with system(log=None) as s:
        await s.spawn("shop", Shop)
        buyer = await s.spawn("buyer", Buyer)
        assert await buyer.ask(Buyer.buy) == "12"
        assert recorders[0].of(CallHedged) == [CallHedged("/", "quotes", 2)]


async def test_a_block_cannot_be_hedged_and_says_what_to_do_instead() -> None:
    with pytest.raises(TypeError, match=r"a block cannot run twice: `await guards.call\(HEDGE, function, …\)`"):
        async with Guards().guard(TWO):
            pytest.fail("it ran")


async def test_a_call_keeps_the_type_of_its_result() -> None:
    async def quote(symbol: str, *, day: int) -> float:
        return 12.5

    price: float = await Guards().call(TWO, quote, "ACME", day=3)
    assert price == 12.5


async def later(answer: Any) -> bool:
    return bool(answer)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "expected name to be a string that is not empty, got ''"),
        ({"after": -1}, "expected after to be 0 or more seconds, got -1"),
        ({"calls": 1}, "expected calls to be 2 or more, got 1"),
        ({"accepts": 3}, "expected accepts to be a plain function of an answer, got 3"),
        ({"accepts": later}, "expected accepts to be a plain function of an answer, got <function later"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"name": "quotes", "after": 1.0, **fields}
    with pytest.raises((ValueError, TypeError), match=said):
        Hedge(**values)
