"""The laws of refusals in the plain functions of a definition: `over`, `given` and `when` may say no as a step may."""

import enum
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import QUICK, Deeds, Job, Order, World, ended, names, of, running
from upright.actors import Refuse
from upright.actors.testing import advance
from upright.persistence import Reject, RunFailed, after, call, each, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Way(enum.StrEnum):
    BEGUN = "begun"
    READY = "ready"
    END = "end"
    REFUSED = "refused"


class Short(enum.StrEnum):
    READY = "ready"
    END = "end"
    REFUSED = "refused"


def refuse(job: Job) -> Any:
    """No, unless somebody has mended it."""
    if not mended:
        raise errors[-1]("no address")
    return {"when": True, "over": [1], "given": Job()}[mended[-1]]


mended: list[str] = []
errors: list[type[Exception]] = []


@pytest.fixture(autouse=True, params=[Refuse, Reject])
def nothing_is_mended(request: pytest.FixtureRequest) -> None:
    mended.clear()
    errors[:] = [request.param]


def kind_of(what: str, first: bool = False, leads: bool = False) -> Any:
    """A machine whose second step, or its first, has such a function. `leads`: whether a refusal leads anywhere."""
    states: Any = Short if first else Way

    async def item(self: Any, job: Job, number: int) -> int:
        return number

    async def second(self: Any, job: Job, result: Any = None) -> None:
        await self.do(job, "done")

    async def alone(self: Any, job: Job) -> None:
        await self.do(job, "done")

    async def begin(self: Any, job: Job) -> None:
        await self.do(job, "begin")

    alone.__name__ = "second"
    options: dict[str, Any] = {"to": states.END, "on_reject": states.REFUSED if leads else None}
    mark: Any = {
        "over": each(states.READY, item, over=refuse, **options),
        "given": call(states.READY, Order, given=refuse, **options),
        "step": step(states.READY, when=refuse, retry=QUICK, **options),
        "signal": signal(states.READY, when=refuse, retry=QUICK, **options),
        "after": after(5.0, states.READY, when=refuse, retry=QUICK, **options),
    }[what]
    members: dict[str, Any] = {
        "State": states,
        "initial": states.READY if first else states.BEGUN,
        "cancelled": states.REFUSED,
        "second": mark(second if what in ("over", "given") else alone),
    }
    if not first:
        members["begin"] = step(Way.BEGUN, to=Way.READY, undo=Deeds.refund, retry=QUICK)(begin)
    return type("Refusing", (Deeds,), members)


plain = pytest.mark.parametrize("what", ["over", "given", "step", "signal", "after"])
whenever = pytest.mark.parametrize("first", [False, True])


async def come_there(run: Any, what: str, kind: Any) -> None:
    await advance(1.0)
    if what == "signal":
        await run.signal(kind.second)
    await advance(10.0)


@plain
async def test_one_leads_where_a_reject_of_the_step_leads(system: Systems, stores: Stores, what: str) -> None:
    world, store, kind = World(), stores(), kind_of(what, leads=True)
    async with running(system, world, of(kind, world), of(Order, world, "o"), store=store) as s:
        run = await kind.start(s, Job(), id="o")
        await come_there(run, what, kind)
        assert (await ended(run)).words == ["begin", "refund"]
        assert (await run.state(), await run.status()) == (Way.REFUSED, "rejected")
        assert "rejected second" in await names(run)
        assert await letters(store) == []


@plain
@whenever
async def test_where_none_leads_the_run_has_failed_and_goes_on_when_that_is_mended(
    system: Systems, stores: Stores, what: str, first: bool
) -> None:
    world, store, kind = World(), stores(), kind_of(what, first)
    async with running(system, world, of(kind, world), of(Order, world, "o"), store=store) as s:
        run = await kind.start(s, Job(), id="o")
        await come_there(run, what, kind)
        with pytest.raises(RunFailed, match="Reject: no address"):
            await ended(run)
        assert [one.id async for one in kind.runs(s, status="failed")] == ["o"]
        assert [(one.reason, len(one.attempts)) for one in await letters(store)] == [("rejected", 1)]
        assert (await run.state()).value == Way.READY
        mended.append(what if what in ("over", "given") else "when")
        await run.redrive()
        await ended(run)
        assert (await run.state()).value == Way.END
        assert world.tried.count("begin") == (0 if first else 1)


async def test_the_step_before_is_done_once_though_the_guard_after_it_refuses(system: Systems, stores: Stores) -> None:
    world, kind = World(), kind_of("step")
    async with running(system, world, of(kind, world), store=stores()) as s:
        run = await kind.start(s, Job(), id="o")
        with pytest.raises(RunFailed):
            await ended(run)
        assert (await run.data()).words == ["begin"]
        mended.append("when")
        await run.redrive()
        await ended(run)
    assert world.tried == ["begin", "done"]


async def test_one_that_comes_out_of_the_making_of_a_machine_fails_the_run(system: Systems, stores: Stores) -> None:
    class Unmade(Order):
        def __init__(self, world: World) -> None:
            super().__init__(world)
            raise Refuse("not configured")

    world = World()
    async with running(system, world, Unmade, store=stores()) as s:
        run = await Unmade.start(s, Job(), id="o")
        with pytest.raises(RunFailed, match="not configured"):
            await ended(run)
        assert [one.id async for one in Unmade.runs(s, status="failed")] == ["o"]
