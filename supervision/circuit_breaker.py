"""The policy of a circuit breaker, and its circuit as an operator sees it. How it works stands in the next room."""

import inspect
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from upright.actors.gate import Gate
from upright.actors.guards import Guards
from upright.actors.policies import BREAKER, House

from .backoff import Backoff
from .breaker import Breaker, Mode, Rules
from .checks import at_least, is_number, more_than, named, whole
from .window import Tally

Standing = Literal["closed", "open", "half-open", "forced-open", "disabled", "metrics-only"]
OPEN_WAIT = Backoff(5.0, 300.0)


class HasGuards(Protocol):
    """An `ActorSystem`, say."""

    @property
    def guards(self) -> Guards: ...


class CircuitBreaker(msgspec.Struct, frozen=True):
    """A breaker by the `name` of the dependency that it watches; one for each, shared by all who use it.

    Name it on an actor, `uses = (SMTP,)`, and its mailbox pauses while the circuit is open: messages wait, and no
    attempt is wasted. Or put it around calls, `async with self.ctx.guard(SMTP):`, which raises `CircuitOpen` then. A
    guard in a handler of an actor that uses the policy belongs to its message's permit; from then on only the outcome
    of that call counts for this handler, and an error before it tells nothing of the dependency.

    It opens when, among the calls of the last `window` seconds (or the last `window_calls`, if given), at least
    `minimum_calls`, a share of `failure_rate` or more has failed, or a share of `slow_rate` or more took more than
    `slow_call` seconds (off by default), or when `consecutive` calls in a row have failed (off by default).

    `wait`: how long it stays open, growing each time that it opens again; a `RetryAfter` sets it. Then `permits` calls
    go through. If too many of them fail or are slow it opens again, and also if after `half_open_max_wait` seconds it
    is not known what became of them, or one of too few has failed; else it closes. For `slow_start` seconds after that
    mailboxes run no more messages at once than permits, and one more for each that succeeds; 0 for all at once.

    `counts`: a function of an error, whether it is a failure of the dependency; by default every `Exception` is.
    Cancelled calls, refusals (`Refuse`) and those of other guards tell nothing either way.

    Raises `ValueError` and `TypeError` for what cannot be.

    >>> import asyncio
    >>> from upright.actors import Guards
    >>> SMTP = CircuitBreaker("smtp", minimum_calls=2)
    >>> async def main() -> None:
    ...     guards = Guards()
    ...     for _ in range(3):
    ...         try:
    ...             async with guards.guard(SMTP):
    ...                 raise ConnectionError("no route")
    ...         except Exception as error:
    ...             print(type(error).__name__)
    >>> asyncio.run(main())
    ConnectionError
    ConnectionError
    CircuitOpen
    """

    key = ""
    weight = 1
    rank = BREAKER

    name: str
    failure_rate: float = 0.5
    minimum_calls: int = 10
    window: float = 60.0
    window_calls: int | None = None
    slow_call: float = float("inf")
    slow_rate: float = 0.5
    consecutive: int | None = None
    wait: Backoff = OPEN_WAIT
    permits: int = 3
    half_open_max_wait: float = 60.0
    slow_start: float = 10.0
    counts: Callable[[BaseException], bool] | None = None

    def __post_init__(self) -> None:
        named("name", self.name)
        _rate("failure_rate", self.failure_rate)
        _rate("slow_rate", self.slow_rate)
        whole("minimum_calls", self.minimum_calls, 1)
        at_least("window", self.window, 0.001, " seconds")
        if self.window == float("inf"):
            raise ValueError("expected window to be a finite number of seconds, got inf")
        if self.window_calls is not None:
            whole("window_calls", self.window_calls, 1)
            if self.minimum_calls > self.window_calls:
                raise ValueError(
                    f"expected minimum_calls to be window_calls ({self.window_calls}) or less, got {self.minimum_calls}"
                )
        more_than("slow_call", self.slow_call, 0, " seconds")
        if self.consecutive is not None:
            whole("consecutive", self.consecutive, 1)
        if not isinstance(self.wait, Backoff):
            raise TypeError(f"expected wait to be a Backoff, such as Backoff(5.0, 300.0), got {self.wait!r}")
        whole("permits", self.permits, 1)
        more_than("half_open_max_wait", self.half_open_max_wait, 0, " seconds")
        at_least("slow_start", self.slow_start, 0, " seconds")
        counts: object = self.counts
        # A class would make an error of the error, and what an async function gives is true, whatever it says.
        wrong = isinstance(counts, type) or inspect.iscoroutinefunction(counts)
        if counts is not None and (wrong or not callable(counts)):
            raise TypeError(f"expected counts to be a plain function of the error, got {counts!r}")

    @property
    def plain(self) -> "CircuitBreaker":
        return self

    def open(self, house: House) -> Breaker:
        """Its circuit, closed, or as an earlier run of the program left it."""
        rules = Rules(
            self.name, self.window, self.window_calls, self.minimum_calls, self.failure_rate, self.slow_call,
            self.slow_rate, self.consecutive, self.wait, self.permits, self.half_open_max_wait, self.slow_start,
            self.counts,
        )  # fmt: skip
        return Breaker(rules, house)

    def on(self, system: HasGuards | Guards) -> "Circuit":
        """Its circuit in a system, or in guards of one's own: to look at it, and to move it by hand."""
        return Circuit(self, system if isinstance(system, Guards) else system.guards)


