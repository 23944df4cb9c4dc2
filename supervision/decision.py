"""What follows from the end of a child: decided here, without I/O, and carried out by the supervisor.

restart   | clean (normal, shutdown)                   | anything else
permanent | restart                                    | restart
transient | keep the spec; then look at auto_shutdown  | restart
temporary | forget it; then look at auto_shutdown      | forget it; then look at auto_shutdown
"""

import enum
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from upright.actors.exits import Exit, is_clean

Restart = Literal["permanent", "transient", "temporary"]
RESTARTS: tuple[Restart, ...] = ("permanent", "transient", "temporary")
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")
AutoShutdown = Literal["never", "any_significant", "all_significant"]
AUTO_SHUTDOWNS: tuple[AutoShutdown, ...] = ("never", "any_significant", "all_significant")


class Verdict(enum.Enum):
    """What becomes of a child that ended by itself."""

    RESTART = "restart"
    KEEP = "keep the spec, not running"
    FORGET = "forget the spec"


def judge(restart: Restart, exit: Exit) -> Verdict:
    """The table above.

    >>> from upright.actors.exits import Killed, Normal
    >>> judge("transient", Normal()), judge("transient", Killed())
    (<Verdict.KEEP: 'keep the spec, not running'>, <Verdict.RESTART: 'restart'>)
    """
    match (restart, is_clean(exit)):
        case ("permanent", _) | ("transient", False):
            return Verdict.RESTART
        case ("transient", True):
            return Verdict.KEEP
        case _:
            return Verdict.FORGET


class Group(msgspec.Struct, frozen=True):
    """Which children a restart touches: `stop` in this order, then `start` in this order."""

    stop: tuple[str, ...]
    start: tuple[str, ...]


def group(strategy: Strategy, order: Sequence[str], failed: str) -> Group:
    """The children, by id in start order, that a restart of `failed` touches.

    The one that failed is not among those to stop, for it has ended.

    >>> group("rest_for_one", ("a", "b", "c"), "b")
    Group(stop=('c',), start=('b', 'c'))
    """
    place = order.index(failed)
    match strategy:
        case "one_for_one":
            touched: Sequence[str] = (failed,)
        case "one_for_all":
            touched = order
        case "rest_for_one":
            touched = order[place:]
    return Group(tuple(child for child in reversed(touched) if child != failed), tuple(touched))


def shuts_down(policy: AutoShutdown, ended_significant: bool, left_running: Iterable[str]) -> bool:
    """Whether a supervisor ends because a significant child has ended by itself and will not come back.

    `left_running`: the significant children that still run; one that is restarting counts as running.

    >>> shuts_down("any_significant", True, ["other"]), shuts_down("all_significant", True, ["other"])
    (True, False)
    """
    if not ended_significant:
        return False
    match policy:
        case "never":
            return False
        case "any_significant":
            return True
        case "all_significant":
            return not any(True for _ in left_running)
