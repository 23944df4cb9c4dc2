"""A run as plain lines, one a second, for whoever has no terminal."""

import asyncio
from collections.abc import Callable

from .scene import Scene

EVERY = 1.0
Write = Callable[[str], None]


class Plain:
    """`write`: gets each line, without its end."""

    def __init__(self, scene: Scene, write: Write) -> None:
        self._scene, self._write = scene, write
        self._told = 0

    async def show(self) -> None:
        """Go on until cancelled."""
        while True:
            self.line()
            await asyncio.sleep(EVERY)

    def line(self) -> None:
        """What happened since the last line, and how it stands now."""
        scene = self._scene
        fresh = scene.told - self._told
        if fresh:
            for at, what in list(scene.events)[-fresh:]:
                self._write(f"{at:6.1f} s    {what}")
            self._told = scene.told
        self._write(f"{scene.elapsed:6.1f} s  {summary(scene)}")


def summary(scene: Scene) -> str:
    """How it stands, in a line."""
    parts = [
        f"accepted {scene.accepted}", f"completed {scene.completed}", f"called off {scene.called_off}",
        f"quarantined {scene.quarantined}", f"waiting {scene.unfinished}", f"refused {scene.refused.count}",
    ]  # fmt: skip
    if scene.kills:
        parts.append(f"kills {scene.kills}")
    circuits = [f"{name} {state}" for name, state in scene.circuits.items() if state != "closed"]
    if circuits:
        parts.append(f"circuits: {', '.join(circuits)}")
    return ", ".join(parts)
