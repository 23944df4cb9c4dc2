"""The ways of waiting that asyncio and anyio offer, as deeds, each with what it returns if all is as its page says."""

import asyncio
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.actors.lives import Deed, Doer, Oops, crash, hang


async def native_timeout(me: Doer) -> str:
    try:
        async with asyncio.timeout(0.2):
            await hang(me)
    except TimeoutError:
        return "timed out"
    return "not reached"


async def native_group(me: Doer) -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(n / 10, n)) for n in range(3)]
    return [task.result() for task in tasks]


async def native_group_that_fails(me: Doer) -> str:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(hang(me))
            group.create_task(crash(me))
            await hang(me)
    return "failed as one" if caught.group_contains(Oops) else "failed otherwise"


async def anyio_move_on(me: Doer) -> bool:
    with anyio.move_on_after(0.2) as scope:
        await anyio.sleep_forever()
    return scope.cancelled_caught


async def anyio_fail(me: Doer) -> str:
    try:
        with anyio.fail_after(0.2):
            await anyio.sleep_forever()
    except TimeoutError:
        return "timed out"
    return "not reached"


async def anyio_group(me: Doer) -> int:
    done: list[int] = []

    async def work(number: int) -> None:
        await anyio.sleep(number / 10)
        done.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(work, number)
    return len(done)


async def anyio_group_that_fails(me: Doer) -> str:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.start_soon(crash, me)
            await anyio.sleep_forever()
    return "failed as one" if caught.group_contains(Oops) else "failed otherwise"


async def anyio_cancel_scope(me: Doer) -> bool:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()
    return group.cancel_scope.cancel_called


async def shielded(me: Doer) -> str:
    work = asyncio.create_task(asyncio.sleep(0.3, "shielded"))
    try:
        async with asyncio.timeout(0.1):
            await asyncio.shield(work)
    except TimeoutError:
        return await work
    return "not reached"


async def anyio_shielded(me: Doer) -> str:
    with anyio.move_on_after(0.1):
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.3)
        return "shield held"
    return "not reached"


async def in_a_thread(me: Doer) -> int:
    return await asyncio.to_thread(sum, [1, 2, 3])


async def in_anyios_thread(me: Doer) -> int:
    return await anyio.to_thread.run_sync(sum, [1, 2, 3])


class Locked:
    """A lock that all actors of a test share."""

    def __init__(self) -> None:
        self.locks: tuple[Any, Any] = (asyncio.Lock(), anyio.Lock())

    async def __call__(self, me: Doer) -> int:
        for lock in self.locks:
            async with lock:
                await asyncio.sleep(0.001)
        return 1


IDIOMS: list[tuple[Deed, Any]] = [
    (native_timeout, "timed out"),
    (native_group, [0, 1, 2]),
    (native_group_that_fails, "failed as one"),
    (anyio_move_on, True),
    (anyio_fail, "timed out"),
    (anyio_group, 3),
    (anyio_group_that_fails, "failed as one"),
    (anyio_cancel_scope, True),
    (shielded, "shielded"),
    (anyio_shielded, "shield held"),
    (in_a_thread, 6),
    (in_anyios_thread, 6),
]
