"""The event loops on which every law holds: asyncio, in debug mode too, with eager tasks, and uvloop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from upright.actors import ActorSystem

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


def run(make_loop: MakeLoop, scene: Callable[[ActorSystem], Awaitable[None]]) -> None:
    """Play a scene in a system of its own, which leaves no task behind."""

    async def main() -> None:
        async with ActorSystem(log=None) as system:
            await asyncio.wait_for(scene(system), 60)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
