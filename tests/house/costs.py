"""What the paths of messages cost, as counts that are the same on each machine: calls and bytecode instructions.

    python tests/house/costs.py            # print them
    python tests/house/costs.py --write    # keep them as the marks of this version of Python

With `UPRIGHT_PURE=1` they are those of the paths in Python, else of those that the accelerator shortens.

Times would tell more and less: a busy machine makes them twice as long, and nobody knows whose fault that is.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from upright.actors import Actor, ActorSystem, dispatcher
from upright.actors.accelerator import METHODS
from upright.persistence import Durable, Memory
from upright.supervision import Bulkhead, CircuitBreaker, child, supervisor

MARKS = Path(__file__).with_name("costs.json")
VERSION = "{}.{}".format(*sys.version_info)
IN_PYTHON = f"{VERSION} in Python"
"""The name of the marks without accelerator; those with it bear the version alone."""
COUNT = 200


class Cost(NamedTuple):
    """Of one operation: calls of functions, in Python and in C, and bytecode instructions."""

    calls: float
    instructions: float


class Counter(Actor):
    def __init__(self) -> None:
        self.total = 0

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    async def crash(self) -> None:
        raise RuntimeError("as told")


class Clerk(Counter):
    mailbox = Durable("clerk", window=2 * COUNT)


class Counting:
    """Counts what happens between `begin` and `end`, in all frames that are entered meanwhile."""

    def __init__(self) -> None:
        self.calls = self.instructions = 0

    def begin(self) -> None:
        sys.setprofile(self._profile)
        sys.settrace(self._trace)

    def end(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _profile(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.instructions += 1
        return self._trace


async def cost(work: Callable[[int], Awaitable[object]]) -> Cost:
    """What each of many costs more than nothing: the difference between many and a few of them."""
    await work(COUNT)  # tables are filled, the interpreter has specialised
    found: list[Counting] = []
    for count in (COUNT // 10, COUNT):
        counting = Counting()
        counting.begin()
        try:
            await work(count)
        finally:
            counting.end()
        found.append(counting)
    few, many = found
    more = COUNT - COUNT // 10
    return Cost(round((many.calls - few.calls) / more, 2), round((many.instructions - few.instructions) / more, 2))


async def in_memory() -> dict[str, Cost]:
    """Messages, actors and guards without a store."""
    tree = supervisor("top", child("crasher", Counter), max_restarts=10**6, within=1.0)
    async with ActorSystem(tree, log=None, blocked_after=None) as system:
        counter, crasher = await system.spawn("counter", Counter), system.ref("/top/crasher", Counter)
        names = iter(range(10**6))

        async def tell(count: int) -> None:
            for _ in range(count):
                await counter.tell(Counter.add, 1)
            await counter.ask(Counter.add, 0)

        async def ask(count: int) -> None:
            for _ in range(count):
                await counter.ask(Counter.add, 1)

        async def ask_at_once(count: int) -> None:
            await asyncio.gather(*(ask(count // 20) for _ in range(20)))

        async def spawn(count: int) -> None:
            for _ in range(count):
                await system.spawn(f"a-{next(names)}", Counter)

        async def restart(count: int) -> None:
            for _ in range(count):
                await crasher.tell(Counter.crash)
                await system.idle()

        async def guard(count: int) -> None:
            for _ in range(count):
                async with system.guards.guard(breaker, bulkhead):
                    pass

        breaker, bulkhead = CircuitBreaker("a"), Bulkhead("b", running=10)
        return {
            "tell": await cost(tell), "ask": await cost(ask), "ask at once": await cost(ask_at_once),
            "spawn": await cost(spawn), "restart": await cost(restart), "guards": await cost(guard),
        }  # fmt: skip


async def durable() -> dict[str, Cost]:
    """Messages through a store, in memory: a disk would answer at other times each time."""
    async with ActorSystem(supervisor("top", child("clerk", Clerk)), store=Memory(), log=None) as system:
        clerk = system.ref("/top/clerk", Clerk)

        async def cycle(count: int) -> None:
            for _ in range(count):
                await clerk.tell(Clerk.add, 1)
            await system.idle()

        async def at_once(count: int) -> None:
            await clerk.tell_many(Clerk.add, [1] * count)
            await system.idle()

        return {"durable tell": await cost(cycle), "durable tell_many": await cost(at_once)}


def measured() -> dict[str, Cost]:
    """All of it, each system on a loop of its own."""
    return asyncio.run(in_memory()) | asyncio.run(durable())


def main() -> None:
    dispatcher.STINT = 3600.0  # else a slow machine ends its drains sooner, and has more of them to count
    found = measured()
    if "--write" in sys.argv:
        marks: dict[str, Any] = json.loads(MARKS.read_text("utf-8")) if MARKS.exists() else {}
        marks[VERSION if METHODS else IN_PYTHON] = found
        MARKS.write_text(json.dumps(dict(sorted(marks.items())), indent=1) + "\n", "utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
