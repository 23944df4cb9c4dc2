"""What policies tell of themselves, for the event bus of the system; see `upright.actors.events`.

A policy is no actor: the path is always that of the root. All values, so that other wings may subscribe to them.
"""

import logging
from typing import ClassVar

from upright.actors.events import Event


class BreakerOpened(Event, frozen=True):
    """A circuit opened: its mailboxes pause, and no call goes out for `wait_s` seconds.

    `why`: the rule that tripped it. `openings`: how often in a row, without having closed.
    """

    name: ClassVar[str] = "breaker.opened"
    level: ClassVar[int] = logging.WARNING
    breaker: str
    why: str
    wait_s: float
    openings: int


class BreakerHalfOpened(Event, frozen=True):
    """An open circuit lets `permits` calls through, to see how the dependency does."""

    name: ClassVar[str] = "breaker.half_opened"
    level: ClassVar[int] = logging.INFO
    breaker: str
    permits: int


class BreakerClosed(Event, frozen=True):
    """A circuit closed: its mailboxes go on, gently at first. `open_s`: seconds since it opened."""

    name: ClassVar[str] = "breaker.closed"
    level: ClassVar[int] = logging.INFO
    breaker: str
    open_s: float


class BreakerMoved(Event, frozen=True):
    """An operator moved a circuit. `mode`: to where. `who` did it, and `why`."""

    name: ClassVar[str] = "breaker.moved"
    level: ClassVar[int] = logging.WARNING
    breaker: str
    mode: str
    who: str
    why: str


class RetryBudgetSpent(Event, frozen=True):
    """Retries of a dependency are put off now, for there are too many beside its calls: told once each time that its
    budget runs out. `wait_s`: seconds by which the retry that met it is put off.
    """

    name: ClassVar[str] = "retry_budget.spent"
    level: ClassVar[int] = logging.WARNING
    budget: str
    wait_s: float


class CallDegraded(Event, frozen=True):
    """A fallback took the place of the outcome of a call. `error`: what the call raised."""

    name: ClassVar[str] = "call.degraded"
    level: ClassVar[int] = logging.WARNING
    fallback: str
    error: BaseException


class CallHedged(Event, frozen=True):
    """A call took so long that it was made again beside itself. `calls`: how many there are now."""

    name: ClassVar[str] = "call.hedged"
    level: ClassVar[int] = logging.DEBUG
    hedge: str
    calls: int
