"""The words in which a state machine's transitions are written: `step`, `signal`, `after`, `parallel`, `each`, `call`.

Each marks a method with a frozen value. What the marks of a class mean together is worked out in `definition`.
"""

import enum
import inspect
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar, cast

import msgspec

from upright.actors.errors import GuardRefused, Refuse, WrongArguments
from upright.actors.message import said
from upright.supervision.checks import more_than, whole
from upright.supervision.retry import Drop, Retry, Ruling, quarantine

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
Kind = Literal["step", "signal", "after", "parallel", "each", "call"]
STEP_RETRY = Retry(max_attempts=10, cap=60.0)
"""How a step is retried that says nothing of it."""
MARK = "__transition__"
PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
"""Kinds of parameters that a signal's method may have."""


class Transition(msgspec.Struct, frozen=True):
    """One way from a state to another, and what is done on it. `name`: that of its method.

    `when`: a plain function of the data, whether it may be taken. `undo`: what takes it back. `retry`, `timeout`: of
    each attempt. `on_reject`: where a `Reject` leads. `on_failure`: where it leads that every attempt has failed.
    `delay`: seconds in the state, for `after`. `branches`: what runs beside each other, for `parallel`; for `each` one
    function, once for each of what `over` gives, `at_once` at a time. `machine`: whose run is waited for, with the
    data that `given` makes, for `call`.
    """

    name: str
    kind: Kind
    source: enum.Enum
    to: enum.Enum
    function: Callable[..., Awaitable[Any]]
    when: Callable[[Any], bool] | None = None
    undo: Callable[..., Awaitable[Any]] | None = None
    retry: Retry = STEP_RETRY
    timeout: float = math.inf
    on_reject: enum.Enum | None = None
    on_failure: enum.Enum | None = None
    delay: float = 0.0
    branches: tuple[Callable[..., Awaitable[Any]], ...] = ()
    over: Callable[[Any], Iterable[Any]] | None = None
    at_once: int = 1
    machine: Any = None
    given: Callable[[Any], Any] | None = None

    @property
    def starts_by_itself(self) -> bool:
        """Whether it is begun as soon as the run is in its state, if its guard lets it."""
        return self.kind not in ("signal", "after")

    @property
    def joins(self) -> bool:
        """Whether it waits for others to be done first."""
        return self.kind in ("parallel", "each", "call")

    @property
    def limit(self) -> float:
        """Seconds for each attempt, wherever they are named."""
        return min(self.timeout, self.retry.attempt_timeout)

    @property
    def targets(self) -> tuple[enum.Enum, ...]:
        """Where it may lead."""
        return tuple(state for state in (self.to, self.on_reject, self.on_failure) if state is not None)


class Reject(Exception):
    """Raise it in a step: the business says no, which no further attempt will change. The run goes where the step's
    `on_reject` says; if that is a final state, what was done is taken back first.
    """


def step(
    source: enum.Enum,
    *,
    to: enum.Enum,
    when: Callable[[Any], bool] | None = None,
    undo: Callable[[Any, Any], Awaitable[Any]] | None = None,
    retry: Retry = STEP_RETRY,
    timeout: float = math.inf,
    on_reject: enum.Enum | None = None,
    on_failure: enum.Enum | None = None,
) -> Callable[[F], F]:
    """What is done in the state `source`, and leads `to` another. The method gets the data, and may change it.

    `when`: only then; of several steps out of one state the first whose guard is true is taken, and one without a
    guard stands last. `undo`: a method that takes it back, should the run be compensated. `retry`: what follows an
    error; `timeout`: seconds for each attempt. `on_reject`: where a `Reject` leads; without one it counts as an error
    that no attempt will change. `on_failure`: where the run goes when no attempt is left; without one its message goes
    to quarantine, and the run waits for somebody to redrive it.
    """
    return _mark("step", source, to, when=when, undo=undo, retry=retry, timeout=timeout, on_reject=on_reject,
                 on_failure=on_failure)  # fmt: skip


def signal(
    source: enum.Enum,
    *,
    to: enum.Enum,
    when: Callable[[Any], bool] | None = None,
    undo: Callable[[Any, Any], Awaitable[Any]] | None = None,
    retry: Retry = STEP_RETRY,
    timeout: float = math.inf,
    on_reject: enum.Enum | None = None,
    on_failure: enum.Enum | None = None,
) -> Callable[[F], F]:
    """What is done when somebody sends that signal: `await run.signal(ProcessOrder.paid, payment)`. One that comes
    before the run is in the state `source` is kept until then. The options are those of `step`.
    """
    return _mark("signal", source, to, when=when, undo=undo, retry=retry, timeout=timeout, on_reject=on_reject,
                 on_failure=on_failure)  # fmt: skip


def after(
    delay: float, source: enum.Enum, *, to: enum.Enum, when: Callable[[Any], bool] | None = None,
    undo: Callable[[Any, Any], Awaitable[Any]] | None = None, retry: Retry = STEP_RETRY, timeout: float = math.inf,
    on_reject: enum.Enum | None = None, on_failure: enum.Enum | None = None,
) -> Callable[[F], F]:  # fmt: skip
    """What is done when the run has been in the state `source` for `delay` seconds, over restarts too. The options are
    those of `step`: raise `Reject` in it, with an `on_reject` that is final, and what was done is taken back.
    """
    more_than("delay", delay, 0, " seconds")
    return _mark("after", source, to, delay=float(delay), when=when, undo=undo, retry=retry, timeout=timeout,
                 on_reject=on_reject, on_failure=on_failure)  # fmt: skip


