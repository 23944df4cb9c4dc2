"""What does a guard cost per call, in nanoseconds, beside the guards of other libraries?

The call that is guarded awaits nothing and goes well, so that the figure is nearly all guard. Each contender takes the
quickest of many bursts, less what the same burst costs bare. The breakers are asked besides how many of fifty calls
they let through at once when they are half-open: see `half_open_of_50`, -1 where the question has no meaning.

The figure says nothing of what a guard counts for that price. purgatory's breaker counts failures in a row; ours keeps
a window over time with failed and slow calls, and can pause a mailbox.
"""

import time
from collections.abc import Awaitable, Callable

import subjects_guards as peers
from report import AtLeast, AtMost, Figures
from support import Contender, check, compare, on_asyncio, scaled

from upright.actors import Guards
from upright.actors.policies import Policy
from upright.supervision import Backoff, Bulkhead, CircuitBreaker, Fallback, Hedge, RateLimit, RetryBudget, Timeout

BURSTS = 50
BURST = scaled(1_000)
SMTP = CircuitBreaker("smtp")
OURS: dict[str, tuple[Policy, ...]] = {
    "upright: breaker": (SMTP,),
    "upright: rate limit": (RateLimit("api", 1e9, burst=1_000_000),),
    "upright: bulkhead": (Bulkhead("database", 10),),
    "upright: timeout": (Timeout("smtp", 5.0),),
    "upright: retry budget": (RetryBudget("smtp"),),
    "upright: breaker, rate limit, bulkhead": (
        SMTP,
        RateLimit("api", 1e9, burst=1_000_000),
        Bulkhead("database", 10),
    ),
}
CALLS: dict[str, Policy] = {
    "upright: fallback": Fallback("price", lambda _: 0),
    "upright: hedge": Hedge("price", after=5.0),
}


async def cost(guarded: Callable[[], Awaitable[int]], half_open: int = -1) -> Figures:
    """Nanoseconds by which a guarded call is longer than a bare one."""
    bursts = [[await burst(one) for one in (peers.work, guarded)] for _ in range(BURSTS)]
    bare, behind = (min(column) / BURST * 1e9 for column in zip(*bursts, strict=True))
    return {"ns_more": behind - bare, "ns_each": behind, "half_open_of_50": half_open}


async def burst(call: Callable[[], Awaitable[int]]) -> float:
    done, began = 0, time.perf_counter()
    for _ in range(BURST):
        done += await call()
    took = time.perf_counter() - began
    check(done, BURST)
    return took


def of_ours(policies: tuple[Policy, ...]) -> Contender:
    async def main() -> Figures:
        guards = Guards()

        async def guarded() -> int:
            async with guards.guard(*policies):
                return await peers.work()

        through = await peers.half_open(our_breaker) if policies == (SMTP,) else -1
        return await cost(guarded, through)

    return on_asyncio(main)


async def our_breaker() -> peers.Guard:
    """Opens at the first failure, as the others are told to."""
    guards = Guards()
    wait = Backoff(peers.OPEN_FOR, peers.OPEN_FOR, jitter="none")
    breaker = CircuitBreaker("dependency", minimum_calls=1, wait=wait)

    async def guard(one: peers.Work) -> int:
        async with guards.guard(breaker):
            return await one()

    return guard


def of_our_calls(policy: Policy) -> Contender:
    async def main() -> Figures:
        guards = Guards()
        return await cost(lambda: guards.call(policy, peers.work))

    return on_asyncio(main)


def of_peer(name: str) -> Contender:
    async def main() -> Figures:
        breaker = peers.BREAKERS.get(name)
        through = await peers.half_open(breaker) if breaker is not None else -1
        return await cost(await peers.GUARDS[name](), through)

    return on_asyncio(main)


if __name__ == "__main__":
    compare(
        "guards: nanoseconds per call that a guard costs",
        {name: of_ours(policies) for name, policies in OURS.items()}
        | {name: of_our_calls(policy) for name, policy in CALLS.items()}
        | {name: of_peer(name) for name in peers.GUARDS if name != "bare"},
        figure="ns_more",
        ours="upright: breaker",
        goals=[
            AtMost("half_open_of_50", 3, ours="upright: breaker"),
            AtLeast("aiobreaker", 1.0, ours="upright: breaker"),
            AtLeast("pybreaker", 1.0, ours="upright: breaker"),
            AtLeast("tenacity", 1.0, ours="upright: breaker"),
            AtLeast("aiolimiter", 1.0, ours="upright: rate limit"),
        ],
    )
