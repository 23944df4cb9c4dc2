"""The laws of what policies remember over restarts: a deploy in an outage does not hammer the dependency."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Oops, Systems, quiet
from tests.actors.outage import BY, LATER
from tests.persistence.crashes import ROOT
from tests.persistence.jobs import Stores, Worker, letters, until
from tests.persistence.outages import Outage, at, calls, running
from upright.actors import ActorSystem
from upright.actors.testing import advance, settle
from upright.persistence import Durable, Retry, Sqlite
from upright.persistence.guard_records import ADDRESS
from upright.persistence.records import NOBODYS, StateWrite, Step
from upright.supervision import Backoff, CircuitBreaker, child, supervisor

pytestmark = pytest.mark.anyio
LONG = CircuitBreaker("long", consecutive=1, wait=Backoff(600.0, 600.0, jitter="none"), permits=2, slow_start=0)
OTHER = CircuitBreaker("other", consecutive=1, wait=LATER)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def trip(system: Any, policy: CircuitBreaker = LONG) -> None:
    with pytest.raises(Oops):
        async with system.guards.guard(policy):
            raise Oops("down")


class TestRestart:
    async def test_a_circuit_is_open_for_the_rest_of_its_wait(self, system: Systems, stores: Stores) -> None:
        outage = Outage()
        async with running(system, outage.spec(LONG), store=stores()) as s:
            await trip(s)
            ids = await calls(at(s), 5)
            await advance(100.0)
        await asyncio.sleep(200.0)
        async with running(system, outage.spec(LONG), store=stores()) as s:
            assert LONG.on(s).state == "open"
            await advance(295.0)
            assert outage.tried == []
            outage.dependency.takes = 10.0
            await advance(6.0)
            assert LONG.on(s).state == "half-open"
            assert len(outage.tried) == 1
            outage.dependency.takes = 0.0
            await s.idle()
            assert outage.done == ids

    async def test_one_that_was_half_open_lets_exactly_its_permits_through(
        self, system: Systems, stores: Stores
    ) -> None:
        outage = Outage()
        outage.dependency.takes = 30.0
        specs = [outage.spec(LONG, name=f"w{number}", address=f"w{number}") for number in range(5)]
        async with running(system, *specs, store=stores()) as s:
            await trip(s)
            for number in range(5):
                await calls(at(s, f"w{number}"), 5)
            await advance(601.0)
            assert outage.dependency.now == 2
        async with running(system, *specs, store=stores()) as s:
            await advance(5.0)
            assert outage.dependency.now == outage.dependency.most == 2
            outage.dependency.takes = 0.0
            await s.idle()
            assert len(outage.done) == 25

    async def test_how_often_in_a_row_it_had_opened_is_known(self, system: Systems, stores: Stores) -> None:
        grows = CircuitBreaker("grows", consecutive=1, wait=Backoff(10.0, 1_000.0, jitter="none"), permits=1)
        async with quiet(system, store=stores()) as s:
            await trip(s, grows)
            await advance(10.0)
            await trip(s, grows)  # the probe fails
        async with quiet(system, store=stores()) as s:
            await advance(20.0)
            await trip(s, grows)
            await advance(39.0)
            assert not grows.on(s).lets_through
            await advance(1.0)
            assert grows.on(s).lets_through

    @pytest.mark.parametrize("verb", ["force_open", "disable", "metrics_only"])
    async def test_what_an_operator_has_chosen_stays_and_who_and_why(
        self, system: Systems, stores: Stores, verb: str
    ) -> None:
        async with quiet(system, store=stores()) as s:
            getattr(LONG.on(s), verb)(who="ada", why="a test")
            state = LONG.on(s).state
        for _ in range(2):
            await asyncio.sleep(10_000.0)
            async with quiet(system, store=stores()) as s:
                assert LONG.on(s).state == state != "closed"
                assert LONG.on(s).moved_by == ("ada", "a test")
        async with quiet(system, store=stores()) as s:
            LONG.on(s).automatic(**BY)
        async with quiet(system, store=stores()) as s:
            assert LONG.on(s).state == "closed"

    async def test_one_that_closed_is_closed(self, system: Systems, stores: Stores) -> None:
        outage = Outage()
        async with running(system, outage.spec(LONG), store=stores()) as s:
            await trip(s)
            await calls(at(s), 5)
            await s.idle()
        async with quiet(system, store=stores()) as s:
            assert LONG.on(s).state == "closed"

    async def test_a_wall_clock_that_was_set_back_keeps_it_open_no_longer(
        self, system: Systems, tmp_path: Path
    ) -> None:
        async with quiet(system, store=Sqlite(tmp_path / "jobs.db")) as s:
            s.guards.wall = lambda: 1e10
            await trip(s)
            await settle()
        async with quiet(system, store=Sqlite(tmp_path / "jobs.db")) as s:
            assert LONG.on(s).state == "open"
            await advance(601.0)
            assert LONG.on(s).lets_through


class TestStore:
    async def test_it_is_no_mailbox_for_those_who_count(self, system: Systems, stores: Stores) -> None:
        store = stores()
        async with quiet(system, store=store) as s:
            await trip(s)
            await s.idle()
            await settle()
            assert await store.counts() == {}
            assert await letters(store) == []
            assert await store.read(ADDRESS) is not None

    async def test_many_changes_at_once_are_all_kept(self, system: Systems, stores: Stores) -> None:
        policies = [CircuitBreaker(f"p{number}", consecutive=1, wait=LATER) for number in range(50)]
        async with quiet(system, store=stores()) as s:
            for number, policy in enumerate(policies):
                await trip(s, policy)
                if number % 7 == 0:
                    await settle()
        async with quiet(system, store=stores()) as s:
            assert [policy.on(s).state for policy in policies] == ["open"] * 50

    async def test_a_record_that_nobody_can_read_is_as_none(self, system: Systems, stores: Stores) -> None:
        store = stores()
        async with quiet(system, store=store) as s:
            store.settle(Step(NOBODYS, "save", state=StateWrite(ADDRESS, 0, b"\xc1 no such thing")), lambda _: None)
            await settle()
        async with quiet(system, store=stores()) as s:
            assert LONG.on(s).state == "closed"
            await trip(s)
        async with quiet(system, store=stores()) as s:
            assert LONG.on(s).state == "open"

    async def test_one_policy_whose_record_nobody_can_read_takes_no_other_with_it(
        self, system: Systems, stores: Stores
    ) -> None:
        store = stores()
        async with quiet(system, store=store) as s:
            await trip(s, OTHER)
            await trip(s)
            s.guards.remember("breaker long", msgspec.msgpack.encode({"a": "later version"}))
        async with quiet(system, store=stores()) as s:
            assert (LONG.on(s).state, OTHER.on(s).state) == ("closed", "open")

    async def test_two_systems_on_one_file_lose_nothing_of_each_other(self, system: Systems, tmp_path: Path) -> None:
        policies = [CircuitBreaker(f"p{number}", consecutive=1, wait=LATER) for number in range(10)]
        path = tmp_path / "jobs.db"
        async with quiet(system, store=Sqlite(path)) as one, quiet(system, store=Sqlite(path)) as two:
            for number, policy in enumerate(policies):
                await trip((one, two)[number % 2], policy)
                if number % 3 == 0:
                    await settle()
            await settle()
        async with quiet(system, store=Sqlite(path)) as s:
            assert [policy.on(s).state for policy in policies] == ["open"] * 10

    async def test_the_last_word_of_a_system_that_ends_is_kept_though_another_wrote_before(
        self, system: Systems, tmp_path: Path
    ) -> None:
        path = tmp_path / "jobs.db"
        async with quiet(system, store=Sqlite(path)):
            two = quiet(system, store=Sqlite(path))
            async with two:
                async with quiet(system, store=Sqlite(path)) as three:
                    await trip(three, OTHER)
                await trip(two)
        async with quiet(system, store=Sqlite(path)) as s:
            assert (LONG.on(s).state, OTHER.on(s).state) == ("open", "open")


class TestRedrive:
    async def test_what_was_set_aside_comes_back_when_the_circuit_closes(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        once = Retry(max_attempts=1)
        loose = CircuitBreaker("loose", consecutive=3, wait=LATER, permits=1, slow_start=0)
        async with running(system, outage.spec(loose, order="free", retry=once), store=store) as s:
            store.quarantine.redrive_when_closed("loose")
            outage.dependency.is_down = True
            ids = await calls(at(s), 6)
            await advance(1.0)
            assert [letter.id for letter in await letters(store)] == ids[:2]  # those before it opened
            outage.dependency.is_down = False
            await advance(5.0)
            await s.idle()
            assert sorted(outage.done) == ids
            assert await letters(store) == []

    async def test_another_circuit_brings_nothing_back(self, system: Systems, stores: Stores) -> None:
        outage, store = Outage(), stores()
        async with running(system, outage.spec(retry=Retry(max_attempts=1)), store=store) as s:
            store.quarantine.redrive_when_closed("long")
            outage.dependency.is_down = True
            await calls(at(s), 2)
            await advance(1.0)
            await trip(s, OTHER)
            await advance(10.0)
            for _ in range(3):
                async with s.guards.guard(OTHER):
                    pass
            assert OTHER.on(s).state == "closed"
            await advance(10.0)
            assert len(await letters(store)) == 2


class Caller(Worker):
    """Notes each call in a file, and fails."""

    mailbox = Durable("calls", retry=Retry(max_attempts=2, base=0.01, cap=0.01))
    uses = (CircuitBreaker("child", consecutive=1, wait=Backoff(2.0, 2.0, jitter="none"), permits=1),)

    def __init__(self, path: str) -> None:
        self.path = path

    async def started(self) -> None: ...

    async def note(self, word: str) -> str:
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()} {self.ctx.delivery.attempt}\n")
        raise Oops("down")


async def serve(folder: Path) -> None:
    """As a program: tell one message, once, and serve until killed."""
    tree = supervisor("top", child("a", Caller, str(folder / "calls")))
    async with ActorSystem(tree, store=Sqlite(folder / "jobs.db"), log=None) as s:
        if not (folder / "calls").exists():
            await s.ref("/top/a", Caller).tell_many(Caller.note, ["x"] * 20)
        print("up", flush=True)
        await asyncio.Event().wait()


class TestKilled:
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_a_process_that_is_killed_again_and_again_does_not_hammer(self, tmp_path: Path) -> None:
        loop = asyncio.get_running_loop()
        began, noted = loop.time(), tmp_path / "calls"
        for _ in range(4):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.persistence.test_guard_records", str(tmp_path)],
                cwd=ROOT, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == b"up\n"
            await until(noted.exists)
            await asyncio.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        lines = noted.read_text().splitlines()
        assert len(lines) <= 1 + (loop.time() - began) / 2.0
        assert {line.split()[1] for line in lines} == {"1"}  # and no attempt was used


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
