"""How many calls may run at once: a policy, and at work a count. A dependency that hangs cannot take all there is."""

import msgspec

from upright.actors.policies import BULKHEAD, House

from .checks import dependency, label, line, share, whole
from .errors import BulkheadFull

ASK_AGAIN = 1.0
"""Seconds after which one that was refused may ask again: nobody knows when a call will end."""


class Bulkhead(msgspec.Struct, frozen=True):
    """At most `running` calls of the dependency `name` at once, counted for all who use the policy in a system.

    `waiting`: how many more may wait in line for their turn; by default any number, and 0 for none. `longest_wait`:
    seconds that a call waits there, 60 by default. The line is first in, first out, also for one that counts for much.
    `key`: whose calls, see `of`. `weight`: for how many one call counts, see `costing`.

    A call that was refused raises `BulkheadFull`. Raises `ValueError` for what cannot be.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> REPORTS = Bulkhead("reports", running=1, waiting=0)
    >>> async def main() -> None:
    ...     guards = Guards()
    ...     async with guards.guard(REPORTS):
    ...         async with guards.guard(REPORTS):
    ...             print("a second one beside it")
    >>> asyncio.run(main())
    Traceback (most recent call last):
    ...
    upright.supervision.errors.BulkheadFull: bulkhead reports is full: 1 of 1 running
    """

    name: str
    running: int
    waiting: float = float("inf")
    longest_wait: float = 60.0
    key: str = ""
    weight: int = 1

    def __post_init__(self) -> None:
        dependency(self.name, self.key)
        whole("running", self.running, 1)
        line(self.longest_wait, "waiting", self.waiting)
        share("weight", self.weight, self.running, "number of running calls")

    @property
    def rank(self) -> int:
        return BULKHEAD

    @property
    def plain(self) -> "Bulkhead":
        if not self.key and self.weight == 1:
            return self
        return msgspec.structs.replace(self, key="", weight=1)

    def of(self, key: str) -> "Bulkhead":
        """The same for the calls of one caller, a tenant, say: each key has places and a line of its own.

        >>> Bulkhead("reports", running=1).of("acme").key
        'acme'
        """
        return msgspec.structs.replace(self, key=key)

    def costing(self, calls: int) -> "Bulkhead":
        """The same for a call that counts for so many. Raises `ValueError` above `running`: it could never go.

        >>> Bulkhead("reports", running=4).costing(3).weight
        3
        """
        return msgspec.structs.replace(self, weight=calls)

    def open(self, house: House) -> "Places":
        """Its places, all free."""
        return Places(self)


class Places:
    """The calls of one dependency, or of one key, that run in one system; `Bulkhead` is its policy. `taken`: how many.

    >>> places = Places(Bulkhead("reports", running=3))
    >>> places.enter(0.0, True, 2), places.room(0.0), places.enter(0.0, True, 2)
    (2, 1, None)
    """

    is_shut = False

    __slots__ = ("longest_wait", "most_waiting", "policy", "taken")

    def __init__(self, policy: Bulkhead) -> None:
        self.policy = policy
        self.longest_wait, self.most_waiting = policy.longest_wait, policy.waiting
        self.taken = 0

    def room(self, now: float) -> int:
        """How many places are free."""
        return self.policy.running - self.taken

    def enter(self, now: float, patient: bool, weight: int) -> int | None:
        if self.taken + weight > self.policy.running:
            return None
        self.taken += weight
        return weight

    def leave(self, token: int, error: BaseException | None, took: float, now: float) -> None:
        """However it ended, its places are free."""
        self.taken -= token

    def give_back(self, token: int, now: float) -> None:
        self.taken -= token

    def opens_at(self, now: float) -> float:
        """Never by itself: somebody has to leave."""
        return float("inf")

    def refusal(self, now: float) -> BulkheadFull:
        policy = self.policy
        text = f"is full: {self.taken} of {policy.running} running"
        return BulkheadFull(f"bulkhead {label(policy.name, policy.key)} {text}", policy.name, ASK_AGAIN)

    def setback(self) -> float:
        """It knows nothing of failures."""
        return 0.0

    def is_idle(self, now: float) -> bool:
        return not self.taken

    def __repr__(self) -> str:
        return f"<Places {self.taken}/{self.policy.running}>"
