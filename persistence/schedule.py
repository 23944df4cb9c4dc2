"""Schedules as values: when something is to be told again and again, and what becomes of times that were missed.

It stands apart because it is without a loop, a clock and a store: every rule here is a function of the times that it is
given. A *tick* is one such time, in seconds since the epoch. All nodes work out the same ticks, so that one can tell
which of them were fired by another.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import msgspec

from upright.supervision.checks import at_least, one_of

from .cron_expression import CronExpression

A = TypeVar("A")
P = ParamSpec("P")

Missed = Literal["once", "all", "skip"]
MISSED: tuple[Missed, ...] = ("once", "all", "skip")
LATE = 60.0
"""Seconds after which a tick that was not fired is one that was missed."""
MOST = 100
"""Ticks of one schedule that are fired in one go; those that are left come right after them."""
SHORTEST = 0.01
"""Seconds between two ticks, at least: each one is a commit."""
BACKWARDS = 86_400.0
"""Seconds by which a clock may be set back: what was fired is then ahead of it, and it waits until it has caught up."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When it is time. Make one with `every(…)` or `cron(…)`, and say with `tell` what is to be told then.

    `name`: under which the store remembers the last tick; another name begins anew. `missed`: what becomes of ticks
    that nobody was there to fire: `once` (the latest of them is fired), `all` (each one is) or `skip` (none is).
    """

    name: str
    missed: Missed = "once"

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f"expected name to be a string that is not empty and can be printed, got {name!r}")
        one_of(f"missed of {self.name!r}", self.missed, MISSED)

    def tell(
        self,
        path: str,
        handler: Callable[Concatenate[A, P], Awaitable[Any]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> "Schedule":
        """A schedule that tells the durable actor at that path: `every(60.0, name="poll").tell("/shop/mailer",
        Mailer.poll)`. The path may also be the name of a sibling.
        """
        return Schedule(self, path, handler, args, kwargs)

    def next_after(self, when: float) -> float:
        """The first tick after that time; infinity if there is none."""
        raise NotImplementedError


class Every(Rule, frozen=True, kw_only=True):
    """A tick every `period` seconds, counted from `start`; see `every`."""

    period: float
    start: datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(f"period of {self.name!r}", self.period, SHORTEST, " seconds")
        if self.period == math.inf:
            raise ValueError(f"expected period of {self.name!r} to be a finite number of seconds, got {self.period!r}")
        start: object = self.start
        if start is not None and (not isinstance(start, datetime) or start.tzinfo is None):
            raise ValueError(
                f"expected start of {self.name!r} to be a time with a zone, such as datetime.now(UTC), got {start!r}"
            )

    def next_after(self, when: float) -> float:
        """See `Rule.next_after`."""
        start = self.start.timestamp() if self.start is not None else 0.0
        if when < start:
            return start
        count = math.floor((when - start) / self.period)
        # The quotient is rounded: it may be one off to either side, and a tick would be passed over or come again.
        while start + count * self.period > when:
            count -= 1
        while start + count * self.period <= when:
            count += 1
        return start + count * self.period


class Cron(Rule, frozen=True, kw_only=True):
    """A tick whenever the expression says so; see `cron`."""

    expression: CronExpression

    def next_after(self, when: float) -> float:
        """See `Rule.next_after`."""
        return self.expression.next_after(when)


class Schedule(msgspec.Struct, frozen=True):
    """What is told, to whom and when. Make it with `every(…).tell(…)` or `cron(…).tell(…)`."""

    rule: Rule
    path: str
    handler: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        path: object = self.path
        if not isinstance(path, str) or not path:
            raise ValueError(f"expected path of {self.name!r} to be a path such as '/shop/mailer', got {path!r}")

    @property
    def name(self) -> str:
        """The name of its rule."""
        return self.rule.name


class Due(msgspec.Struct, frozen=True):
    """What is to be done now: the `ticks` to fire, in order, and the time `until` which all are settled then. `first`:
    the first tick that was due, fired or not.
    """

    first: float
    ticks: tuple[float, ...]
    until: float


def every(period: float, *, name: str, start: datetime | None = None, missed: Missed = "once") -> Every:
    """Every `period` seconds: at multiples of it since the epoch, or since `start`, a time with a zone. So all nodes
    mean the same times, whenever they were started. `name` and `missed`: see `Rule`. Raises `ValueError`.

    >>> every(0, name="poll")
    Traceback (most recent call last):
    ...
    ValueError: expected period of 'poll' to be 0.01 or more seconds, got 0
    """
    return Every(period=period, name=name, start=start, missed=missed)


def cron(expression: str, *, name: str, tz: str, missed: Missed = "once") -> Cron:
    """Whenever the five fields of cron say so, on the wall clock of that time zone: `cron("0 2 * * *", name="nightly",
    tz="Europe/Berlin")`. `name` and `missed`: see `Rule`.

    It needs the extra `schedules`; `ImportError` says so. Raises `ValueError` for an expression or a zone that is none.

    >>> cron("0 2 * * *", name="nightly", tz="Berlin")
    Traceback (most recent call last):
    ...
    ValueError: expected tz to be a time zone such as 'Europe/Berlin', got 'Berlin'; a system without zones needs tzdata
    """
    return Cron(expression=CronExpression(expression, tz), name=name, missed=missed)


def due(rule: Rule, until: float, now: float) -> Due | None:
    """What is to be done at `now`, when all ticks up to `until` are settled; None for nothing.

    >>> minutely = every(60.0, name="poll", missed="all")
    >>> due(minutely, 0.0, 200.0)
    Due(first=60.0, ticks=(60.0, 120.0, 180.0), until=180.0)
    >>> due(minutely, 0.0, 59.0) is None
    True
    """
    first = rule.next_after(until)
    if first > now:
        return None
    match rule.missed:
        case "all":
            ticks = [first]
            while len(ticks) < MOST and (tick := rule.next_after(ticks[-1])) <= now:
                ticks.append(tick)
            return Due(first, tuple(ticks), ticks[-1])
        case "once":
            last = latest(rule, first, now)
            return Due(first, (last,), last)
        case "skip":
            last = latest(rule, first, now)
            return Due(first, (last,) if now - last <= LATE else (), last)


def latest(rule: Rule, tick: float, now: float) -> float:
    """The last tick up to `now`, from one that is known: by halving, for there may be years of minutes between."""
    until = now
    while (following := rule.next_after(tick)) <= now:
        middle = (following + until) / 2
        later = rule.next_after(middle)
        tick, until = (later, until) if later <= now else (following, middle)
    return tick
