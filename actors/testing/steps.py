"""Single steps of a test: kill an actor, let everything come to rest."""

from typing import Any

from ..refs import Ref
from ..system import ActorSystem
from .virtual_time import advance


async def kill(system: ActorSystem, ref: Ref[Any]) -> None:
    """Cancel an actor at once, as a fault would; returns when that incarnation has ended, before the next is up."""
    await system.kill(ref)


async def settle() -> None:
    """Let everything run that can run now, threads' work included, without time passing. Needs a `VirtualTimeLoop`."""
    await advance(0)
