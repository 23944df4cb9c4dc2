"""The root of a system: the parent of everything that has no other."""

import asyncio

from .errors import Ignore, StartFailed
from .events import SystemGaveUp
from .exits import Crashed, Exit, Killed, Shutdown
from .parent import Child, Parent

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between attempts to restart a child whose `started()` fails; doubled each time."""


class Root(Parent):
    """Restarts a child that crashed or was killed, alone; one that stopped itself is let go.

    A restart that fails is tried again after a pause, never in place: the root answers in between. When the tree of the
    system (`top`) shuts itself down, so does the root, and with it the system.
    """

    def __init__(self, top: str | None = None) -> None:
        self._top = top

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """Restart or let go."""
        match exit:
            case Crashed() | Killed():
                self.ctx.background(self.bring_back(child, child.incarnation))
            case Shutdown(why, gave_up) if child.path == self._top:
                if gave_up and self.ctx.bus.wants(SystemGaveUp):
                    self.ctx.bus.emit(SystemGaveUp(child.path, why))
                self.ctx.shut_down(f"{child.path}: {why}", gave_up)
            case _:
                self.ctx.background(self.let_go(child, "stopped itself"))

    async def let_go(self, child: Child, why: str) -> None:
        """It is not to come back; without the tree of the system there is no system."""
        if child.path == self._top:
            self.ctx.shut_down(f"{child.path} {why}")
        else:
            await child.end(f"it {why}")

    async def bring_back(self, child: Child, incarnation: int) -> None:
        """Start the next incarnation; a start that fails, or hangs, holds up nobody else."""
        pause, paused = FIRST_PAUSE, 0.0
        while child.state == "restarting" and child.incarnation == incarnation:
            try:
                await child.restart(paused)
            except Ignore:
                return await self.let_go(child, "declined to start again")
            except StartFailed:
                incarnation = child.incarnation
                await asyncio.sleep(pause)
                paused, pause = pause, min(pause * 2, LONGEST_PAUSE)
