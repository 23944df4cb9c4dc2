"""`Chaos`: kills the worker with SIGKILL every few seconds, as long as there is work."""

import asyncio
import random

from upright.actors.refs import Ref

from .process import Process
from .scene import Scene

EVERY = (3.0, 5.5)
"""Seconds between two kills, from and to: longer than a step may take, so that no order is in hand three times in a
row, which would make it a suspect for good.
"""


class Chaos:
    """`rng`: of the times. The same seed brings the same times, if not the same victims."""

    def __init__(self, worker: Ref[Process], scene: Scene, rng: random.Random) -> None:
        self._worker, self._scene, self._rng = worker, scene, rng

    async def strike(self) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(self._rng.uniform(*EVERY))
            if self._scene.is_up and self._scene.unfinished:
                await self._kill()

    async def _kill(self) -> None:
        pid = await self._worker.ask(Process.kill)
        if pid:
            self._scene.kills += 1
            self._scene.tell(f"chaos: SIGKILL to worker {pid}")
