"""What an attempt is made of beside its handler: what this may know of it, the time that it has, and the trace of how
it went wrong.
"""

import asyncio
import math
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from upright.actors.message import told


class InHand(msgspec.Struct, frozen=True):
    """What a handler may know of the durable message in hand, as `self.ctx.delivery`.

    `id`: the message's, for `store.story`. `attempt`: from 1. `idempotency_key`: the same at every attempt and no other
    message's, to be handed to a third party. `stored`: when it was accepted, seconds since the epoch. `progress`: what
    the attempt before told with `heartbeat`. `crashes`: how many attempts in a row a process has died in.
    """

    id: int
    attempt: int
    idempotency_key: str
    stored: float
    progress: Any = None
    crashes: int = 0

    def key_for(self, step: str) -> str:
        """The idempotency key of one step of the handler, where it does several things outside: the same at every
        attempt, and no other step's.
        """
        return f"{self.idempotency_key}:{step}"


async def in_time(limit: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The handler, which may take so many seconds."""
    if limit == math.inf:
        return await function(*args, **kwargs)
    async with asyncio.timeout(limit):
        return await function(*args, **kwargs)


def trace_of(error: BaseException) -> str:
    """The traceback, without local variables and without the frames of the runtime itself."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    trace = trace or error.__traceback__
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as flaw:  # it is odd: a SyntaxError made by hand, one that cannot say what it is
        return "".join(traceback.format_tb(trace)) + f"{told(error)}\n(its own trace raised {told(flaw)})"
