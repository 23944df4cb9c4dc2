"""A dependency that is down for a while, and actors that use policies for it: for the tests of mailboxes that pause."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any, TypeVar

from tests.actors.lives import Deed, Oops
from upright.actors import ActorSystem
from upright.supervision import Backoff, CircuitBreaker

K = TypeVar("K", bound=type[Any])
HOUR = 3600.0
BY = {"who": "a test", "why": "to see what happens"}
"""Who moves a circuit by hand, and why."""
LATER = Backoff(5.0, 300.0, jitter="none")
SMTP = CircuitBreaker("smtp", consecutive=1, wait=LATER, permits=2, slow_start=0)
"""Opens at the first failure, for 5 seconds, then 10, 20, …; two permits; all go on at once when it closes."""


def using(kind: K, *policies: Any, **more: Any) -> K:
    """That class of actors, whose messages pass these policies."""
    meta: Any = type(kind)
    made: K = meta(kind.__name__, (kind,), {"uses": policies, **more})
    return made


async def trip(system: ActorSystem, policy: CircuitBreaker = SMTP) -> None:
    """Have a call fail, so that a circuit of these tests opens."""
    with contextlib.suppress(Oops):
        async with system.guards.guard(policy):
            raise Oops("down")
    assert policy.on(system).state == "open"


class Dependency:
    """What handlers call. `calls`: when each call was made, seconds since the start. `most`: how many at once."""

    def __init__(self) -> None:
        self.is_down = False
        self.takes = 0.0
        self.calls: list[float] = []
        self.words: list[Any] = []
        self.now = self.most = 0
        self.start = asyncio.get_running_loop().time()

    async def call(self, word: Any = None) -> None:
        """Raises `Oops` while it is down."""
        self.calls.append(round(asyncio.get_running_loop().time() - self.start, 3))
        self.words.append(word)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.takes:
                await asyncio.sleep(self.takes)
            if self.is_down:
                raise Oops("down")
        finally:
            self.now -= 1

    def deed(self, word: Any = None) -> Deed:
        """To call it."""

        async def call(_: Any) -> None:
            await self.call(word)

        return call


@contextlib.contextmanager
def loop_turns() -> Generator[list[int]]:
    """Count how often the loop goes round."""
    loop: Any = asyncio.get_running_loop()
    run_once, turns = loop._run_once, [0]

    def counted() -> None:
        turns[0] += 1
        run_once()

    loop._run_once = counted
    try:
        yield turns
    finally:
        del loop._run_once


def inside(system: ActorSystem, policy: Any) -> int:
    """How many permits of a policy are out."""
    machine: Any = system.guards.gate(policy).machine
    out: int = machine._inside if hasattr(machine, "_inside") else machine.taken
    return out
