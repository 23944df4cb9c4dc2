"""The event loops on which every law holds: asyncio, in debug mode too, with eager tasks, and uvloop."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvloop

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def debugging() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def eager() -> asyncio.AbstractEventLoop:
    """A loop whose tasks begin inside of create_task, where this Python has them (3.12 on)."""
    loop = asyncio.new_event_loop()
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    loop.set_task_factory(factory)
    return loop


LOOPS: list[MakeLoop] = [asyncio.new_event_loop, debugging, eager, uvloop.new_event_loop]
