"""What the answers to questions about a service are made of: plain JSON values, made without holding up the loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec

from upright.actors.refs import Ref

from .plain_json import as_json

T = TypeVar("T")
BREATH = 200
"""Items after which the loop may turn to others."""


class Progress(dict[str, Any]):
    """What comes before the result of a long operation."""


def plain(value: object) -> Any:
    """The value as JSON has it: bytes as base64, a Ref as its path, and of what has no such form its type.

    >>> plain({1: b"x", "at": ...})
    {'1': 'eA==', 'at': '<ellipsis>'}
    """
    return msgspec.json.decode(as_json(value, _otherwise))


def _otherwise(value: object) -> Any:
    return value.path if isinstance(value, Ref) else f"<{type(value).__name__}>"


async def breathing(items: Iterable[T] | AsyncIterator[T]) -> AsyncIterator[T]:
    """The same items, between which the loop gets to its other work."""
    count = 0
    if isinstance(items, Iterable):
        for item in items:
            yield item
            count += 1
            if count % BREATH == 0:
                await asyncio.sleep(0)
        return
    try:
        async for each in items:
            yield each
            count += 1
            if count % BREATH == 0:
                await asyncio.sleep(0)
    finally:
        close = getattr(items, "aclose", None)  # what is left half-way would be open until somebody collects it
        if close is not None:
            await close()


async def following(work: Callable[[Callable[[int], object]], Awaitable[int]], name: str) -> AsyncIterator[Any]:
    """Do work that tells how many are done, and yield that as `Progress`, then the result under that `name`.

    Whoever stops listening stops the work: what it has not done is left as it was.
    """
    news, latest = asyncio.Event(), 0

    def told(done: int) -> None:
        nonlocal latest
        latest = done
        news.set()

    async def whole() -> int:
        try:
            return await work(told)
        finally:
            news.set()

    task = asyncio.ensure_future(whole())
    try:
        while True:
            await news.wait()
            news.clear()
            if task.done():
                break
            yield Progress(done=latest)
        yield {name: task.result()}
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # it was raised above, or nobody listens any more
