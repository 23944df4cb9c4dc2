"""A handler that cancels its own task and then does not wait harms nobody: neither the next actor nor any other."""

import asyncio
from typing import Any

import anyio
import pytest

from tests.actors.lives import KINDS, Closer, Deed, Diary, Doer, Systems, quiet, sleep
from tests.actors.ways import way
from upright.actors.testing import settle

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def strike(uncancel: bool = False, times: int = 1) -> Deed:
    """Cancel the own task, and return without a wait; `uncancel`: take it back again."""

    async def deed(_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        for _time in range(times):
            task.cancel()
        while uncancel and task.cancelling():
            task.uncancel()

    return deed


async def no_wait(_: Any) -> None:
    """Return at once, to be followed by what waits."""


async def yield_once(_: Any) -> None:
    await asyncio.sleep(0)


async def in_a_time_limit(_: Any) -> None:
    async with asyncio.timeout(10):
        await asyncio.sleep(1)


async def in_a_scope(_: Any) -> None:
    with anyio.CancelScope() as scope:
        await anyio.sleep(1)
    assert not scope.cancelled_caught


async def in_a_group(_: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1))


NEXT: list[Deed] = [no_wait, yield_once, sleep(1), in_a_time_limit, in_a_scope, in_a_group]


@pytest.mark.parametrize("uncancel", [False, True])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("then", NEXT)
async def test_a_handler_that_cancels_its_task_and_does_not_wait_hits_no_next_actor_whatever_that_awaits(
    system: Systems, uncancel: bool, times: int, then: Deed
) -> None:
    diaries = [Diary() for _ in range(4)]
    async with quiet(system) as s:
        one, *others = [await s.spawn(f"a{number}", Doer, diary) for number, diary in enumerate(diaries)]
        assert one.try_tell(Doer.do, strike(uncancel, times))
        asked = [asyncio.create_task(ref.ask(Doer.do, then)) for ref in others]
        for ref in others:
            assert ref.try_tell(Doer.do, then)
        await asyncio.gather(*asked)
        assert [await ref.ask(Doer.note, "here") for ref in (one, *others)] == ["here"] * 4
        assert [diary.lives for diary in diaries] == [1] * 4


@pytest.mark.parametrize("uncancel", [False, True])
@pytest.mark.parametrize("then", NEXT)
async def test_an_actor_of_its_own_task_that_cancels_it_and_does_not_wait_hits_no_other_actor_and_serves_on(
    system: Systems, uncancel: bool, then: Deed
) -> None:
    diary, others = Diary(), [Diary() for _ in range(3)]
    async with quiet(system) as s:
        solo = await s.spawn("solo", Closer, diary)
        refs = [
            await s.spawn(f"a{number}", kind, one)
            for number, (kind, one) in enumerate(zip(KINDS, others, strict=False))
        ]
        assert solo.try_tell(Doer.do, strike(uncancel))
        await asyncio.gather(*(ref.ask(Doer.do, then) for ref in refs))
        assert [await ref.ask(Doer.note, "here") for ref in (*refs, solo)] == ["here"] * 4
        assert await solo.ask(Doer.do, sleep(1)) is None
        assert [one.lives for one in others] == [1] * 3


@pytest.mark.parametrize("uncancel", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_who_cancels_the_task_of_a_handler_from_outside_while_it_waits_ends_that_handler_alone(
    system: Systems, kind: type[Doer], uncancel: bool
) -> None:
    """A task that was struck before is one like any other: the cancellation arrives where it waits."""
    diary, other, tasks = Diary(), Diary(), list[asyncio.Task[Any]]()

    async def wait(_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            if not uncancel:
                raise
            task.uncancel()

    async with quiet(system) as s:
        ref, bystander = await s.spawn("a", kind, diary), await s.spawn("b", Doer, other)
        for _ in range(2):
            await ref.tell(Doer.do, wait)
            await settle()
            tasks.pop().cancel()
            assert await bystander.ask(Doer.do, sleep(1)) is None
            assert await ref.ask(Doer.note, "here") == "here"
        assert (diary.lives, other.lives) == (1 if uncancel else 3, 1)
