"""Timers by name: starting another under the same key replaces the first."""

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Protocol

from .handlers import HandlerTable
from .options import seconds
from .timers import Timer, Timers

P = ParamSpec("P")


class Host(Protocol):
    """What a key needs of the incarnation that it belongs to."""

    @property
    def handlers(self) -> HandlerTable: ...
    @property
    def timers(self) -> Timers: ...


class TimerKey:
    """A timer by its key: `self.ctx.timer("flush").every(30.0, Ledger.flush)`."""

    __slots__ = ("_host", "key")

    def __init__(self, host: Host, key: object) -> None:
        self._host, self.key = host, key

    def after(
        self, delay: float, handler: Callable[Concatenate[Any, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Timer:
        """As `Context.after`, in place of what ran under this key."""
        timers, found = self._host.timers, self._host.handlers[handler]
        return timers.start(self.key, seconds("delay", delay), None, found, (args, kwargs or None))

    def every(
        self,
        period: float,
        handler: Callable[Concatenate[Any, P], Awaitable[Any]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Timer:
        """As `Context.every`, in place of what ran under this key."""
        timers, found = self._host.timers, self._host.handlers[handler]
        return timers.start(self.key, period_of(period), period_of(period), found, (args, kwargs or None))

    def cancel(self) -> bool:
        """Cancel it; False if nothing runs under this key."""
        return self._host.timers.cancel(self.key)


def period_of(period: float) -> float:
    """The period, if it is one."""
    if not period > 0:
        raise ValueError(f"expected period to be more than 0 seconds, got {period!r}")
    return period
