"""What the laws of the virtual clock share: a run on it, and the running loop with its type."""

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any

from upright.actors.testing.virtual_time import VirtualTimeLoop

CALLS = 250


def run(main: Coroutine[Any, Any, object], *, debug: bool = False, deadlock_after: float | None = 0.01) -> None:
    factory = functools.partial(VirtualTimeLoop, deadlock_after=deadlock_after)
    with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
        runner.run(main)


def loop() -> VirtualTimeLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running
