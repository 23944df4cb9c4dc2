"""Crash points: the numbered places at which a test may have this process killed.

They lie where a kill could tear something apart: before and after each thing that must be whole. Nothing happens at
them unless `arm` was called, and then a point costs one look at a variable.
"""

import os
import signal
from enum import IntEnum


class Point(IntEnum):
    """Where a process can be killed, in the order in which a message meets them."""

    MADE = 1  # a new file has its tables, which are not committed yet
    SESSION_MADE = 2  # the file of a session is there, its row is not
    SESSION_ENROLLED = 3  # and now its row is there too
    RECOVERING = 4  # a dead session was found and is in hand
    TAKING_BACK = 5  # what it had claimed is waiting again, not committed yet
    TAKEN_BACK = 6  # that is committed, and its file is there still
    RECOVERED = 7  # and now its file is gone
    BATCH = 8  # a batch is to be written
    BEGUN = 9  # its transaction has begun
    SETTLED = 10  # its steps are written, with states and what they sent
    PUT = 11  # its new messages are
    CLAIMED = 12  # what it claims is
    COUNTED = 13  # the depths are, and nothing is committed yet
    COMMITTED = 14  # it is committed, and not synced
    TOLD = 15  # other processes know, and who waits here does not; what is claimed is handed out
    SYNCED = 16  # it is synced, and who waits does not know
    ANSWERED = 17  # all who waited know
    STARTING = 18  # a handler is to run, and its attempt is not noted
    STARTED = 19  # its attempt is noted
    HANDLED = 20  # the handler has ended, and nobody knows how
    DECIDED = 21  # its outcome waits to be written
    KNOWN = 22  # its outcome is on disk, and the attempt is still noted as running
    ENDED = 23  # the attempt is noted as ended, and what it told actors in memory is not sent
    BEATEN = 24  # a heartbeat is written, and not committed
    REFUSED = 25  # a claim turned out to have ended, and the batch is begun again step by step
    CHECKPOINT = 26  # the process that syncs was asked to write the log back into the file
    BY_HAND = 27  # somebody's own doing is committed, and not synced
    LEAVING = 28  # a session is to end in order
    LEFT = 29  # its row is gone, and its file is there still


on = False
"""Whether a point is armed."""
_armed: tuple[int, int] | None = None
_passed = 0


def arm(point: Point, time: int = 1) -> None:
    """Have this process kill itself with SIGKILL when it comes to that point for the `time`-th time, from 1."""
    global on, _armed, _passed
    on, _armed, _passed = True, (point, time), 0


def disarm() -> None:
    """Forget what was armed."""
    global on, _armed
    on, _armed = False, None


def at(point: Point) -> None:
    """The process has come to that point. Call it behind `if crash_points.on`."""
    global _passed
    if _armed is not None and point == _armed[0]:
        _passed += 1
        if _passed == _armed[1]:
            os.kill(os.getpid(), signal.SIGKILL)
