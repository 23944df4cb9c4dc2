"""The clock of an event loop, in the form that costs least: it is read for every ask."""

import asyncio
import time
from collections.abc import Callable


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """What tells that loop's time. Most loops only call `time.monotonic`; one with virtual time does not."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
