"""The root of a system: the parent of everything that has no other."""

import asyncio

from .errors import StartFailed
from .exits import Crashed, Exit, Killed
from .parent import Child, Parent

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between attempts to restart a child whose `started()` fails; doubled each time."""


class Root(Parent):
    """Restarts a child that crashed or was killed, alone; one that stopped itself is let go.

    A restart that fails is tried again after a pause, never in place: the root answers in between.
    """

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """Restart or let go."""
        match exit:
            case Crashed() | Killed():
                self.ctx.background(self.bring_back(child, child.incarnation))
            case _:
                self.ctx.background(child.end("it stopped itself"))

    async def bring_back(self, child: Child, incarnation: int) -> None:
        """Start the next incarnation; a start that fails, or hangs, holds up nobody else."""
        pause = FIRST_PAUSE
        while child.state == "restarting" and child.incarnation == incarnation:
            try:
                await child.restart()
            except StartFailed:
                incarnation = child.incarnation
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
