"""Guards of six libraries around one call: breakers, a rate limiter, and retries, on asyncio.

Each is set up once and then called again and again, in the form in which it is fastest. Where the usual form is another
one, it stands beside it. `half_open` asks a breaker how many calls it lets through when it may let through a few.
"""

# pyright: basic
# aiobreaker has no types; those of the others are not whole.

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

Work = Callable[[], Coroutine[Any, Any, int]]
Guarded = Callable[[], Awaitable[int]]
"""One call of `work` behind a guard."""
Guard = Callable[[Work], Awaitable[int]]
"""Any call behind that guard."""

OPEN_FOR = 0.05
"""Seconds for which a breaker stays open that `half_open` asks."""


async def work() -> int:
    """What is guarded: it awaits nothing, so that a call is nearly all guard."""
    return 1


async def bare() -> Guarded:
    """No guard."""
    return work


async def purgatory() -> Guarded:
    """A breaker that is got once and kept."""
    from purgatory import AsyncCircuitBreakerFactory

    breaker = await AsyncCircuitBreakerFactory().get_breaker("dependency")

    async def guarded() -> int:
        async with breaker:
            return await work()

    return guarded


async def purgatory_decorated() -> Guarded:
    """The decorator, which gets the breaker by its name each time."""
    from purgatory import AsyncCircuitBreakerFactory

    guarded: Guarded = AsyncCircuitBreakerFactory()("dependency")(work)
    return guarded


async def aiobreaker() -> Guarded:
    """`call_async`; the decorator is a call more."""
    from aiobreaker import CircuitBreaker  # type: ignore[import-untyped]

    breaker: Any = CircuitBreaker()
    return partial(breaker.call_async, work)


async def pybreaker() -> Guarded:
    """`calling`, which knows nothing of coroutines and may stand around an `await`."""
    from pybreaker import CircuitBreaker

    breaker = CircuitBreaker()

    async def guarded() -> int:
        with breaker.calling():
            return await work()

    return guarded


async def pybreaker_tornado() -> Guarded:
    """`call_async`, which needs tornado and without it fails at the first call."""
    from pybreaker import CircuitBreaker

    import_module("tornado.gen")
    breaker: Any = CircuitBreaker()
    return partial(breaker.call_async, work)


async def aiolimiter() -> Guarded:
    """A limiter with room for whatever comes."""
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(1e9, 1.0)

    async def guarded() -> int:
        async with limiter:
            return await work()

    return guarded


async def tenacity() -> Guarded:
    """One object for all calls. It keeps its state in itself, so such calls must not overlap."""
    from tenacity import AsyncRetrying, stop_after_attempt, wait_random_exponential

    retrying: Any = AsyncRetrying(stop=stop_after_attempt(3), wait=wait_random_exponential())
    return partial(retrying, work)


async def tenacity_decorated() -> Guarded:
    """The decorator, which copies that object for each call."""
    from tenacity import retry, stop_after_attempt, wait_random_exponential

    guarded: Guarded = retry(stop=stop_after_attempt(3), wait=wait_random_exponential())(work)
    return guarded


async def stamina() -> Guarded:
    """The decorator."""
    from stamina import retry

    return retry(on=OSError, attempts=3)(work)


GUARDS: dict[str, Callable[[], Awaitable[Guarded]]] = {
    "bare": bare,
    "purgatory": purgatory,
    "purgatory, decorated": purgatory_decorated,
    "aiobreaker": aiobreaker,
    "pybreaker": pybreaker,
    "pybreaker, tornado": pybreaker_tornado,
    "aiolimiter": aiolimiter,
    "tenacity": tenacity,
    "tenacity, decorated": tenacity_decorated,
    "stamina": stamina,
}


async def purgatory_breaker() -> Guard:
    """Opens at the first failure, as the other two."""
    from purgatory import AsyncCircuitBreakerFactory

    breaker = await AsyncCircuitBreakerFactory(default_threshold=1, default_ttl=OPEN_FOR).get_breaker("dependency")

    async def guard(one: Work) -> int:
        async with breaker:
            return await one()

    return guard


async def aiobreaker_breaker() -> Guard:
    from aiobreaker import CircuitBreaker

    breaker: Any = CircuitBreaker(fail_max=1, timeout_duration=timedelta(seconds=OPEN_FOR))
    guard: Guard = breaker.call_async
    return guard


async def pybreaker_breaker() -> Guard:
    from pybreaker import CircuitBreaker

    breaker = CircuitBreaker(fail_max=1, reset_timeout=OPEN_FOR)

    async def guard(one: Work) -> int:
        with breaker.calling():
            return await one()

    return guard


async def pybreaker_tornado_breaker() -> Guard:
    """When its wait is over it makes a coroutine, takes that for a success, and closes before any call has begun."""
    from pybreaker import CircuitBreaker

    import_module("tornado.gen")
    breaker: Any = CircuitBreaker(fail_max=1, reset_timeout=OPEN_FOR)
    guard: Guard = breaker.call_async
    return guard


BREAKERS: dict[str, Callable[[], Awaitable[Guard]]] = {
    "purgatory": purgatory_breaker,
    "aiobreaker": aiobreaker_breaker,
    "pybreaker": pybreaker_breaker,
    "pybreaker, tornado": pybreaker_tornado_breaker,
}


async def half_open(breaker: Callable[[], Awaitable[Guard]], callers: int = 50) -> int:
    """How many of so many calls at once run, none of them done, when a breaker's open wait has just passed."""
    guard, running, answered = await breaker(), 0, asyncio.Event()

    async def fail() -> int:
        raise OSError("as told")

    async def wait() -> int:
        nonlocal running
        running += 1
        await answered.wait()
        return 1

    if not await refused(guard, fail) or not await refused(guard, work):
        raise AssertionError("expected the breaker to open at the first failure, and to refuse the next call")
    await asyncio.sleep(2 * OPEN_FOR)
    calls = [asyncio.ensure_future(guard(wait)) for _ in range(callers)]
    await asyncio.sleep(OPEN_FOR)
    let_through = running
    answered.set()
    await asyncio.gather(*calls, return_exceptions=True)
    return let_through


async def refused(guard: Guard, one: Work) -> bool:
    """Whether a call raises, of itself or by its guard."""
    try:
        await guard(one)
    except Exception:
        return True
    return False
