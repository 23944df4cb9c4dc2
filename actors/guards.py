"""The policies at work: one gate for each name, in a system or on their own.

A system has one, `system.guards`; in plain asyncio code make one for all that is to share its state. Never one for
all of a process: two systems would meet in it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from .events import Event
from .gate import Gate
from .passage import Admitted, Passage, Permit
from .policies import Machine, Policy, Wrapper
from .seat import TURN

P = ParamSpec("P")
R = TypeVar("R")
KEPT = 10_000
"""Gates of single keys, above which those that would do the same anew are forgotten."""


class Guards:
    """What policies remember, by their names.

    `tell`: hears of events, such as a breaker's opening. `seed`: for jitter that comes again, in a test.
    `allows_chaos`: whether a policy may make trouble on purpose.

    >>> import asyncio
    >>> from upright.supervision import Bulkhead
    >>> DATABASE = Bulkhead("database", running=10)
    >>> async def main() -> str:
    ...     guards = Guards()
    ...     async with guards.guard(DATABASE):
    ...         return "one of ten at a time"
    >>> asyncio.run(main())
    'one of ten at a time'
    """

    def __init__(
        self, tell: Callable[[Event], object] | None = None, *, seed: int | None = None, allows_chaos: bool = False
    ) -> None:
        self._tell = tell
        self.rng = random.Random(seed)
        self.allows_chaos = allows_chaos
        self.now: Callable[[], float] = _loop_time
        self.wall: Callable[[], float] = time.time
        """Seconds since the epoch: what is remembered over restarts is counted by these."""
        self.keep: Callable[[str, bytes], object] | None = None
        """Where to keep what is remembered, over restarts of the program."""
        self.records: dict[str, bytes] = {}
        self._gates: dict[tuple[type[Any], str, str], tuple[Policy, Gate | Wrapper]] = {}
        self._swept = KEPT

    def tell(self, event: Event) -> None:
        """Let subscribers hear of it."""
        if self._tell is not None:
            self._tell(event)

    def recall(self, name: str) -> bytes | None:
        """What was remembered under that name."""
        return self.records.get(name)

    def remember(self, name: str, record: bytes) -> None:
        """Keep that under that name."""
        self.records[name] = record
        if self.keep is not None:
            self.keep(name, record)

    def of(self, policy: Policy) -> Gate | Wrapper:
        """The policy at work. Raises `ValueError` if its name is that of another one here."""
        known = self._gates.get((policy.__class__, policy.name, policy.key))
        if known is None:
            return self._open(policy)
        if known[0] is not policy and known[0].plain != policy.plain:
            raise ValueError(
                f"expected one {type(policy).__name__} of the name {policy.name!r}, got {policy!r} beside {known[0]!r}"
            )
        return known[1]

    def _open(self, policy: Policy) -> Gate | Wrapper:
        if not callable(getattr(policy, "open", None)):
            raise TypeError(f'expected a policy, such as CircuitBreaker("smtp"), got {policy!r}')
        opened = policy.open(self)
        label = f"{policy.name}[{policy.key}]" if policy.key else policy.name
        made = Gate(opened, self, label) if isinstance(opened, Machine) else opened
        self._gates[policy.__class__, policy.name, policy.key] = policy, made
        if len(self._gates) > self._swept:
            self._sweep()
        return made

    def _sweep(self) -> None:
        """Forget the gates of single keys that nobody uses: they would do the same when they are made again."""
        now = self.now()
        for place, (policy, gate) in tuple(self._gates.items()):
            if policy.key and isinstance(gate, Gate) and not gate.waiting and gate.machine.is_idle(now):
                del self._gates[place]
        self._swept = max(KEPT, 2 * len(self._gates))

    def gate(self, policy: Policy) -> Gate:
        """The gate of a policy that is asked before a call. Raises `TypeError` for one that only wraps it."""
        found = self.of(policy)
        if not isinstance(found, Gate):
            raise TypeError(f"expected a policy that is asked before a call, got {policy!r}")
        return found

    def __iter__(self) -> Iterator[tuple[Policy, Gate | Wrapper]]:
        """All policies at work here."""
        return iter(tuple(self._gates.values()))

    def passage(self, policies: tuple[Policy, ...]) -> Passage:
        """The way through all of these, for the messages of an actor."""
        found = [self.of(policy) for policy in in_order(policies)]
        gates = tuple(one for one in found if isinstance(one, Gate))
        return Passage(gates, tuple(one for one in found if not isinstance(one, Gate)), self)

    def guard(self, *policies: Policy) -> "Block":
        """Guard a block of code: `async with guards.guard(SMTP): …`; of several policies, each in its place.

        Raises `GuardRefused` when one of them does not let it through in time; then nothing of it ran.
        """
        if len(policies) == 1:
            return Block(self, ((self.of(policies[0]), policies[0].weight),))
        return Block(self, tuple((self.of(policy), policy.weight) for policy in in_order(policies)))

    async def call(
        self, by: Policy | tuple[Policy, ...], function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function, guarded by these policies, each in its place: a fallback around a hedge around a breaker."""
        policies = by if isinstance(by, tuple) else (by,)
        call: Callable[[], Awaitable[R]] = partial(function, *args, **kwargs)
        for policy in reversed(in_order(policies)):
            found = self.of(policy)
            through = partial(self._through, found, policy.weight) if isinstance(found, Gate) else found.around
            call = partial(through, call)
        return await call()

    async def _through(self, gate: Gate, weight: int, call: Callable[[], Awaitable[R]]) -> R:
        async with Block(self, ((gate, weight),)):
            return await call()

    def close(self) -> None:
        """The loop ends: nobody waits any more. What breakers remember stays."""
        for _, gate in self._gates.values():
            if isinstance(gate, Gate):
                gate.close()
        self._gates.clear()


