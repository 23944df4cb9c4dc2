"""How tests of health wait: for an event, or for a beat of the loop at which something holds."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from upright.actors import ActorSystem
from upright.operations import Health, HealthLimits
from upright.operations.health import Check

BOUND = 60.0
"""Seconds after which a test that hangs fails."""


async def heard(system: ActorSystem, kind: type[Any], after: Callable[[], object] = lambda: None) -> Any:
    """The next event of that kind, once that was done."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def hear(event: Any) -> None:
        if not found.done():
            found.set_result(event)

    system.subscribe(hear, kind)
    try:
        after()
        return await asyncio.wait_for(found, BOUND)
    finally:
        system.unsubscribe(hear)


async def beat(health: Health, holds: Callable[[], bool]) -> None:
    """The first beat at which that holds."""
    found = asyncio.Event()

    def look() -> None:
        if holds():
            found.set()

    health.beaten.append(look)
    try:
        await asyncio.wait_for(found.wait(), BOUND)
    finally:
        health.beaten.remove(look)


def why(health: Health, name: str) -> str:
    """What is not well about one thing, in the whole report; "" if it is well."""
    found: list[Check] = [check for check in health.report().checks if check.name == name]
    return found[0].why


@asynccontextmanager
async def watched(system: ActorSystem, limits: HealthLimits | None = None, more: Any = None) -> AsyncGenerator[Health]:
    """A system that runs, and its health, as a service has them."""
    health = Health(system, limits) if more is None else Health(system, limits, more)
    health.start()
    try:
        async with system:
            health.started = True
            yield health
    finally:
        await health.stop()