def parallel(
    source: enum.Enum,
    *branches: Callable[[Any, Any], Awaitable[Any]],
    to: enum.Enum,
    when: Callable[[Any], bool] | None = None,
    undo: Callable[[Any, Any], Awaitable[Any]] | None = None,
    retry: Retry = STEP_RETRY,
    timeout: float = math.inf,
    on_reject: enum.Enum | None = None,
) -> Callable[[F], F]:
    """Methods that run beside each other in the state `source`, each with its own attempts and a copy of the data.
    When all are done, the method gets the data and a list of what they returned, in their order. Runs know them by
    their names.
    """
    if not branches:
        raise ValueError("expected parallel to get the methods that run beside each other, got none")
    return _mark("parallel", source, to, branches=branches, at_once=len(branches), when=when, undo=undo, retry=retry,
                 timeout=timeout, on_reject=on_reject)  # fmt: skip


def each(
    source: enum.Enum,
    do: Callable[[Any, Any, Any], Awaitable[Any]],
    *,
    over: Callable[[Any], Iterable[Any]],
    to: enum.Enum,
    at_once: int = 10,
    when: Callable[[Any], bool] | None = None,
    undo: Callable[[Any, Any], Awaitable[Any]] | None = None,
    retry: Retry = STEP_RETRY,
    timeout: float = math.inf,
    on_reject: enum.Enum | None = None,
) -> Callable[[F], F]:
    """The method `do` for each of what `over` gives of the data, `at_once` of them at a time. When all are done, the
    method gets the data and a list of what was returned, in the order of the items. These are worked out once, and
    stored as what `do` says its last parameter is.
    """
    whole("at_once", at_once, 1)
    return _mark("each", source, to, branches=(do,), over=over, at_once=at_once, when=when, undo=undo, retry=retry,
                 timeout=timeout, on_reject=on_reject)  # fmt: skip


def call(
    source: enum.Enum,
    machine: Any,
    *,
    given: Callable[[Any], Any],
    to: enum.Enum,
    when: Callable[[Any], bool] | None = None,
    undo: Callable[[Any, Any], Awaitable[Any]] | None = None,
    retry: Retry = STEP_RETRY,
    on_reject: enum.Enum | None = None,
) -> Callable[[F], F]:
    """A run of another machine, with the data that `given` makes, which is waited for in the state `source`. When it is
    done the method gets the data, and that of the other run. One that was cancelled or rejected counts as a `Reject`.
    """
    return _mark("call", source, to, machine=machine, given=given, when=when, undo=undo, retry=retry,
                 on_reject=on_reject)  # fmt: skip


def _mark(kind: Kind, source: enum.Enum, to: enum.Enum, **options: Any) -> Callable[[F], F]:
    for name in ("undo", "when", "over", "given"):
        found = options.get(name)
        if found is not None and not callable(found):
            raise TypeError(f"expected {name} to be a function, got {found!r}")
        if name != "undo" and inspect.iscoroutinefunction(found):  # what it gives would be true, whatever it says
            raise TypeError(f"expected {name} to be a plain function of the data, got the async {found!r}")
    for found in (options.get("undo"), *options.get("branches", ())):
        if found is not None:
            _check_async(found)
    retry: object = options.get("retry", STEP_RETRY)
    if not isinstance(retry, Retry):
        raise TypeError(f"expected retry to be a Retry, got {retry!r}")
    if retry.classify is not None:
        options["retry"] = msgspec.structs.replace(retry, classify=kept(retry.classify))
    more_than("timeout", options.get("timeout", math.inf), 0, " seconds")

    def mark(function: F) -> F:
        name = _check_async(function)
        if kind == "signal" and any(one.kind not in PLAIN for one in inspect.signature(function).parameters.values()):
            raise TypeError(f"expected plain parameters of {name}, which is called with what was stored, got * or **")
        if hasattr(function, MARK):
            raise TypeError(f"expected one transition for {name}, got two: give each a method of its own")
        setattr(function, MARK, Transition(name, kind, source, to, function, **options))
        return function

    return mark


def kept(classify: Callable[[BaseException], Ruling]) -> Callable[[BaseException], Ruling]:
    """The same rulings, but what would be discarded goes to quarantine: without its message a run could never go on."""

    def ruled(error: BaseException) -> Ruling:
        ruling: object = classify(error)
        return quarantine("classify") if isinstance(ruling, Drop) else cast(Ruling, ruling)

    return ruled


def _check_async(function: Any) -> str:
    """The name of a method. Raises `TypeError` unless it is async."""
    name: str = getattr(function, "__name__", repr(function))
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"expected {name} to be an async method")
    return name


def transition_of(function: object) -> Transition | None:
    """The mark of a method; None if it has none."""
    return cast("Transition | None", getattr(function, MARK, None))


def consulted(function: Callable[[Any], Any], data: Any) -> Any:
    """What a plain function of the definition, a guard say, makes of the data. Raises `Reject` where it refuses."""
    try:
        return function(data)
    except (GuardRefused, WrongArguments):  # no word of the business
        raise
    except Refuse as error:
        raise Reject(said(error)) from error