class Block:
    """A guarded block, as `async with` gives it. `degraded`: a fallback has taken the place of its outcome, `error`."""

    __slots__ = ("_guards", "_inside", "_layers", "degraded", "error")

    def __init__(self, guards: Guards, layers: tuple[tuple[Gate | Wrapper, int], ...]) -> None:
        self._guards, self._layers = guards, layers
        self._inside: list[tuple[Gate, Any, Permit | None, float] | AbstractAsyncContextManager[Any]] = []
        self.degraded = False
        self.error: BaseException | None = None

    async def __aenter__(self) -> Self:
        guards = self._guards
        try:
            for layer, weight in self._layers:
                if isinstance(layer, Gate):
                    permit = permit_now()
                    if permit is not None and permit.holds(layer):
                        self._inside.append((layer, None, permit, guards.now()))
                        continue
                    waits = layer.machine.longest_wait > 0
                    token = await wait_for(layer, weight) if waits else layer.take_at_once(weight)
                    if token is None:
                        raise layer.machine.refusal(guards.now())
                    self._inside.append((layer, token, None, guards.now()))
                else:
                    block = layer.block()
                    await block.__aenter__()
                    self._inside.append(block)
        except BaseException:
            await self._back_out()
            raise
        return self

    async def _back_out(self) -> None:
        """A later one has refused: what the earlier ones gave goes back."""
        while self._inside:
            match self._inside.pop():
                case (gate, token, None, _):
                    gate.give_back(token)
                case (_, _, _, _):
                    pass
                case block:
                    await block.__aexit__(None, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:  # not `bool`: checkers would ask for a return behind each block, though few are ever swallowed
        now, outcome = self._guards.now, error
        while self._inside:
            match self._inside.pop():
                case (gate, token, None, began):
                    gate.leave(token, outcome, now() - began)
                case (gate, _, Permit() as permit, began):
                    permit.joined(gate, outcome, now() - began)
                case block:
                    try:
                        if await block.__aexit__(type(outcome) if outcome else None, outcome, trace) and outcome:
                            self.degraded, self.error, outcome = True, outcome, None
                    except BaseException as other:
                        outcome = other
        if outcome is not None and outcome is not error:
            raise outcome
        return error is not None and outcome is None


class _Call:
    """A call that waits in line."""

    __slots__ = ("turn", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.turn: asyncio.Future[None] | None = None

    def called(self) -> None:
        """It may try again."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)


async def wait_for(gate: Gate, weight: int) -> Any:
    """Wait in line; the token, or None if the time is up or too many wait already."""
    call, machine = _Call(weight), gate.machine
    if gate.waiting >= machine.most_waiting:
        return gate.take_at_once(weight) if not gate.waiting else None
    token = gate.take(call)
    if token is not None:
        return token
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None if machine.longest_wait == float("inf") else machine.longest_wait):
            while token is None:
                call.turn = loop.create_future()
                await call.turn
                token = gate.take(call)
    except TimeoutError:
        if token is None:
            return None
    except BaseException:
        if token is not None:
            gate.give_back(token)
        raise
    finally:
        gate.forget(call)
    return token


def permit_now() -> Permit | None:
    """The permit of the message that the running code handles, if its actor uses policies."""
    seat = TURN.get()
    turn = seat.turn if seat is not None else None
    return turn.handler.permit if turn is not None and isinstance(turn.handler, Admitted) else None


def in_order(policies: tuple[Policy, ...]) -> list[Policy]:
    """The outermost first."""
    return sorted(policies, key=lambda policy: policy.rank)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
