"""The laws of schedules: clocks that are set, several nodes, stores that fail, processes that are killed."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, Weather
from tests.persistence.shop import HOUR, NOON, Heard, Mailer, Wall, poll, shop, told, twin
from upright.persistence import OutcomeUnknown, Sqlite, StoreFailing, StoreUnavailable, cron

pytestmark = pytest.mark.anyio

PROGRAM = """
import asyncio, sys
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Sqlite, every, schedules
from upright.supervision import child, supervisor

class Mailer(Actor):
    mailbox = Durable("mailer", order="free")
    async def poll(self) -> None: ...

poll = every(0.05, name="poll", missed="all").tell("mailer", Mailer.poll)
tree = supervisor("shop", child("mailer", Mailer), schedules("clock", poll))

async def main():
    async with ActorSystem(tree, store=Sqlite(sys.argv[1])) as system:
        await system.wait()

asyncio.run(main())
"""


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def heard(wall: Wall) -> Heard:
    return Heard(wall)


class TestClockThatIsSet:
    async def test_back_by_an_hour_nothing_is_fired_twice(
        self, system: Systems, stores: Stores, heard: Heard, wall: Wall
    ) -> None:
        async with shop(system, stores(), heard, poll(missed="all")):
            await asyncio.sleep(130)
            wall.shift = -HOUR
            await asyncio.sleep(HOUR)
            assert heard.times == [60, 120]
            await asyncio.sleep(60)
            assert heard.times == [60, 120, 180]

    async def test_forward_by_an_hour_what_was_passed_over_was_missed(
        self, system: Systems, stores: Stores, heard: Heard, wall: Wall
    ) -> None:
        at_two = cron("30 12 * * *", name="lunch", tz="UTC").tell("/shop/mailer", Mailer.poll, "lunch")
        async with shop(system, stores(), heard, at_two):
            await asyncio.sleep(130)
            wall.shift = HOUR
            await asyncio.sleep(61)
            assert [word for word, _ in heard.told] == ["lunch"]

    async def test_forward_and_back_again_each_tick_is_fired_once(
        self, system: Systems, stores: Stores, heard: Heard, wall: Wall
    ) -> None:
        async with shop(system, stores(), heard, poll(missed="all")):
            for shift in (HOUR, 0.0, -HOUR, 2 * HOUR, 0.0):
                wall.shift = shift
                await asyncio.sleep(90)
            wall.shift = 3 * HOUR
            await asyncio.sleep(61)
            assert len(heard.told) == int(wall() - NOON) // 60

    async def test_back_by_more_than_a_day_it_begins_anew_and_still_fires_nothing_twice(
        self, system: Systems, stores: Stores, heard: Heard, wall: Wall
    ) -> None:
        """A clock that was years ahead for a moment silences nobody for years."""
        wall.shift = 400 * 86_400.0
        async with shop(system, stores(), heard, poll()):
            await asyncio.sleep(61)
            wall.shift = 0.0
            await asyncio.sleep(180)
            assert heard.times[1:] == [180, 240]
            wall.shift = 400 * 86_400.0 - 200.0
            await asyncio.sleep(61)
            assert len(heard.told) == 3, "of that tick the store has a message"


class TestSeveralNodes:
    async def test_two_systems_on_one_store_fire_each_tick_once(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        first = stores()
        second = twin(first, stores)
        async with shop(system, first, heard, poll()), shop(system, second, heard, poll()):
            await asyncio.sleep(HOUR + 1)
            assert heard.times == [60 * number for number in range(1, 61)]

    async def test_one_goes_on_when_the_other_ends(self, system: Systems, stores: Stores, heard: Heard) -> None:
        first = stores()
        second = twin(first, stores)
        async with shop(system, first, heard, poll()):
            async with shop(system, second, heard, poll()):
                await asyncio.sleep(130)
            await asyncio.sleep(60)
        assert heard.times == [60, 120, 180]

    async def test_nothing_ticks_in_a_system_that_runs_no_actors(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        store = stores()
        async with shop(system, store, heard, poll(), only=()):
            await asyncio.sleep(HOUR)
            assert await store.counts() == {}


class TestStoreThatFails:
    @pytest.mark.parametrize(
        ("when", "error"),
        [("before", StoreUnavailable("full")), ("before", OutcomeUnknown("?")), ("after", OutcomeUnknown("?"))],
    )
    async def test_a_tick_is_neither_lost_nor_fired_twice(
        self, system: Systems, stores: Stores, heard: Heard, error: Any, when: str
    ) -> None:
        """Nothing was written, or all was and nobody knows."""
        async with shop(system, (store := stores()), heard, poll(missed="all")) as s:
            await s.idle()
            weather = Weather(store)
            getattr(weather, when).extend([error] * 10)
            await asyncio.sleep(HOUR + 1)
            assert not getattr(weather, when)
        assert len(heard.told) == 60
        assert heard.times[-1] == HOUR
        assert sorted(heard.times) == heard.times

    async def test_when_nobody_knows_what_became_of_a_tick_it_looks_again_soon(
        self, system: Systems, stores: Stores, heard: Heard
    ) -> None:
        async with shop(system, (store := stores()), heard, poll(HOUR)) as s:
            await s.idle()
            Weather(store).before.append(OutcomeUnknown("?"))
            await asyncio.sleep(HOUR + 5)
            assert heard.times == [HOUR]

    async def test_while_a_write_is_under_way_it_does_not_look_again(
        self, system: Systems, stores: Stores, heard: Heard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with shop(system, (store := stores()), heard, poll(10.0)) as s:
            await s.idle()
            weather, read, looks = Weather(store), store._engine.read, list[str]()

            async def count(address: str, kind: str = "") -> Any:
                looks.append(address)
                return await read(address)

            monkeypatch.setattr(store._engine, "read", count)
            weather.calm.clear()
            await asyncio.sleep(HOUR)
            assert looks == ["schedule/poll"]
            weather.calm.set()
            await s.idle()
        assert heard.told

    async def test_a_store_that_cannot_be_read_is_tried_again_and_told_of(
        self, system: Systems, stores: Stores, heard: Heard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def read(_: str, kind: str = "") -> None:
            raise StoreUnavailable("gone")

        async with shop(system, (store := stores()), heard, poll(missed="all")) as s:
            failing = told(s, StoreFailing)
            await s.idle()
            with monkeypatch.context() as patch:
                patch.setattr(store._engine, "read", read)
                await asyncio.sleep(600)
            assert heard.times == []
            await asyncio.sleep(61)
            assert len(heard.told) == 11
            assert {event.path for event in failing} == {"/shop/clock"}
            assert 60 < len(failing) < 200, "with pauses that grow up to ten seconds"

    async def test_it_holds_up_no_stop(self, system: Systems, stores: Stores, heard: Heard) -> None:
        async with shop(system, (store := stores()), heard, poll()) as s:
            await s.idle()
            Weather(store).before.extend([StoreUnavailable("full")] * 1000)
            await asyncio.sleep(61)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 1.0


def test_processes_that_are_killed_at_any_moment_neither_lose_a_tick_nor_fire_it_twice(tmp_path: Path) -> None:
    """Two at a time on one file; what nobody was there to fire is fired by the next ones."""
    file, fired = tmp_path / "jobs.db", list[int]()
    for life in range(3):
        processes = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(file)]) for _ in range(2)]
        try:
            fired = wait_for_ticks(file, 8 * (life + 1))
        finally:
            for process in processes:
                process.kill()
                process.wait()
    first = fired[0]
    assert fired == [first + number for number in range(len(fired))]


def wait_for_ticks(file: Path, count: int) -> list[int]:
    """Wait until the store has messages for so many ticks; their numbers since the epoch, in order."""
    until, fired = time.monotonic() + 20, list[int]()
    while len(fired) < count:
        assert time.monotonic() < until, fired
        time.sleep(0.02)
        with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(file)) as connection:
            keys = connection.execute("SELECT once FROM message ORDER BY id").fetchall()
            fired = [round(datetime.fromisoformat(key.rsplit("/", 1)[1]).timestamp() / 0.05) for (key,) in keys]
    return fired


async def test_a_file_that_cannot_be_read_is_told_of_as_a_store_error(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    await store._engine.open(lambda _: None)
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DROP TABLE state")
    with pytest.raises(StoreUnavailable, match="no such table"):
        await store._engine.read("schedule/poll")
    await store._engine.close()
