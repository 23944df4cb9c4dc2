"""The words in which trees are written: `child`, `supervisor`, `dynamic`, `pool` and `partitioned`."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from upright.actors.context import as_class
from upright.actors.parent import Parent

from .checks import whole
from .decision import AutoShutdown, Strategy
from .dynamic import DynamicSupervisor
from .intensity import Intensity
from .partitioned import Partitioned
from .plan import Plan
from .pool import Pool, pool_spec
from .routing import ByKey, Routing, by_key
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


def pool(
    id: str,
    worker: Callable[[], A] | ChildSpec[A],
    /,
    *,
    size: int,
    routing: Routing = "least_loaded",
    max_restarts: int = 3,
    within: float = 5.0,
) -> ChildSpec[A]:
    """Several workers that are alike behind one address: `pool("thumbs", Thumbnailer, size=4)`.

    `worker`: a class, or `functools.partial(Thumbnailer, 512)` where its constructor needs arguments, or a child spec
    for a worker with options, whose id is not used: `child("thumb", Thumbnailer, 512).options(shutdown=30.0)`.
    `size`: how many, 1 or more. `routing`: who gets a message: `least_loaded` (the one with the least to do, idle ones
    in turn), `round_robin` (one after the other), `broadcast` (every one gets a copy, and the first reply answers an
    ask), or `by_key(…)` (the same key, the same worker). `max_restarts` in any `within` seconds, over all workers.

    Options of the spec that is returned are those of the pool as a child; it is a supervisor, and is counted as one.
    """
    whole(f"size of the pool {id!r}", size, 1)
    spec = _worker_spec(worker)
    return cast("ChildSpec[A]", pool_spec(id, spec, size, routing, Intensity(max_restarts, within), Pool))


def partitioned(
    id: str,
    partition: Callable[[], A] | ChildSpec[A],
    /,
    *,
    partitions: int,
    key: ByKey | None = None,
    max_restarts: int = 3,
    within: float = 5.0,
) -> ChildSpec[A]:
    """Several supervisors (or other actors) that are alike, each responsible for the keys that fall to it:
    `partitioned("sessions", dynamic("part"), partitions=4)`.

    `key`: the key of a message, `by_key(…)`; without it the first argument: the id of a child spec, the name of a ref,
    a string. `partitions`: how many, 1 or more.
    """
    whole(f"partitions of {id!r}", partitions, 1)
    routing = by_key() if key is None else key
    if not isinstance(cast("object", routing), ByKey):
        raise TypeError(f"expected key of {id!r} to be by_key(…), got {routing!r}")
    spec = _worker_spec(partition)
    return cast("ChildSpec[A]", pool_spec(id, spec, partitions, routing, Intensity(max_restarts, within), Partitioned))


def _worker_spec(worker: Callable[[], A] | ChildSpec[A]) -> ChildSpec[A]:
    given: Any = worker
    if isinstance(worker, functools.partial):
        given = child("worker", given.func, *given.args, **given.keywords)
    if not isinstance(given, ChildSpec | type):
        raise TypeError(f"expected a class, functools.partial(Class, …) or child(…) as the worker, got {given!r}")
    return cast("ChildSpec[A]", given if isinstance(given, ChildSpec) else child("worker", given))
