"""The laws of runs that a newer version of the machine has written, where an older one still runs, or runs again."""

from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import Invoice, Job, Spread, World, ended, lines, names, oops, running
from upright.actors.testing import advance
from upright.persistence import RunFailed, RunNotFound
from upright.persistence.codec import Undecodable

pytestmark = pytest.mark.anyio
DEPLOY = 700.0
"""Seconds after which no newer program is expected any more."""


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Invoice2(Invoice):
    version = 2

    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> Any:
        return {**data, "words": [*data["words"], f"from {from_version}"]}


class Spread2(Spread):
    version = 2


async def waiting(system: Systems, stores: Stores) -> World:
    """A run `o` of version 2 that waits for a signal."""
    world = World()
    async with running(system, world, Invoice2, store=stores()) as s:
        await Invoice2.start(s, Job(), id="o")
        await advance(1.0)
    return world


async def test_an_older_version_puts_a_signal_off_until_a_newer_one_takes_it(system: Systems, stores: Stores) -> None:
    world, store = await waiting(system, stores), stores()
    async with running(system, world, Invoice, store=store) as s:
        run = Invoice.run(s, "o")
        await run.signal(Invoice.pay, 5)
        await advance(300.0)
        assert (await run.status(), await letters(store)) == ("waiting", [])
        assert world.tried == ["ask"]
    async with running(system, world, Invoice2, store=stores()) as s:
        run2 = Invoice2.run(s, "o")
        assert (await ended(run2)).words == ["ask", "pay 5 card"]
        assert "upgraded" not in await names(run2)
        assert world.attempts("pay 5 card") == [1]


async def test_where_no_newer_one_comes_the_run_waits_in_quarantine_with_its_data_as_they_were(
    system: Systems, stores: Stores
) -> None:
    world, store = await waiting(system, stores), stores()
    async with running(system, world, Invoice, store=store) as s:
        run = Invoice.run(s, "o")
        await run.signal(Invoice.pay, 5)
        await advance(DEPLOY)
        with pytest.raises(RunFailed, match="run o is of version 2 of Invoice, and this is version 1"):
            await ended(run)
        assert [letter.reason for letter in await letters(store)] == ["definition"]
    async with running(system, world, Invoice2, store=stores()) as s:
        assert await Invoice2.redrive(s) == 1
        assert (await ended(Invoice2.run(s, "o"))).words == ["ask", "pay 5 card"]


async def test_one_that_was_only_started_does_not_begin_under_an_older_version(system: Systems, stores: Stores) -> None:
    world = World()
    async with running(system, world, Invoice2, store=stores(), only=()) as s:
        await Invoice2.start(s, Job(), id="o")
    async with running(system, world, Invoice, store=stores()) as s:
        await advance(DEPLOY)
        assert [one.id async for one in Invoice.runs(s, status="failed")] == ["o"]
        assert world.tried == []
    async with running(system, world, Invoice2, store=stores()) as s:
        run = Invoice2.run(s, "o")
        await run.redrive()
        await advance(1.0)
        assert (await run.data()).words == ["ask"]


async def test_a_branch_does_not_run_under_an_older_version(system: Systems, stores: Stores) -> None:
    world = World()
    world.plan("left", *oops(1))
    async with running(system, world, Spread2, store=stores()) as s:
        await Spread2.start(s, Job(), id="o")
        await world.until("left")
        await advance(0.5)
    async with running(system, world, Spread, store=stores()) as s:
        await advance(100.0)
        assert world.tried.count("left") == 1
    async with running(system, world, Spread2, store=stores()) as s:
        assert (await ended(Spread2.run(s, "o"))).words == ["pay", "both", "many"]
    assert world.tried.count("left") == 2


async def test_to_look_at_its_data_from_an_older_version_is_an_error_that_says_why(
    system: Systems, stores: Stores
) -> None:
    world = await waiting(system, stores)
    async with running(system, world, Invoice, store=stores()) as s:
        run = Invoice.run(s, "o")
        for look in (run.data(), run.query(Invoice.total)):
            with pytest.raises(Undecodable, match="data of Invoice were stored by version 2, and this is version 1"):
                await look
        assert await run.status() == "waiting"


async def test_one_that_is_over_stays_so_whatever_an_older_version_makes_of_what_comes_late(
    system: Systems, stores: Stores
) -> None:
    world = await waiting(system, stores)
    async with running(system, world, Invoice2, store=stores()) as s:
        await Invoice2.run(s, "o").signal(Invoice2.pay, 5)
        await ended(Invoice2.run(s, "o"))
    async with running(system, world, Invoice, store=stores()) as s:
        run = Invoice.run(s, "o")
        await run.signal(Invoice.pay, 6)
        await run.redrive(Invoice.ask)
        await advance(DEPLOY)
        assert await run.status() == "completed"
        assert [one.error for one in await lines(run, "signalled")][-1] == "it is over: nothing came of it"
        with pytest.raises(RunNotFound):
            await run.redrive()
