"""The laws of signals whose method gets other arguments than those with which they were sent."""

from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import QUICK, Deeds, Desk, Job, World, ended, running
from upright.actors.testing import advance
from upright.persistence import RunFailed, after, signal, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Bill(Deeds):
    """Opens after ten seconds, and is paid by a signal, which may come before."""

    State = Desk
    initial = Desk.OPEN
    cancelled = Desk.OFF

    @after(10.0, Desk.OPEN, to=Desk.ASKED)
    async def ask(self, job: Job) -> None: ...

    @signal(Desk.ASKED, to=Desk.LATE, retry=QUICK)
    async def pay(self, job: Job, cents: int) -> None:
        await self.do(job, f"pay {cents}")

    @step(Desk.LATE, to=Desk.PAID)
    async def book(self, job: Job) -> None: ...


class Longer(Bill):
    """With one more argument, which has a default."""

    @signal(Desk.ASKED, to=Desk.LATE, retry=QUICK)
    async def pay(self, job: Job, cents: int, by: str = "card") -> None:
        await self.do(job, f"pay {cents} {by}")


class Needy(Bill):
    """With one more argument, which has none."""

    @signal(Desk.ASKED, to=Desk.LATE, retry=QUICK)
    async def pay(self, job: Job, cents: int, by: str) -> None:  # type: ignore[override]
        await self.do(job, f"pay {cents} {by}")


class Other(Bill):
    """With an argument of another type."""

    @signal(Desk.ASKED, to=Desk.LATE, retry=QUICK)
    async def pay(self, job: Job, cents: str) -> None:  # type: ignore[override]
        await self.do(job, f"pay {cents}")


@pytest.mark.parametrize("early", [False, True])
async def test_one_that_was_sent_before_a_parameter_with_a_default_was_added_has_the_default(
    system: Systems, stores: Stores, early: bool
) -> None:
    world = World()
    async with running(system, world, Bill, store=stores()) as s:
        run: Any = await Bill.start(s, Job(), id="o")
        await advance(1.0)
        if early:
            await run.signal(Bill.pay, 5)
            await advance(1.0)
    if not early:
        async with running(system, world, Bill, store=stores(), only=()) as s:
            await Bill.run(s, "o").signal(Bill.pay, 5)
    async with running(system, world, Longer, store=stores()) as s:
        assert (await ended(Longer.run(s, "o"))).words == ["pay 5 card"]
        assert world.attempts("pay 5 card") == [1]


@pytest.mark.parametrize(("sent", "kind"), [(Longer, Bill), (Bill, Needy), (Bill, Other)])
async def test_one_that_does_not_fit_is_put_off_and_used_when_a_program_comes_that_it_fits(
    system: Systems, stores: Stores, sent: Any, kind: Any
) -> None:
    world, store = World(), stores()
    async with running(system, world, sent, store=stores()) as s:
        run = await sent.start(s, Job(), id="o")
        await advance(1.0)
        await run.signal(sent.pay, 5)
        await advance(1.0)
    async with running(system, world, kind, store=store) as s:
        await advance(300.0)
        assert (await kind.run(s, "o").status(), await letters(store)) == ("running", [])
    async with running(system, world, sent, store=stores()) as s:
        assert len((await ended(sent.run(s, "o"))).words) == 1


@pytest.mark.parametrize("kind", [Needy, Other])
async def test_where_none_comes_the_run_waits_in_quarantine_and_goes_on_when_that_is_mended(
    system: Systems, stores: Stores, kind: Any
) -> None:
    world, store = World(), stores()
    async with running(system, world, Bill, store=stores()) as s:
        run: Any = await Bill.start(s, Job(), id="o")
        await advance(1.0)
        await run.signal(Bill.pay, 5)
        await advance(1.0)
    async with running(system, world, kind, store=store) as s:
        with pytest.raises(RunFailed, match="a signal 'pay' does not fit"):
            await ended(kind.run(s, "o"))
        assert [letter.reason for letter in await letters(store)] == ["definition"]
    async with running(system, world, Bill, store=stores()) as s:
        assert await Bill.redrive(s) == 1
        assert (await ended(Bill.run(s, "o"))).words == ["pay 5"]