class Circuit:
    """A circuit, to look at and to move by hand. Each move says `who` made it and `why`, and is remembered.

    >>> from upright.actors import Guards
    >>> async def main() -> None:
    ...     circuit = CircuitBreaker("smtp").on(Guards())
    ...     circuit.force_open(who="ada", why="the provider asked for it")
    ...     print(circuit)
    ...     circuit.automatic(who="ada", why="they are back")
    ...     print(circuit)
    >>> import asyncio
    >>> asyncio.run(main())
    <Circuit smtp forced-open>
    <Circuit smtp closed>
    """

    def __init__(self, policy: CircuitBreaker, guards: Guards) -> None:
        self._policy, self._guards = policy, guards
        guards.gate(policy)  # if another one has the name, say so now

    @property
    def _gate(self) -> Gate:
        return self._guards.gate(self._policy)  # a system that was stopped and started has another one

    @property
    def _machine(self) -> Breaker:
        machine = self._gate.machine
        assert isinstance(machine, Breaker)
        return machine

    @property
    def state(self) -> Standing:
        """Where it stands: `closed`, `open` or `half-open`, or the mode in which an operator has put it."""
        machine = self._machine
        return machine.state if machine.mode == "automatic" else machine.mode

    @property
    def lets_through(self) -> bool:
        """Whether a call now would be let through, though mailboxes may begin gently."""
        machine = self._machine
        room = machine.room(self._guards.now())  # first, for time alone may have opened it
        return room >= 1 or (machine.mode == "automatic" and machine.state == "closed")

    @property
    def tally(self) -> Tally:
        """How many calls count now, and how many of them failed and were slow."""
        return self._machine.tally()

    @property
    def rates(self) -> tuple[float, float] | None:
        """The shares of failed and of slow calls; None while there are too few to tell."""
        return self._machine.rates()

    @property
    def waiting(self) -> int:
        """How many actors are paused by it."""
        return self._gate.waiting

    @property
    def moved_by(self) -> tuple[str, str] | None:
        """Who moved it by hand last, and why; None if nobody has."""
        machine = self._machine
        return (machine.who, machine.why) if machine.who else None

    def force_open(self, *, who: str, why: str) -> None:
        """Let nobody through until it is moved again. Raises `IllegalTransition` if that is so already."""
        self._set("forced-open", who, why)

    def disable(self, *, who: str, why: str) -> None:
        """Let everybody through, and count nothing. Raises `IllegalTransition` if that is so already."""
        self._set("disabled", who, why)

    def metrics_only(self, *, who: str, why: str) -> None:
        """Let everybody through, and only count. Raises `IllegalTransition` if that is so already."""
        self._set("metrics-only", who, why)

    def automatic(self, *, who: str, why: str) -> None:
        """Close it, and let it go by its rules from now on. Raises `IllegalTransition` if that is so already."""
        self._set("automatic", who, why)

    def half_open(self, *, who: str, why: str) -> None:
        """Let the permits of an open circuit go now. Raises `IllegalTransition` if it is not open."""
        self._machine.probe(*_signed(who, why))
        self._gate.changed()

    def _set(self, mode: Mode, who: str, why: str) -> None:
        self._machine.set_mode(mode, *_signed(who, why))
        self._gate.changed()

    def __repr__(self) -> str:
        return f"<Circuit {self._policy.name} {self.state}>"


def _signed(who: str, why: str) -> tuple[str, str]:
    named("who", who)
    named("why", why)
    return who, why


def _rate(name: str, value: object) -> None:
    if not is_number(value) or not 0 < value <= 1:
        raise ValueError(f"expected {name} to be more than 0 and at most 1, got {value!r}")
