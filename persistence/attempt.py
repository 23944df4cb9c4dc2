"""What an attempt is made of beside its handler: the time that it has, and the trace of how it went wrong."""

import asyncio
import math
import traceback
from collections.abc import Callable
from typing import Any


async def in_time(limit: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The handler, which may take so many seconds."""
    if limit == math.inf:
        return await function(*args, **kwargs)
    async with asyncio.timeout(limit):
        return await function(*args, **kwargs)


def trace_of(error: BaseException) -> str:
    """The traceback, without local variables and without the frames of the runtime itself."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return "".join(traceback.format_exception(type(error), error, trace or error.__traceback__))
