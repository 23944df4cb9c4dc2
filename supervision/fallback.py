"""The fallback of a call: what takes its place when it fails, and how the caller learns of that.

It stands apart because its answer is no answer of the dependency: whoever shows a price has to know that it is old.
"""

import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

import msgspec

from upright.actors.errors import GuardRefused, Refuse
from upright.actors.guards import Guards
from upright.actors.policies import FALLBACK, House, Policy

from .checks import named
from .circuit_breaker import HasGuards
from .events import CallDegraded

P = ParamSpec("P")
R = TypeVar("R")
Kinds = tuple[type[Exception], ...] | Callable[[Exception], bool]


class Answer(msgspec.Struct, Generic[R], frozen=True):
    """What `Fallback.answer` returns. `value`: the call's, or what took its place. `error`: what the call raised, if it
    did; then the value is not the dependency's.
    """

    value: R
    error: Exception | None = None

    @property
    def degraded(self) -> bool:
        """Whether a fallback took the place of the call."""
        return self.error is not None


class Fallback(msgspec.Struct, frozen=True):
    """What takes the place of a call that fails. Each time that it does is told as `CallDegraded`.

    `instead`: a function of the error, plain or async; what it returns is the value. Without one only a block can be
    guarded. `on`: for which errors, a tuple of classes of exceptions, or a plain function of the error; by default for
    every `Exception`, a refusal of another policy such as `CircuitOpen` included, but not a handler's own `Refuse`,
    which is an answer. No cancellation and no other `BaseException` is ever caught. What `instead` raises goes to the
    caller, with the error as its `__context__`.

    Three ways, by what the caller wants to know:

    - `guards.call((FALLBACK, BREAKER), function, …)` returns the value, wherever it is from;
    - `FALLBACK.answer(system, BREAKER, function, …)` returns an `Answer`, which has the value and says if it is
      `degraded`, with the `error`; the system may also be `self.ctx`, or guards of one's own;
    - `async with guards.guard(FALLBACK) as passed:` goes on after the block, with `passed.degraded` and `passed.error`.
      Nothing is called instead. It covers what is raised within the block: put a breaker into a block of its own
      inside, for one that refuses in the same `guard(…)` lets nothing begin, and raises.

    Raises `ValueError` and `TypeError` for what cannot be.

    >>> import asyncio
    >>> from upright.actors.guards import Guards
    >>> PRICES = Fallback("prices", lambda error: 9.5, on=(OSError,))
    >>> async def fetch(symbol: str) -> float:
    ...     raise ConnectionError("no route")
    >>> async def main() -> None:
    ...     guards = Guards()
    ...     print(await guards.call(PRICES, fetch, "ACME"))
    ...     print(await PRICES.answer(guards, (), fetch, "ACME"))
    ...     async with guards.guard(PRICES) as passed:
    ...         await fetch("ACME")
    ...     print(passed.degraded, passed.error)
    >>> asyncio.run(main())
    9.5
    Answer(value=9.5, error=ConnectionError('no route'))
    True no route
    """

    key = ""
    weight = 1
    rank = FALLBACK

    name: str
    instead: Callable[[Exception], Any] | None = None
    on: Kinds = (Exception,)

    def __post_init__(self) -> None:
        named("name", self.name)
        if self.instead is not None and not callable(self.instead):
            raise TypeError(f"expected instead to be a function of the error, got {self.instead!r}")
        on: object = self.on
        # A class alone is callable as well: it would make an error of the error, and that is true.
        if not (all(map(_is_kind, cast(tuple[object, ...], on))) if isinstance(on, tuple) else _is_plain(on)):
            raise TypeError(
                f"expected on to be a tuple of classes of Exception, or a plain function of the error, got {on!r}"
            )

    @property
    def plain(self) -> "Fallback":
        return self

    def open(self, house: House) -> "Substitute":
        """What stands in for calls; it remembers nothing of them."""
        return Substitute(self, house)

    def takes(self, error: Exception) -> bool:
        """Whether it takes the place of a call that raised that."""
        if callable(self.on):
            return bool(self.on(error))
        if self.on == (Exception,) and isinstance(error, Refuse) and not isinstance(error, GuardRefused):
            return False  # it is an answer, and no failure
        return isinstance(error, self.on)

    async def answer(
        self,
        system: HasGuards | Guards,
        by: Policy | tuple[Policy, ...],
        function: Callable[P, Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer[R]:
        """Call a function, guarded by this and, inside of it, by these policies, `()` for none; the value says where it
        is from. Raises `TypeError` if there is no `instead`.
        """
        guards = system if isinstance(system, Guards) else system.guards
        substitute = guards.of(self)
        assert isinstance(substitute, Substitute)
        substitute.check()
        try:
            value = await guards.call(by, function, *args, **kwargs)
        except Exception as error:
            if not self.takes(error):
                raise
            return Answer(await substitute.value(error), error)
        return Answer(value)


class Substitute:
    """A fallback at work. Made by `Fallback.open`."""

    __slots__ = ("_house", "_policy")

    def __init__(self, policy: Fallback, house: House) -> None:
        self._policy, self._house = policy, house

    def check(self) -> None:
        """Raise `TypeError` unless there is something for the place of a call."""
        if self._policy.instead is None:
            raise TypeError(
                f"expected {self._policy!r} to have an instead, for a call; without one it guards blocks only"
            )

    async def around(self, call: Callable[[], Awaitable[R]]) -> R:
        """Run the call, or give what takes its place."""
        self.check()
        try:
            return await call()
        except Exception as error:
            if not self._policy.takes(error):
                raise
            return cast(R, await self.value(error))

    async def value(self, error: Exception) -> Any:
        """What takes the place of a call that raised that."""
        assert self._policy.instead is not None
        value = self._policy.instead(error)
        if inspect.isawaitable(value):
            value = await value
        self._tell(error)
        return value

    def block(self) -> Self:
        """The same for a block, which gives no value; nothing is remembered of it, so that one serves all."""
        return self

    async def __aenter__(self) -> None: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or not self._policy.takes(error):
            return False
        self._tell(error)
        return True

    def _tell(self, error: Exception) -> None:
        self._house.tell(CallDegraded("/", self._policy.name, error))


def _is_kind(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _is_plain(value: object) -> bool:
    return callable(value) and not isinstance(value, type) and not inspect.iscoroutinefunction(value)
