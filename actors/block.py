"""A guarded block of code, as `async with` gives it: one visit to a gate, or several layers around each other."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

from .gate import Gate
from .passage import Admitted, Permit
from .seat import seat_now

Layer = AbstractAsyncContextManager[Any]


class Block:
    """A guarded block. `degraded`: a fallback has taken the place of its outcome, `error`."""

    __slots__ = ()
    degraded: bool = False
    error: BaseException | None = None

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    # Not `bool`: checkers would ask for a return behind each block, though few are ever swallowed.
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        raise NotImplementedError


class Visit(Block):
    """A block behind one gate. Inside of a message that this gate has let through it belongs to its permit."""

    __slots__ = ("_began", "_gate", "_permit", "_token", "_weight")

    def __init__(self, gate: Gate, weight: int) -> None:
        self._gate, self._weight = gate, weight

    async def __aenter__(self) -> Self:
        gate, seat = self._gate, seat_now()
        self._permit: Permit | None = None
        if seat is not None:
            permit = permit_of(seat.turn)
            if permit is not None and permit.holds(gate):
                self._permit, self._began = permit, gate.now()
                return self
        machine, weight = gate.machine, self._weight
        self._began = now = gate.now()
        waits = machine.longest_wait > 0
        # Nobody passes those who wait, unless there is room for all of them and this one.
        token = None if gate.line and (waits or gate.room() < weight) else machine.enter(now, waits, weight)
        if token is None:
            if waits:
                token = await wait_for(gate, weight)
                self._began = gate.now()
            if token is None:
                raise machine.refusal(gate.now())
        self._token: Any = token
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        gate = self._gate
        now = gate.now()
        if self._permit is None:
            gate.leave(self._token, error, now - self._began, now)
        else:
            self._permit.joined(gate, error, now - self._began)
        return None

    def back_out(self) -> None:
        """Another one has refused: there was no call."""
        if self._permit is None:
            self._gate.give_back(self._token)


class Nest(Block):
    """Layers around each other, the outermost first."""

    __slots__ = ("_inside", "_layers", "degraded", "error")

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._inside: list[Layer] = []
        self.degraded = False
        self.error = None

    async def __aenter__(self) -> Self:
        layer: Layer | None = None
        try:
            for layer in self._layers:
                await layer.__aenter__()
                self._inside.append(layer)
        except BaseException as error:
            await self._back_out(error, called=getattr(layer, "stands_in", False))
        return self

    async def _back_out(self, error: BaseException, called: bool) -> None:
        """One has refused, or was cut off while it waited: there was no call. Or one has `called`, as it were, which
        stands in for the dependency. Raises the error that comes of it.
        """
        outcome = error
        while self._inside:
            layer = self._inside.pop()
            if isinstance(layer, Visit) and not called:
                layer.back_out()
                continue
            try:  # what it swallows is raised all the same: without it the block must not run
                await layer.__aexit__(type(outcome), outcome, outcome.__traceback__)
            except BaseException as other:
                outcome = other
        raise outcome

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        outcome = error
        while self._inside:
            layer = self._inside.pop()
            try:
                swallowed = await layer.__aexit__(type(outcome) if outcome else None, outcome, trace)
            except BaseException as other:
                outcome = other
                continue
            if swallowed and outcome is not None:
                self.degraded, self.error, outcome = True, outcome, None
        if outcome is not None and outcome is not error:
            raise outcome
        return error is not None and outcome is None


class Call:
    """A call that waits in line."""

    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn: asyncio.Future[None] | None = None

    def called(self) -> None:
        """It may try again."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)


async def wait_for(gate: Gate, weight: int) -> Any:
    """Wait in line; the token, or None if the time is up or too many wait already."""
    machine = gate.machine
    if gate.calls >= machine.most_waiting:
        return None
    call, loop = Call(), asyncio.get_running_loop()
    token = gate.take(call, weight)
    gate.calls += 1
    try:
        async with asyncio.timeout(None if machine.longest_wait == float("inf") else machine.longest_wait):
            while token is None:
                call.turn = loop.create_future()
                await call.turn
                token = gate.take(call, weight)
    except TimeoutError:
        return token
    except BaseException:
        if token is not None:
            gate.give_back(token)
        raise
    finally:
        gate.calls -= 1
        gate.forget(call)
    return token


def permit_of(turn: Any) -> Permit | None:
    """The permit of a message in hand, if its actor uses policies."""
    return turn.handler.permit if turn is not None and isinstance(turn.handler, Admitted) else None
