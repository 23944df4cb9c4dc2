"""The way of an actor's messages through the policies that its class `uses`: all of them, before the message is taken.

A permit is what one message has of all gates together, or nothing. It comes to its end exactly once, whatever becomes
of the message, so that no gate waits for one that was lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .envelope import DONE, QUEUED, Envelope
from .errors import WrongArguments
from .gate import Gate, Waiter
from .handlers import Handler
from .policies import House, Wrapper

Outcome = tuple[BaseException | None, float]
"""What a call raised, if anything, and the seconds that it took."""


class Passage:
    """What stands between a mailbox and its actor. `weights`: for how many a message counts at each gate. `budgets`:
    those of the gates that have a say in retries. `offered`: the message that got the last permit. `actor`: the class
    whose it is.
    """

    __slots__ = ("actor", "budgets", "gates", "house", "offered", "weights", "wrappers")

    def __init__(
        self, weights: dict[Gate, int], wrappers: tuple[Wrapper, ...], house: House, actor: object = None
    ) -> None:  # fmt: skip
        self.weights, self.wrappers, self.house, self.actor = weights, wrappers, house, actor
        self.gates = gates = tuple(weights)
        for gate in gates:
            gate.is_pinned = True
        self.budgets = tuple(gate for gate in gates if hasattr(gate.machine, "put_off"))
        self.offered: Envelope | None = None

    def room(self) -> float:
        """How many messages would be let through now."""
        return min((gate.room() / weight for gate, weight in self.weights.items()), default=float("inf"))

    def take(self, waiter: Waiter) -> "Permit | None":
        """A permit for the next message; None if it has to wait, and the waiter will be called."""
        tokens: list[Any] = []
        # Whom one gate has called passes the lines at the others, or two could send each other back for ever.
        called = len(self.gates) > 1 and any(gate.has_called(waiter) for gate in self.gates)
        for gate, weight in self.weights.items():
            token = gate.take(waiter, weight, called)
            if token is None:
                self._give_back(tokens)
                for other in self.gates:
                    if other is not gate:  # it may have been called there, and others wait behind it
                        other.forget(waiter)
                return None
            tokens.append(token)
        return Permit(self, tokens)

    def _give_back(self, tokens: list[Any]) -> None:
        for gate, token in reversed(tuple(zip(self.gates, tokens, strict=False))):
            gate.give_back(token)

    def reclaim(self) -> None:
        """Take back the permit of a message that was not begun after all: the drain came to its end just before it, it
        was dropped for another, or its asker went.
        """
        envelope, self.offered = self.offered, None
        if envelope is None or envelope.phase not in (QUEUED, DONE) or not isinstance(envelope.handler, Admitted):
            return
        if envelope.handler.permit.passage is self:  # else another actor has taken the message over
            envelope.handler = unpermitted(envelope.handler)

    def forget(self, waiter: Waiter) -> None:
        """It waits no more."""
        self.reclaim()
        for gate in self.gates:
            gate.forget(waiter)

    def refused_by(self) -> str:
        """The gate that lets nobody through now; empty if none."""
        return next((gate.label for gate, weight in self.weights.items() if gate.room() < weight), "")

    @property
    def is_shut(self) -> bool:
        """Whether a gate lets nobody through for some time, however long the line."""
        return any(gate.machine.is_shut for gate in self.gates)

    def when_room(self, call: Callable[[], object]) -> None:
        """Call that once, when there may be room."""
        for gate, weight in self.weights.items():
            if gate.room() < weight:
                gate.when_room(call, weight)
                return
        call()

    def watch(self, shut: Callable[[], object]) -> None:
        """Call that whenever a gate shuts."""
        for gate in self.gates:
            gate.when_shut(shut)

    def unwatch(self, shut: Callable[[], object], room: Callable[[], object]) -> None:
        """Call neither."""
        for gate in self.gates:
            gate.forget_shut(shut)
            gate.forget_wish(room)


class Permit:
    """What one message has of the gates."""

    __slots__ = ("_began", "_joined", "_struck", "_tokens", "handler", "is_over", "passage", "repeats")

    def __init__(self, passage: Passage, tokens: list[Any]) -> None:
        self.passage, self._tokens = passage, tokens
        self._began: float | None = None
        self._joined: dict[Gate, Outcome] | None = None
        self._struck: BaseException | None = None
        self.is_over = False
        self.handler = ""
        self.repeats = False
        """Whether its handler may run several times: one that only reads, and overlaps with others."""

    async def run(self, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Run the handler, and tell the gates of its outcome."""
        call: Callable[[], Awaitable[Any]] = partial(function, *args, **kwargs)
        for wrapper in reversed(self.passage.wrappers):
            if getattr(wrapper, "stands_in", False):
                call = partial(self._stood_in, wrapper, call)
            elif self.repeats or not getattr(wrapper, "repeats", False):
                call = partial(wrapper.around, call)
        self._began = self.passage.house.now()
        try:
            result = await call()
        except BaseException as error:
            self.end(error)
            raise
        self.end(None)
        return result

    async def _stood_in(self, wrapper: Wrapper, call: Callable[[], Awaitable[Any]]) -> Any:
        """Run the handler within a wrapper whose own errors are to be taken for the dependency's."""
        own: list[BaseException] = []

        async def noted() -> Any:
            try:
                return await call()
            except BaseException as error:
                own.append(error)
                raise

        try:
            return await wrapper.around(noted)
        except BaseException as error:
            if not any(error is one for one in own):
                self._struck = error
            raise

    def end(self, error: BaseException | None) -> None:
        """It is over: the handler has ended, with that error, or it never began."""
        if self.is_over:
            return
        self.is_over = True
        if self._began is None:
            self.passage._give_back(self._tokens)
            return
        now = self.passage.house.now()
        took = now - self._began
        for gate, token in reversed(tuple(zip(self.passage.gates, self._tokens, strict=True))):
            mine = self._joined.get(gate) if self._joined is not None else None
            if mine is not None:
                gate.guarding.add((self.passage.actor, self.handler))
            if self._struck is not None:
                mine = worse(mine, (self._struck, took))
            if mine is not None and not _weight(mine[0]) and isinstance(error, Exception):
                mine = error, took  # a time-out around it has cut it off, say
            if mine is not None:
                gate.leave(token, *mine, now)
            elif (self.passage.actor, self.handler) in gate.guarding:
                gate.give_back(token)  # it did not come to its call: nothing is known of the dependency
            else:
                gate.leave(token, error, took, now)

    def holds(self, gate: Gate) -> bool:
        """Whether a call within the handler is let through by that gate already."""
        return not self.is_over and self._began is not None and gate in self.passage.gates

    def joined(self, gate: Gate, error: BaseException | None, took: float) -> None:
        """A call within the handler has ended; of several the worst counts, and then the longest. One that was
        cancelled, the slower one of a hedge say, counts if there is no other.
        """
        if self.is_over:
            return
        if self._joined is None:
            self._joined = {}
        self._joined[gate] = worse(self._joined.get(gate), (error, took))


