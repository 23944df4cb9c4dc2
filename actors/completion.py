"""Waiting for something that must not be left half done, whatever happens to whoever waits."""

import asyncio

import anyio


async def to_its_end(task: asyncio.Task[None]) -> None:
    """Wait until the task has ended, and raise what it does. If the waiter is cancelled meanwhile, the task goes on to
    its end all the same, and the cancellation is raised afterwards.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
