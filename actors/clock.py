"""Time as numbers: the clock of an event loop, in the form that costs least, for it is read for every ask; and what was
given as a number of seconds.
"""

import asyncio
import math
import time
from collections.abc import Callable


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """What tells that loop's time. Most loops only call `time.monotonic`; one with virtual time does not."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time


def number(given: object) -> float:
    """What was given as a float; NaN if it is no number, or none that a float can say, a `timedelta` for instance."""
    try:
        return math.nan if isinstance(given, str | bytes | bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
