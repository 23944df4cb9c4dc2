"""One child in a supervisor's care: its spec, the actor if there is one, and where it stands."""

import random
from typing import Any, Literal

import msgspec

from upright.actors.exits import Crashed, Exit, Killed, Shutdown
from upright.actors.message import told
from upright.actors.parent import Child
from upright.actors.refs import Ref
from upright.actors.timers import Timer

from .intensity import Restarts
from .spec import ChildSpec

Standing = Literal["running", "restarting", "down"]


class Charge:
    """A spec and what became of it."""

    __slots__ = ("attempt", "child", "failures", "held_back", "held_until", "spec", "standing")

    def __init__(self, spec: ChildSpec[Any]) -> None:
        self.spec = spec
        self.child: Child | None = None
        self.standing: Standing = "down"
        self.failures = 0
        self.held_back = self.held_until = 0.0
        self.attempt: Timer | None = None
        """The attempt to bring it back that is still to come."""

    def delay(self, now: float, rng: random.Random) -> float:
        """Seconds to hold its restart back, by its back-off; counts this failure."""
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        if self.failures and backoff.is_quiet(now - self.held_until):
            self.failures = 0
        self.failures += 1
        self.held_back = delay = backoff.delay(self.failures, rng)
        self.held_until = now + delay  # the time that it is held back is no quiet time
        return delay

    def waited(self, now: float) -> float:
        """Seconds for which it was held back until now, told once; fewer than `delay` said if its group went first."""
        held_back, self.held_back = self.held_back, 0.0
        return held_back - min(max(self.held_until - now, 0.0), held_back)

    def last_words(self, restarts: Restarts, now: float, exit: Exit) -> str:
        """Why its supervisor gives up: which child, how often, and the last error."""
        match exit:
            case Crashed(error):
                last = told(error)
            case Shutdown(why) | Killed(why) if why:
                last = why
            case _:
                last = type(exit).__name__
        often, within = restarts.count(now), restarts.intensity.within
        times = f"{often} restart{'' if often == 1 else 's'} within {within:g} s"
        return f"{self.spec.id} failed after {times}, and no more are allowed; last: {last}"

    def info(self) -> "ChildInfo":
        """What an administrator is told of it."""
        running = self.child.self_ref if self.child is not None and self.standing == "running" else None
        ref: Ref[Any] | Literal["restarting"] | None = "restarting" if self.standing == "restarting" else running
        return ChildInfo(self.spec.id, ref, "supervisor" if self.spec.supervises else "worker", self.spec)


class ChildInfo(msgspec.Struct, frozen=True):
    """A child as `which_children` tells it: `ref` is None when it is down, or the word `restarting`."""

    id: str
    ref: Ref[Any] | Literal["restarting"] | None
    kind: Literal["worker", "supervisor"]
    spec: ChildSpec[Any]


class Counts(msgspec.Struct, frozen=True):
    """How many children: `specs` known, `active` ones that run, and by kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


def count(charges: list[Charge]) -> Counts:
    """Count them."""
    supervisors = sum(charge.spec.supervises for charge in charges)
    active = sum(charge.standing == "running" for charge in charges)
    return Counts(len(charges), active, supervisors, len(charges) - supervisors)
