"""The laws of runs that wait for a run of another machine which ends under another version than they know."""

import enum
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, letters
from tests.persistence.machines import QUICK, World, ended, running
from upright.actors.testing import advance
from upright.persistence import Retry, RunFailed, StateMachine, call, machine, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Way(enum.StrEnum):
    NEW = "new"
    DONE = "done"


class Cents(msgspec.Struct):
    cents: int = 0


class Euros(msgspec.Struct):
    euros: int = 0


class Payment(StateMachine[Cents]):
    State = Way
    initial = Way.NEW

    @step(Way.NEW, to=Way.DONE)
    async def pay(self, data: Cents) -> None:
        data.cents = 9900


class Payment2(StateMachine[Euros]):
    State = Way
    initial = Way.NEW
    version = 2

    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> Any:
        return {"euros": data["cents"] // 100}

    @step(Way.NEW, to=Way.DONE, retry=QUICK)
    async def pay(self, data: Euros) -> None:
        if self.ctx.attempt == 1:
            raise OSError("as told")
        data.euros = 99


ONCE = Retry(max_attempts=1)


class Sale(StateMachine[list[str]]):
    State = Way
    initial = Way.NEW

    @call(Way.NEW, Payment, given=lambda data: Cents(), to=Way.DONE, retry=ONCE)
    async def settle(self, data: list[str], paid: Cents) -> None:
        if "broken" in data:
            raise OSError("as told")
        data.append(repr(paid))


class Sale2(StateMachine[list[str]]):
    State = Way
    initial = Way.NEW

    @call(Way.NEW, Payment2, given=lambda data: Euros(), to=Way.DONE, retry=ONCE)
    async def settle(self, data: list[str], paid: Euros) -> None:
        data.append(repr(paid))


async def test_its_data_are_brought_up_to_date(system: Systems, stores: Stores) -> None:
    world = World()
    async with running(system, world, machine("s", Sale), machine("p", Payment), store=stores()) as s:
        run = await Sale.start(s, ["broken"], id="o")
        with pytest.raises(RunFailed):
            await ended(run)
    async with running(system, world, machine("s", Sale2), machine("p", Payment2), store=stores()) as s:
        run = Sale2.run(s, "o")
        await run.redrive()
        assert await ended(run) == ["broken", "Euros(euros=99)"]


NEW = machine("s", Sale2), machine("p", Payment2)
OLD = machine("s", Sale), machine("p", Payment)


async def paid(system: Systems, stores: Stores) -> World:
    """A run `o` whose payment is done under version 2, and which has not heard of that."""
    world = World()
    async with running(system, world, *NEW, store=stores()) as s:
        await Sale2.start(s, [], id="o")
        await advance(0.5)
    async with running(system, world, machine("p", Payment2), store=stores()):
        await advance(5.0)
    return world


async def test_what_a_newer_version_has_made_is_put_off_until_one_comes_that_knows_it(
    system: Systems, stores: Stores
) -> None:
    world, store = await paid(system, stores), stores()
    async with running(system, world, *OLD, store=store) as s:
        await advance(300.0)
        assert (await Sale.run(s, "o").status(), await letters(store)) == ("waiting", [])
    async with running(system, world, *NEW, store=stores()) as s:
        assert await ended(Sale2.run(s, "o")) == ["Euros(euros=99)"]


async def test_where_none_comes_the_run_waits_in_quarantine(system: Systems, stores: Stores) -> None:
    world, store = await paid(system, stores), stores()
    async with running(system, world, *OLD, store=store) as s:
        with pytest.raises(RunFailed, match="a run of version 2 of Payment is waited for, and this is version 1"):
            await ended(Sale.run(s, "o"))
        assert [letter.reason for letter in await letters(store)] == ["definition"]
    async with running(system, world, *NEW, store=stores()) as s:
        await Sale2.redrive(s)
        assert await ended(Sale2.run(s, "o")) == ["Euros(euros=99)"]
