"""The laws of trees that are deeper than a stack: they are killed, ended in time, and drawn like all others."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from upright.actors import Actor
from upright.actors.tree import draw

pytestmark = pytest.mark.anyio
DEEP = 1_500


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Level(Actor):
    """Has one below itself, down to the last."""

    def __init__(self, left: int) -> None:
        self.left = left

    async def down(self) -> None:
        if self.left:
            below = await self.ctx.spawn("n", Level, self.left - 1)
            await below.tell(Level.down)

    async def hang(self) -> None:
        await asyncio.Event().wait()


async def deep(s: Any) -> Any:
    top = await s.spawn("n", Level, DEEP)
    await top.tell(Level.down)
    await s.idle()
    return top


async def test_the_top_is_killed_with_all_that_is_below(system: Systems) -> None:
    async with quiet(system) as s:
        top = await deep(s)
        assert len(s.draw().splitlines()) == DEEP + 3
        await s.kill(top)
        await s.idle()
        assert len(s.draw().splitlines()) == 3, "the top has come back, and has nobody below itself"


async def test_it_ends_in_the_time_that_it_has(system: Systems) -> None:
    async with quiet(system) as s:
        await deep(s)
        await s.ref("/n" * (DEEP + 1), Level).tell(Level.hang)
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await s.stop(within=1.0)
        assert loop.time() - began < 10.0


async def test_it_is_drawn_as_any_other(system: Systems) -> None:
    async with quiet(system) as s:
        await deep(s)
        lines = draw(s.tree()).splitlines()
        assert lines[-1].endswith("└── n Level running 0/1000")
        assert lines[-1].startswith("    " * DEEP)
