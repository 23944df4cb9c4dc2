"""The policies at work: one gate for each name, in a system or on their own.

A system has one, `system.guards`; in plain asyncio code make one for all that is to share its state. Never one for
all of a process: two systems would meet in it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, ParamSpec, TypeVar

from .block import Block, Nest, Visit
from .clock import clock_of
from .events import Event
from .gate import Gate
from .passage import Passage
from .policies import Machine, Policy, Wrapper, is_policy

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
        self.lender: Any = None
        """Who lends tokens of limits that several processes share."""
        self._gates: dict[tuple[type[Any], str, str], tuple[Policy, Gate | Wrapper]] = {}
        self._by_id: dict[int, tuple[Policy, Gate]] = {}  # for the path of each call
        self._rows: dict[tuple[int, ...], list[Gate]] = {}
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
        held = self._by_id.get(id(policy))
        if held is not None:
            return held[1]
        if not is_policy(policy):
            raise TypeError(f'expected a policy, such as CircuitBreaker("smtp"), got {policy!r}')
        known = self._gates.get((policy.__class__, policy.name, policy.key))
        if known is None:
            return self._open(policy)
        if known[0] is not policy and known[0].plain != policy.plain:
            raise ValueError(
                f"expected one {type(policy).__name__} of the name {policy.name!r}, got {policy!r} beside {known[0]!r}"
            )
        if isinstance(known[1], Gate):
            known[1].is_touched = True
        return known[1]

    def recalled(self) -> None:
        """What was remembered is here now: those that are at work already go on from it."""
        for _, gate in self._gates.values():
            recall = getattr(gate.machine, "recall", None) if isinstance(gate, Gate) else None
            if recall is not None:
                recall()

    def _open(self, policy: Policy) -> Gate | Wrapper:
        loop = _running_loop()
        if self.now is _loop_time and loop is not None and clock_of(loop) is time.monotonic:
            self.now = time.monotonic  # it is that of all loops but those with a time of their own
        opened = policy.open(self)
        label = f"{policy.name}[{policy.key}]" if policy.key else policy.name
        made = Gate(opened, self, label) if isinstance(opened, Machine) else opened
        self._gates[policy.__class__, policy.name, policy.key] = policy, made
        if isinstance(made, Gate) and policy.weight == 1 and not policy.key:
            self._by_id[id(policy)] = policy, made  # held, so that the id is that of no other
        if len(self._gates) > self._swept:
            self._sweep()
        return made

    def _sweep(self) -> None:
        """Forget the gates of single keys that nobody has used since the sweep before: they would do the same when they
        are made again.
        """
        now = self.now()
        for place, (policy, gate) in tuple(self._gates.items()):
            if isinstance(gate, Gate) and gate.is_touched:
                gate.is_touched = False
                continue
            if (
                policy.key
                and isinstance(gate, Gate)
                and not gate.is_pinned
                and not gate.waiting
                and gate.machine.is_idle(now)
            ):
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

    def passage(self, policies: tuple[Policy, ...], actor: object = None) -> Passage:
        """The way through all of these, for the messages of an actor of that class."""
        found = [(self.of(policy), policy.weight) for policy in in_order(policies)]
        weights: dict[Gate, int] = {}
        for one, weight in found:
            if isinstance(one, Gate):
                weights[one] = max(weight, weights.get(one, 0))
        return Passage(weights, tuple(one for one, _ in found if not isinstance(one, Gate)), self, actor)

    def guard(self, *policies: Policy) -> Block:
        """Guard a block of code: `async with guards.guard(SMTP): …`; of several policies, each in its place.

        Raises `GuardRefused` when one of them does not let it through in time; then nothing of it ran. A guard inside
        of another one of the same policy counts for itself, so that a bulkhead of one would wait for itself there; only
        in a handler whose actor `uses` the policy it belongs to the message's permit.
        """
        if len(policies) == 1:
            policy = policies[0]
            known = self._by_id.get(id(policy))
            if known is not None:
                return Visit(known[1], 1)
            found = self.of(policy)
            return Visit(found, policy.weight) if isinstance(found, Gate) else Nest((found.block(),))
        gates = self._rows.get(tuple(map(id, policies)))
        if gates is not None:
            return Nest([Visit(gate, 1) for gate in gates])
        found_all = [(self.of(policy), policy.weight) for policy in in_order(policies)]
        if all(id(policy) in self._by_id for policy in policies):  # and so the ids are theirs for good
            self._rows[tuple(map(id, policies))] = [one for one, _ in found_all if isinstance(one, Gate)]
        return Nest([Visit(one, weight) if isinstance(one, Gate) else one.block() for one, weight in found_all])

    async def call(
        self, by: Policy | tuple[Policy, ...], function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function, guarded by these policies, each in its place: a fallback around a hedge around a breaker."""
        policies = by if isinstance(by, tuple) else (by,)
        call: Callable[[], Awaitable[R]] = partial(function, *args, **kwargs)
        for policy in reversed(in_order(policies)):
            call = self._guarded(self.of(policy), policy.weight, call)
        return await call()

    def _guarded(
        self, by: Gate | Wrapper, weight: int, call: Callable[[], Awaitable[R]]
    ) -> Callable[[], Awaitable[R]]:  # fmt: skip
        if isinstance(by, Gate):
            return partial(self._through, by, weight, call)
        around: Callable[[Callable[[], Awaitable[R]]], Awaitable[R]] = by.around
        return partial(around, call)

    async def _through(self, gate: Gate, weight: int, call: Callable[[], Awaitable[R]]) -> R:
        async with Visit(gate, weight):
            return await call()

    def close(self) -> None:
        """The loop ends: nobody waits any more. What breakers remember stays."""
        for _, gate in self._gates.values():
            if isinstance(gate, Gate):
                gate.close()
        self._gates.clear()
        self._by_id.clear()
        self._rows.clear()


def in_order(policies: tuple[Policy, ...]) -> list[Policy]:
    """The outermost first."""
    return sorted(policies, key=lambda policy: getattr(policy, "rank", 0))  # what is no policy is told so by `of`


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
