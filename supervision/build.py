"""The words in which trees are written: `child` and `supervisor`."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from upright.actors.context import as_class
from upright.actors.parent import Parent

from .checks import whole
from .decision import AutoShutdown, Strategy
from .dynamic import DynamicSupervisor
from .intensity import Intensity
from .plan import Plan
from .spec import ChildSpec
from .supervisor import Supervisor

A = TypeVar("A")
P = ParamSpec("P")


def child(id: str, actor: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec[A]:
    """A child: its id, its class, and the arguments of its constructor, which the type checkers know.

    `child("ledger", Ledger, "EUR").options(shutdown=10.0)`; a subclass of `Supervisor` makes a child that supervises.
    """
    found = cast("type[A]", as_class(actor))
    return ChildSpec(id, found, args, kwargs, supervises=issubclass(found, Parent))


def supervisor(
    id: str,
    /,
    *children: ChildSpec[Any],
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    within: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
) -> ChildSpec[Supervisor]:
    """A supervisor of these children, itself a child: of another supervisor, or of the system.

    `max_restarts` (0 or more) in any `within` seconds are allowed, over all children together. Raises `ValueError`
    for a wrong value, with the value, before anything starts.

    >>> supervisor("bank", strategy="all_for_one")
    Traceback (most recent call last):
    ...
    ValueError: expected strategy to be one of one_for_one, one_for_all, rest_for_one, got 'all_for_one'
    """
    plan = Plan(children, strategy, Intensity(max_restarts, within), auto_shutdown)
    return ChildSpec(id, Supervisor, (plan,), supervises=True)


def dynamic(
    id: str, /, *, max_children: int | None = None, max_restarts: int = 3, within: float = 5.0
) -> ChildSpec[DynamicSupervisor]:
    """A supervisor whose children are started while it runs: `await sessions.ask(DynamicSupervisor.start_child,
    child("s-1", Session))`.

    `max_children`: how many there may be at once, those that are restarting included; None for any number.
    """
    if max_children is not None:
        whole("max_children", max_children, 0)
    return ChildSpec(id, DynamicSupervisor, (Intensity(max_restarts, within), max_children), supervises=True)
