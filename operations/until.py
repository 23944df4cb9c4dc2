"""A stream that ends when something has happened, whatever its source does meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def until(over: asyncio.Event, source: AsyncIterable[T]) -> AsyncGenerator[T]:
    """What comes from `source`, until it ends, or that is set.

    A task of its own runs the source from its first item to its end, since one that holds a scope open, a time-out or
    a task group say, can only be left in the task that has entered it. It is asked for an item when there is somebody
    to take it, and closed when this ends, however it ends. An error of the source is raised.
    """
    if over.is_set():
        return
    loop, turn, left = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    given: asyncio.Future[T] = loop.create_future()

    async def run() -> None:
        items = aiter(source)
        try:
            async for item in items:
                if left.is_set():  # the cancellation was swallowed, as `wait_for` does before Python 3.12
                    return
                turn.clear()
                given.set_result(item)
                await turn.wait()
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    running, ending = loop.create_task(run(), name="upright stream"), loop.create_task(over.wait())
    try:
        while not over.is_set():
            either: set[asyncio.Future[Any]] = {running, ending, given}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not given.done():
                break
            item, given = given.result(), loop.create_future()
            yield item
            turn.set()
    finally:
        left.set()
        ending.cancel()
        running.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({running})
        if not running.cancelled():
            running.result()