class Admitted(Handler, frozen=True, eq=False, kw_only=True):
    """The handler of a message that has a permit. `inner`: the handler that it had."""

    permit: Permit
    inner: Handler


def admitted(handler: Handler, permit: Permit) -> Admitted:
    """That handler, for one message with that permit."""
    handler = unpermitted(handler)
    function = handler.function
    permit.handler, permit.repeats = handler.name, bool(handler.limit)

    async def run(instance: Any, *args: Any, **kwargs: Any) -> Any:
        async def call() -> Any:
            try:
                return await function(instance, *args, **kwargs)
            except TypeError as error:
                if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                    raise WrongArguments(str(error)).with_traceback(error.__traceback__) from None
                raise

        return await permit.run(call)

    return Admitted(
        handler.name, run, handler.limit, handler.routed, handler.portable, permit=permit, inner=handler
    )  # fmt: skip


def permitted(handler: Handler, permit: Permit) -> Admitted:
    """That handler, which looks after the permit itself."""
    handler = unpermitted(handler)
    permit.handler = handler.name
    return Admitted(
        handler.name, handler.function, handler.limit, handler.routed, handler.portable, permit=permit, inner=handler
    )  # fmt: skip


def unpermitted(handler: Handler) -> Handler:
    """The handler as it was, with its permit given back if there was no call."""
    if isinstance(handler, Admitted):
        handler.permit.end(asyncio.CancelledError())
        return handler.inner
    return handler


def worse(before: Outcome | None, outcome: Outcome) -> Outcome:
    """Of two outcomes of calls through one gate the one that counts."""
    if before is None or (_weight(outcome[0]), outcome[1]) >= (_weight(before[0]), before[1]):
        return outcome
    return before


def _weight(error: BaseException | None) -> int:
    return 1 if error is None else 2 if isinstance(error, Exception) else 0
