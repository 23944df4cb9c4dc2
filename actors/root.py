"""The root of a system: the parent of everything that has no other."""

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
                await self.restart(child, child.incarnation, FIRST_PAUSE)
            case _:
                await child.end("it stopped itself")

    async def restart(self, child: Child, incarnation: int, pause: float) -> None:
        """Start the next incarnation, unless the child is no longer down or is already another."""
        if child.state != "restarting" or child.incarnation != incarnation:
            return
        try:
            await child.restart()
        except StartFailed:
            self.ctx.after(pause, Root.restart, child, child.incarnation, min(pause * 2, LONGEST_PAUSE))
