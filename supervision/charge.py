"""One child in a supervisor's care: its spec, the actor if there is one, and where it stands."""

import random
from typing import Any, Literal

import msgspec

from upright.actors.parent import Child
from upright.actors.refs import Ref

from .spec import ChildSpec

Standing = Literal["running", "restarting", "down"]


class Charge:
    """A spec and what became of it."""

    __slots__ = ("child", "failed_at", "failures", "spec", "standing")

    def __init__(self, spec: ChildSpec[Any]) -> None:
        self.spec = spec
        self.child: Child | None = None
        self.standing: Standing = "down"
        self.failures = 0
        self.failed_at = 0.0

    def delay(self, now: float, rng: random.Random) -> float:
        """Seconds to hold its restart back, by its back-off; counts this failure."""
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        if self.failures and backoff.is_quiet(now - self.failed_at):
            self.failures = 0
        self.failures += 1
        self.failed_at = now
        return backoff.delay(self.failures, rng)

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
