"""What the traces of docs/resilience.md are recorded with: a dependency by a script, and a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from upright.actors.policies import Policy
from upright.actors.testing import VirtualTimeLoop

T = TypeVar("T")
Point = tuple[float, float]


class Call(NamedTuple):
    """One call of the dependency. `start`: seconds. `kind`: what became of it."""

    start: float
    took: float
    kind: str


class Phase(NamedTuple):
    """Until that second a call takes so long, and fails or not."""

    until: float
    takes: float
    fails: bool = False


@dataclass
class Dependency:
    """What handlers call. `running`: how many calls there were at a time, at each change."""

    phases: list[Phase]
    calls: list[Call] = field(default_factory=list[Call])
    running: list[Point] = field(default_factory=list[Point])
    now: int = 0

    async def call(self) -> None:
        start = clock()
        phase = next(one for one in self.phases if start < one.until)
        self._run(1)
        try:
            await asyncio.sleep(phase.takes)
        except asyncio.CancelledError:
            self.calls.append(Call(start, clock() - start, "cut"))
            raise
        finally:
            self._run(-1)
        self.calls.append(Call(start, clock() - start, "failed" if phase.fails else "ok"))
        if phase.fails:
            raise ConnectionError("no route")

    def _run(self, more: int) -> None:
        self.now += more
        self.running.append((clock(), self.now))


@dataclass
class Outage:
    """A mailbox and its dependency. `depth`: messages that are not done. `used`: attempts that failures used up."""

    calls: list[Call]
    depth: list[Point] = field(default_factory=list[Point])
    used: list[Point] = field(default_factory=list[Point])
    states: list[tuple[float, str]] = field(default_factory=lambda: [(0.0, "closed")])
    lost: int = 0


class Shared(NamedTuple):
    """What a dependency that hangs does to another one."""

    running: list[Point]
    refused: list[float]
    prices: list[Call]


def clock() -> float:
    """Seconds of virtual time."""
    return asyncio.get_running_loop().time()


def wall() -> float:
    """A wall clock for stores that is the same in each run, and to which no time is too small to be added."""
    return 2.0**20 + clock()


def on_virtual_time(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it to its end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


def using(kind: type[Any], *policies: Policy) -> Any:
    """That class of actors with these policies."""
    meta: Any = type(kind)
    return meta(kind.__name__, (kind,), {"uses": policies})


async def every(seconds: float, until: float, act: Callable[[int], Awaitable[object]]) -> None:
    """Do that at this rate, whatever it takes each time."""
    number = 0
    while (due := number * seconds) < until:
        await asyncio.sleep(due - clock())
        await act(number)
        number += 1
