"""The laws of runs that go on under another definition: what is new, what is missing, and how data are upgraded."""

import enum
from typing import Any, ClassVar

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import (
    QUICK,
    Deeds,
    Desk,
    Fan,
    Invoice,
    Job,
    Line,
    Order,
    Spread,
    World,
    ended,
    lines,
    names,
    of,
    oops,
    running,
)
from upright.actors.testing import advance
from upright.persistence import RunFailed, StateMachine, after, machine, parallel, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Data2(msgspec.Struct):
    """What `Job` became."""

    lines: list[str]
    total: int


class Line2(enum.Enum):
    """Without `new`, and with one more."""

    PAID = "paid"
    CHECKED = "checked"
    PACKED = "packed"
    AWAY = "away"


class Order2(StateMachine[Data2]):
    State = Line2
    initial = Line2.PAID
    version = 2

    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> Any:
        assert from_version == 1
        return {"lines": data["words"], "total": len(data["words"])}

    @step(Line2.PAID, to=Line2.CHECKED)
    async def check(self, data: Data2) -> None:
        data.lines.append("check")

    @step(Line2.CHECKED, to=Line2.PACKED)
    async def pack(self, data: Data2) -> None:
        data.lines.append("pack 2")

    @step(Line2.PACKED, to=Line2.AWAY)
    async def send(self, data: Data2) -> None:
        data.lines.append("send 2")


class Plain2(Order2):
    """One that was forgotten to have a hook."""

    upgrade = StateMachine.upgrade


class Bad2(Order2):
    """One whose hook has a fault."""

    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> Any:
        return {"lines": data["letters"]}


async def stuck(system: Systems, stores: Stores, at: str, kind: type[Deeds] = Order) -> World:
    """A run `o` that has failed at that step, under the first definition."""
    world = World()
    world.plan(at, *oops(3))
    async with running(system, world, kind, store=stores()) as s:
        run = await kind.start(s, Job(), id="o")
        with pytest.raises(RunFailed):
            await ended(run)
    return world


async def test_a_run_goes_on_in_its_state_with_its_data_upgraded(system: Systems, stores: Stores) -> None:
    world = await stuck(system, stores, "pack")
    async with running(system, world, machine("m", Order2), store=stores()) as s:
        run = Order2.run(s, "o")
        assert await run.data() == Data2(["pay"], 1)
        await run.redrive()
        assert await ended(run) == Data2(["pay", "check", "pack 2", "send 2"], 1)
        assert [one.error for one in await lines(run, "upgraded")] == ["to version 2"]


async def test_one_that_waits_is_upgraded_when_something_comes(system: Systems, stores: Stores) -> None:
    class Invoice2(Invoice):
        version = 2

        @staticmethod
        def upgrade(data: dict[str, Any], from_version: int) -> Any:
            return {**data, "words": [*data["words"], f"from {from_version}"]}

    world = World()
    async with running(system, world, Invoice, store=stores()) as s:
        await Invoice.start(s, Job(), id="o")
        await advance(1.0)
    for _ in range(2):
        async with running(system, world, Invoice2, store=stores()) as s:
            run = Invoice2.run(s, "o")
            await run.signal(Invoice2.nudge)
            await advance(1.0)
            assert (await run.data()).words[:3] == ["ask", "from 1", "nudge"]
            assert len(await lines(run, "upgraded")) == 1


async def test_one_that_was_started_with_old_data_is_upgraded_before_its_first_step(
    system: Systems, stores: Stores
) -> None:
    world = World()
    async with running(system, world, Order, store=stores(), only=()) as s:
        await Order.start(s, Job(["x"]), id="o")
    async with running(system, world, machine("m", Order2), store=stores()) as s:
        assert await ended(Order2.run(s, "o")) == Data2(["x", "check", "pack 2", "send 2"], 1)


async def test_without_a_hook_data_that_still_fit_are_taken_as_they_are(system: Systems, stores: Stores) -> None:
    class Later(Order):
        version = 7

    world = await stuck(system, stores, "pack")
    async with running(system, world, Later, store=stores()) as s:
        run = Later.run(s, "o")
        await run.redrive()
        assert (await ended(run)).words == ["pay", "pack", "send"]


async def test_an_upgrade_is_undone_with_the_attempt_that_failed_and_told_once(system: Systems, stores: Stores) -> None:
    world = await stuck(system, stores, "send", Bound)
    async with running(system, world, Bound7, store=stores()) as s:
        world.plan("send", *oops(4))
        run = Bound7.run(s, "o")
        await run.redrive()
        await advance(20.0)
        with pytest.raises(RunFailed):
            await ended(run)
        assert await lines(run, "upgraded") == []
        await run.redrive()
        await ended(run)
        assert len(await lines(run, "upgraded")) == 1


@pytest.mark.parametrize("kind", [Bad2, "no state", "no hook"])
async def test_what_the_definition_does_not_know_waits_in_quarantine_and_goes_on_when_that_is_mended(
    system: Systems, stores: Stores, kind: Any
) -> None:
    if kind == "no hook":
        kind = Plain2
    at = "pay" if kind == "no state" else "pack"
    world, broken = await stuck(system, stores, at), Order2 if kind == "no state" else kind
    store = stores()
    async with running(system, world, machine("m", broken), store=store) as s:
        run = broken.run(s, "o")
        await run.redrive()
        with pytest.raises(RunFailed, match="has no state 'new' any more" if at == "pay" else "Bad2|Plain2"):
            await ended(run)
        assert [letter.reason for letter in await letters(store)] == ["definition"]
        assert await run.status() == "failed"
        if at == "pay":
            assert await run.state() == "new"
    mended: Any = Order if at == "pay" else Order2
    spec = of(Order, world) if at == "pay" else machine("m", Order2)
    async with running(system, world, spec, store=stores()) as s:
        assert await mended.redrive(s) == 1
        done = await ended(mended.run(s, "o"))
    assert (done.words if isinstance(done, Job) else done.lines)[0] == "pay"


