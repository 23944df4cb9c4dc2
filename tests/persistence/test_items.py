"""The laws of the items of `each`: they are worked out once, and stored with the run that joins."""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import QUICK, Deeds, Fan, Job, World, ended, oops, running
from upright.actors.testing import advance
from upright.persistence import RunFailed, each, step
from upright.persistence.definition import DefinitionError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Point(msgspec.Struct):
    x: int


class Parcels(Deeds):
    """Its items come in another order each time that somebody asks for them, as those of a set may."""

    State = Fan
    initial = Fan.START
    asked: ClassVar[list[int]] = []

    @staticmethod
    def over(job: Job) -> Iterable[int]:
        Parcels.asked.append(1)
        return job.items if len(Parcels.asked) % 2 else reversed(job.items)

    async def item(self, job: Job, number: int) -> int:
        await self.do(job, f"item {number}")
        return number

    @each(Fan.START, item, over=over, at_once=2, to=Fan.BOTH, retry=QUICK)
    async def pack(self, job: Job, results: list[int]) -> None:
        job.items = results

    @step(Fan.BOTH, to=Fan.MANY)
    async def count(self, job: Job) -> None: ...

    @step(Fan.MANY, to=Fan.END, on_reject=Fan.OFF)
    async def end(self, job: Job) -> None: ...


async def test_each_is_done_once_though_they_would_come_in_another_order_after_a_restart(
    system: Systems, stores: Stores
) -> None:
    Parcels.asked.clear()
    world = World()
    world.plan("item 2", *oops(1))
    async with running(system, world, Parcels, store=stores()) as s:
        await Parcels.start(s, Job(items=[1, 2, 3, 4]), id="o")
        await world.until("item 2")
        await advance(0.5)
    async with running(system, world, Parcels, store=stores()) as s:
        assert (await ended(Parcels.run(s, "o"))).items == [1, 2, 3, 4]
    assert sorted(world.done) == ["item 1", "item 2", "item 3", "item 4"]
    assert set(world.times.values()) == {1}
    assert len(Parcels.asked) == 1


async def test_one_whose_annotation_says_nothing_is_of_its_own_class_all_the_same(
    system: Systems, stores: Stores
) -> None:
    class Bare(Parcels):
        async def bare(self, job: Job, point: Any) -> int:
            assert isinstance(point, Point)
            return point.x

        @each(Fan.START, bare, over=lambda job: [Point(3), Point(3), Point(4)], to=Fan.BOTH, retry=QUICK)
        async def pack(self, job: Job, results: list[int]) -> None:
            job.items = results

    async with running(system, World(), Bare, store=stores()) as s:
        assert (await ended(await Bare.start(s, Job(), id="o"))).items == [3, 3, 4]


@pytest.mark.parametrize("first", [False, True])
async def test_one_that_is_not_of_its_type_sets_the_run_aside_before_any_branch_begins(
    system: Systems, stores: Stores, first: bool
) -> None:
    class Wrong(Parcels):
        initial = Fan.START if first else Fan.OFF

        if not first:

            @step(Fan.OFF, to=Fan.START)
            async def begin(self, job: Job) -> None: ...

            @step(Fan.MANY, to=Fan.END)
            async def end(self, job: Job) -> None: ...

        @each(Fan.START, Parcels.item, over=lambda job: [1, "2"], to=Fan.BOTH)
        async def pack(self, job: Job, results: list[int]) -> None: ...

    world, store = World(), stores()
    async with running(system, world, Wrong, store=store) as s:
        run = await Wrong.start(s, Job(), id="o")
        with pytest.raises(RunFailed, match=r"Parcels\.item: expected item to be int, got str; annotate the item"):
            await ended(run)
        assert [(one.reason, len(one.attempts)) for one in await letters(store)] == [("definition", 1)]
    assert world.done == []


async def test_one_that_does_not_fit_the_new_definition_waits_until_that_is_mended(
    system: Systems, stores: Stores
) -> None:
    class Other(Parcels):
        async def point(self, job: Job, point: Point) -> int:
            return point.x

        @each(Fan.START, point, over=Parcels.over, to=Fan.BOTH, retry=QUICK)
        async def pack(self, job: Job, results: list[int]) -> None: ...

    world, store = World(), stores()
    world.plan("item 2", *oops(1))
    async with running(system, world, Parcels, store=stores()) as s:
        await Parcels.start(s, Job(items=[1, 2]), id="o")
        await world.until("item 2")
        await advance(0.5)
    async with running(system, world, Other, store=store) as s:
        with pytest.raises(RunFailed, match="an item of 'pack' does not fit any more"):
            await ended(Other.run(s, "o"))
        assert [letter.reason for letter in await letters(store)] == ["definition"]
    async with running(system, world, Parcels, store=stores()) as s:
        await Parcels.redrive(s)
        assert sorted((await ended(Parcels.run(s, "o"))).items) == [1, 2]


def test_a_type_that_cannot_be_stored_is_refused_when_the_class_is_made() -> None:
    def make() -> Any:
        class Looks(Parcels):
            async def look(self, job: Job, world: World) -> int:
                return 1

            @each(Fan.START, look, over=lambda job: [World()], to=Fan.BOTH)
            async def pack(self, job: Job, results: list[int]) -> None: ...

        return Looks

    with pytest.raises(DefinitionError, match=r"expected the item of .*\.look to have a type that can be stored"):
        make()
