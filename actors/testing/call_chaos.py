"""Seeded chaos for guarded calls, as one more policy: a dependency that fails, is slow, or fails after it has acted.

It stands apart from the chaos of messages because it is at work in guards, also without any system of actors. It is the
innermost policy, so that all others see what it does as they would see it of the dependency.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

import msgspec

from ..events import Event
from ..guards import Guards
from ..policies import CHAOS, House
from .strikes import ChaosCrash, Strikes, allowed, mortal, odds, span, whole_seed

R = TypeVar("R")
KINDS = ("fault", "latency", "outcome", "crash", "kill")
"""In the order in which the dice are thrown: all of them for each call, so that no probability moves another's."""


class CallChaos(msgspec.Struct, frozen=True):
    """What may happen to calls, each with its probability for one call, 0 by default. `name`: the dependency's.

    `seed`: the same one brings the same strikes to the same calls in the same order, on virtual time. `latency`: the
    call begins late, by up to `longest` seconds. `fault`: an `error` is raised, and nothing was called. `outcome`: the
    call is made, and an `error` is raised in the place of its result, so that whoever tries again does it twice.
    `crash`: `ChaosCrash` is raised, before the call or after it. `kill`: the process is killed (SIGKILL), before the
    call or after it; that is for a child process in whose environment `KILLED_BY` holds the number of its parent.
    `error`: makes an error of a text, a `ConnectionError` by default. A call that failed by itself is not struck again.

    Put it beside the other policies, `uses = (SMTP, CHAOS)` or `guards.call((SMTP, CHAOS), …)`. Each strike is told as
    `ChaosStruck`. Raises `ValueError` and `TypeError` for what cannot be; and where it is first used `ChaosNotAllowed`,
    unless the system, or the guards, were made with `allows_chaos=True`.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> SMTP = CallChaos("smtp", seed=1, outcome=0.3)
    >>> sent: list[int] = []
    >>> async def send(number: int) -> None:
    ...     sent.append(number)
    >>> async def main() -> int:
    ...     guards, unsure = Guards(allows_chaos=True), 0
    ...     for number in range(100):
    ...         try:
    ...             await guards.call(SMTP, send, number)
    ...         except ConnectionError:
    ...             unsure += 1
    ...     assert SMTP.strikes(guards).count("outcome") == unsure
    ...     return unsure
    >>> asyncio.run(main()), len(sent)
    (30, 100)
    >>> CallChaos("smtp", seed=1, fault=2)
    Traceback (most recent call last):
    ...
    ValueError: expected fault to be a probability from 0 to 1, got 2
    """

    key = ""
    weight = 1
    rank = CHAOS

    name: str
    seed: int
    fault: float = 0.0
    latency: float = 0.0
    outcome: float = 0.0
    crash: float = 0.0
    kill: float = 0.0
    longest: float = 1.0
    error: Callable[[str], Exception] = ConnectionError

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected name to be a string that is not empty, got {name!r}")
        whole_seed(self.seed)
        for kind in KINDS:
            odds(kind, getattr(self, kind))
        span("longest", self.longest)
        if not callable(self.error):
            raise TypeError(f"expected error to make an error of a text, as a class of errors does, got {self.error!r}")

    @property
    def plain(self) -> "CallChaos":
        return self

    def open(self, house: House) -> "CallTrouble":
        """Its dice, for one system. Raises `ChaosNotAllowed` unless it may."""
        allowed(house)
        if self.kill:
            mortal()
        return CallTrouble(self, house)

    def strikes(self, guards: Guards) -> Strikes:
        """All that it did there so far: `CHAOS.strikes(system.guards).count("fault")`. Raises `ChaosNotAllowed`."""
        trouble = guards.of(self)
        assert isinstance(trouble, CallTrouble)
        return trouble.strikes


class CallTrouble:
    """Chaos at work in calls. Made by `CallChaos.open`."""

    __slots__ = ("chaos", "strikes")
    stands_in = True
    """What it raises is to be taken for the dependency's."""

    def __init__(self, chaos: CallChaos, house: House) -> None:
        self.chaos = chaos
        self.strikes = Strikes(chaos.seed, _Teller(house))

    async def around(self, call: Callable[[], Awaitable[R]]) -> R:
        """Run the call, or not, or not quite."""
        async with Struck(self):
            return await call()

    def block(self) -> "Struck":
        """The same for a block."""
        return Struck(self)


class Struck:
    """One call, and what the dice say of it."""

    __slots__ = ("_kinds", "_strikes", "_chaos", "_is_before")
    stands_in = True

    def __init__(self, trouble: CallTrouble) -> None:
        self._chaos, self._strikes = trouble.chaos, trouble.strikes
        self._kinds: set[str] = set()
        self._is_before = False

    async def __aenter__(self) -> None:
        chaos, dice = self._chaos, self._strikes.dice(self._chaos.name)
        self._kinds = {kind for kind in KINDS if dice.random() < getattr(chaos, kind)}
        share, self._is_before = dice.random(), dice.random() < 0.5
        if "latency" in self._kinds:
            self._tell("latency")
            await asyncio.sleep(share * chaos.longest)
        if self._is_before:
            self._end("before it")
        if "fault" in self._kinds:
            raise chaos.error(self._tell("fault"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        if not self._is_before:
            self._end("after it")
        if "outcome" in self._kinds:
            raise self._chaos.error(self._tell("outcome"))

    def _end(self, when: str) -> None:
        """Crash, or kill the process, if that is what the dice say."""
        if "kill" in self._kinds:
            self._tell("kill", when)
            os.kill(os.getpid(), signal.SIGKILL)
        if "crash" in self._kinds:
            raise ChaosCrash(self._tell("crash", when))

    def _tell(self, what: str, when: str = "") -> str:
        name = self._chaos.name
        return self._strikes.tell("/", what, f"{name}, {when}" if when else name)


class _Teller:
    """A house as strikes want it: it hears of all."""

    __slots__ = ("_house",)

    def __init__(self, house: House) -> None:
        self._house = house

    def wants(self, kind: type[Event]) -> bool:
        return True

    def emit(self, event: Event) -> None:
        self._house.tell(event)