async def test_data_that_cannot_be_read_do_not_lead_where_a_failure_would(system: Systems, stores: Stores) -> None:
    class Escapes(Bad2):
        @step(Line2.PACKED, to=Line2.AWAY, on_failure=Line2.AWAY)
        async def send(self, data: Data2) -> None: ...

    world = World()
    world.plan("send", *oops(3))
    store = stores()
    async with running(system, world, Bound, store=store) as s:
        run = await Bound.start(s, Job(), id="o")
        with pytest.raises(RunFailed):
            await ended(run)
    async with running(system, world, machine("m", Escapes), store=(store := stores())) as s:
        await Escapes.run(s, "o").redrive()
        with pytest.raises(RunFailed):
            await ended(Escapes.run(s, "o"))
        assert [letter.reason for letter in await letters(store)] == ["definition"]


async def test_an_undo_that_is_gone_waits_in_quarantine_too(system: Systems, stores: Stores) -> None:
    class Hard(Invoice):
        @step(Desk.OPEN, to=Desk.ASKED, retry=QUICK)
        async def ask(self, job: Job) -> None: ...

    world = World()
    async with running(system, world, Invoice, store=stores()) as s:
        await Invoice.start(s, Job(), id="o")
        await advance(1.0)
    async with running(system, world, Hard, store=stores()) as s:
        run = Hard.run(s, "o")
        await run.cancel()
        with pytest.raises(RunFailed, match="has no step 'ask' with an undo any more"):
            await ended_soon(run)
    async with running(system, world, Invoice, store=stores()) as s:
        run = Invoice.run(s, "o")
        await run.redrive()
        assert (await ended(run)).words == ["ask", "refund"]


class Quiet(enum.Enum):
    """Of a machine that shares nothing but its first state with an invoice."""

    ASKED = "asked"
    OFF = "off"


@pytest.mark.parametrize("comes", ["time", "signal"])
async def test_a_time_and_a_signal_that_are_gone_wait_in_quarantine_too(
    system: Systems, stores: Stores, comes: str
) -> None:
    class Other(Deeds):
        State = Quiet
        initial = Quiet.ASKED

        @signal(Quiet.ASKED, to=Quiet.OFF)
        async def other(self, job: Job) -> None: ...

    world = World()
    async with running(system, world, Invoice, store=stores()) as s:
        run: Any = await Invoice.start(s, Job(), id="o")
        await advance(1.0)
    if comes == "signal":
        async with running(system, world, Invoice, store=stores(), only=()) as s:
            await Invoice.run(s, "o").signal(Invoice.nudge)
    async with running(system, world, Other, store=stores()) as s:
        run = Other.run(s, "o")
        with pytest.raises(RunFailed, match="remind" if comes == "time" else "nudge"):
            await ended(run)
    async with running(system, world, Invoice, store=stores()) as s:
        run = Invoice.run(s, "o")
        await run.redrive()
        done = ["ask", "remind"] if comes == "time" else ["ask", "nudge"]
        await advance(1.0)
        assert (await run.data()).words == done


async def test_a_branch_that_is_gone_waits_in_quarantine_too(system: Systems, stores: Stores) -> None:
    class Renamed(Spread):
        both: ClassVar[Any] = None

        @parallel(Fan.BOTH, Spread.left, to=Fan.MANY, retry=QUICK, on_reject=Fan.OFF)
        async def other(self, job: Job, results: list[Any]) -> None: ...

    world, store = World(), stores()
    world.plan("pay", *oops(1))
    async with running(system, world, Spread, store=stores()) as s:
        world.plan("left", *oops(1))
        await Spread.start(s, Job(), id="o")
        await world.until("left")
        await advance(0.1)
    async with running(system, world, Renamed, store=store) as s:
        run = Renamed.run(s, "o")
        await advance(10.0)
        assert {letter.reason for letter in await letters(store)} == {"definition"}
    async with running(system, world, Spread, store=(store := stores())) as s:
        run2 = Spread.run(s, "o")
        await store.quarantine.redrive_all()
        await ended(run2)
        assert "failed both" not in await names(run2)
        assert run.id == "o"


async def test_a_machine_keeps_its_runs_under_its_address_whatever_it_is_called(
    system: Systems, stores: Stores
) -> None:
    world = World()
    async with running(system, world, of(Invoice, world, "old", address="invoices"), store=stores()) as s:
        await Invoice.start(s, Job(), id="o")
        await advance(1.0)
    async with running(system, world, of(Invoice, world, "new", address="invoices"), store=stores()) as s:
        run = Invoice.run(s, "o")
        await run.signal(Invoice.pay, 3)
        assert (await ended(run)).words == ["ask", "pay 3 card"]


class Bound(Order):
    """An order whose last step has no way out."""

    @step(Line.PACKED, to=Line.AWAY, retry=QUICK, on_reject=Line.LATER)
    async def send(self, job: Job) -> None:
        await self.do(job, "send")

    @after(60.0, Line.LATER, to=Line.BROKEN)
    async def later(self, job: Job) -> None: ...


class Bound7(Bound):
    version = 7


async def ended_soon(run: Any) -> Any:
    await advance(30.0)
    return await ended(run)
