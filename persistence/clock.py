"""What time it is for a store: the wall clock, or on a loop with virtual time a wall clock that follows that loop.

It stands apart because every engine has the same answer. A store must survive a restart, so its times are those of the
wall; but a test whose hour passes at once wants the delays of its messages to pass with it.
"""

import asyncio
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""The time in seconds since the epoch. It may be set, so that it jumps, back too."""
EPOCH = "wall_at_zero"
"""Where a virtual loop bears the wall time of its own zero, once somebody has asked for it."""


def clock_of(loop: asyncio.AbstractEventLoop) -> Clock:
    """The clock for a store that is opened on that loop.

    A loop has virtual time if it can `hold` it (see `upright.actors.testing`). All stores on such a loop agree on the
    time, and it begins near the true one, so that `ref.at(time.time() + 60)` means about what it says.

    >>> with asyncio.Runner() as runner:
    ...     clock_of(runner.get_loop()) is time.time
    True
    """
    if not hasattr(loop, "hold"):
        return time.time
    if not hasattr(loop, EPOCH):
        # On the loop itself: a store that is opened an hour later on it must not begin an hour behind the others.
        setattr(loop, EPOCH, time.time() - loop.time())
    epoch: float = getattr(loop, EPOCH)
    return lambda: epoch + loop.time()
