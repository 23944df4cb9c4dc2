"""What looks after the health of a service sees what is there, tells each change once, and leaves nothing behind."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.operations.bank import SMTP, Clerk, Ledger, Quiet, system_on
from tests.operations.watching import beat, heard, watched, why
from upright.actors import Actor, ActorSystem
from upright.actors.events import SystemGaveUp, ZombieDetached
from upright.operations import Check, Health, HealthChanged, HealthLimits, watch
from upright.persistence import Memory, Sqlite, Store, StoreUnavailable
from upright.persistence.events import MailboxOpened, MailboxParked, StoreFailing
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio
Made = Callable[[], Store | None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.01)
    monkeypatch.setattr(watch, "LOOK", 0.01)


@pytest.fixture(params=["memory", "sqlite", "none"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A store of each kind."""
    kinds: dict[str, Made] = {"memory": Memory, "sqlite": lambda: Sqlite(tmp_path / "jobs.db"), "none": lambda: None}
    return kinds[request.param]


def some(store: Store | None) -> ActorSystem:
    """The bank, if there is a store for it; else a ledger alone."""
    return system_on(store, None if store is not None else supervisor("bank", child("ledger", Ledger)))


class Failing:
    """A probe of a store that fails as the test says."""

    def __init__(self, store: Store) -> None:
        self.error: Exception | None = None
        self.asked = 0
        self._probe = store.probe
        store.probe = self.probe  # type: ignore[method-assign]

    async def probe(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await self._probe()


def blocking_the_loop(held: threading.Event, gate: threading.Event) -> None:
    held.set()
    gate.wait(60)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opens at the end, however the test ends."""
    gate = threading.Event()
    yield gate
    gate.set()


async def test_a_system_is_well_with_any_store_or_none(made: Made) -> None:
    async with watched(some(made())) as health:
        await beat(health, lambda: health.report().status == "ok")
        assert all(report.ok for report in (health.startup(), health.live(), health.ready()))


async def test_while_the_loop_is_held_up_it_is_told_for_how_long_and_by_which_function(gate: threading.Event) -> None:
    async with watched(ActorSystem(log=None, blocked_after=None), HealthLimits(silent=0.2)) as health:
        held, seen = threading.Event(), list[str]()

        def look() -> None:
            held.wait(60)
            first = health.findings().silent_s
            while health.live().ok:
                time.sleep(0.01)
            seen.append(health.live().why)
            assert health.findings().silent_s > first
            assert not health.ready().ok
            gate.set()

        looking = threading.Thread(target=look)
        looking.start()
        blocking_the_loop(held, gate)
        looking.join(60)
        assert "in blocking_the_loop" in seen[0]
        assert "has not answered for" in seen[0]
        await beat(health, lambda: health.live().ok)


@pytest.mark.parametrize("error", [StoreUnavailable("the disk is full"), RuntimeError("the disk is full")])
async def test_a_store_that_fails_is_not_ready_until_it_has_recovered(tmp_path: Path, error: Exception) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    failing, system = Failing(store), system_on(store)

    def break_it() -> None:
        failing.error = error

    def mend_it() -> None:
        failing.error = None

    async with watched(system) as health:
        told = await heard(system, HealthChanged, break_it)
        assert (told.probe, told.ok) == ("ready", False)
        assert "the disk is full" in told.why
        assert health.live().ok
        told = await heard(system, HealthChanged, mend_it)
        assert (told.probe, told.ok, told.why) == ("ready", True, "")


async def test_a_store_that_does_not_answer_is_not_ready_and_at_last_not_alive(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.Event().wait()

    store.probe = never  # type: ignore[method-assign]
    async with watched(system_on(store), HealthLimits(store=0.1, store_dead=0.4)) as health:
        await asked.wait()
        assert health.ready().ok
        await beat(health, lambda: not health.ready().ok)
        await beat(health, lambda: not health.live().ok)
        assert "store process: it has not answered for" in health.live().why


async def test_a_store_that_says_no_has_answered_so_a_full_disk_restarts_nothing(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.Event().wait()

    store.probe = never  # type: ignore[method-assign]
    system = system_on(store)
    async with watched(system, HealthLimits(store=0.1, store_dead=0.4)) as health:
        await asked.wait()
        await beat(health, lambda: health.findings().store_s > 0.3)
        system.bus.emit(StoreFailing("/", "disk full"))
        assert health.findings().store_s < 0.3


async def test_a_change_is_told_once_and_the_start_and_the_end_are_none() -> None:
    system, told = some(None), list[tuple[str, bool]]()
    system.subscribe(lambda event: told.append((event.probe, event.ok)), HealthChanged)
    flaw: list[Check] = []
    async with watched(system, more=lambda: flaw) as health:
        await beat(health, lambda: health.ready().ok)
        flaw.append(Check("part", "failed", "broken"))
        for _ in range(3):
            await beat(health, lambda: not health.ready().ok)
        flaw.clear()
        for _ in range(3):
            await beat(health, lambda: health.ready().ok)
    assert told == [("ready", False), ("ready", True)]


async def test_a_part_that_cannot_look_is_not_well_and_the_heart_beats_on() -> None:
    def more() -> list[Check]:
        raise LookupError("no such part")

    async with watched(some(None), more=more) as health:
        await beat(health, lambda: "no such part" in why(health, "more"))
        await beat(health, lambda: not health.ready().ok)
        assert health.live().ok


async def test_an_open_circuit_is_degraded_and_named_until_it_is_closed() -> None:
    system = some(None)
    async with watched(system) as health:
        SMTP.on(system).force_open(who="ada", why="a test")
        await beat(health, lambda: why(health, "guards") == "not closed: smtp forced-open")
        assert health.ready().ok
        SMTP.on(system).automatic(who="ada", why="a test")
        await beat(health, lambda: why(health, "guards") == "")


async def test_a_parked_mailbox_is_degraded_until_it_is_opened_and_a_new_start_knows_nothing_of_it() -> None:
    system = system_on(Memory())
    async with watched(system) as health:
        system.bus.emit(MailboxParked("/bank/clerk", "clerk", 5.0))
        assert (why(health, "mailboxes"), health.ready().ok) == ("parked: clerk", True)
        system.bus.emit(MailboxOpened("/bank/clerk", "clerk"))
        assert why(health, "mailboxes") == ""
        system.bus.emit(MailboxParked("/bank/clerk", "clerk", 5.0))
    health.start()
    assert why(health, "mailboxes") == ""
    await health.stop()


class Stubborn(Actor):
    def __init__(self, gate: asyncio.Event) -> None:
        self._gate = gate

    async def hang(self) -> None:
        while not self._gate.is_set():
            try:
                await self._gate.wait()
            except asyncio.CancelledError:
                continue


async def test_a_zombie_is_degraded() -> None:
    system, free = ActorSystem(log=None, grace=0.01, dead_letters=Quiet), asyncio.Event()
    async with watched(system) as health:
        ref = await system.spawn("stubborn", Stubborn, free)
        await ref.tell(Stubborn.hang)
        try:
            await heard(system, ZombieDetached, lambda: asyncio.ensure_future(system.kill(ref)))
            await beat(health, lambda: why(health, "zombies").startswith("1 swallowed"))
            assert health.ready().ok
        finally:
            free.set()


async def test_a_system_that_gave_up_is_not_alive() -> None:
    system = ActorSystem(supervisor("bank", child("ledger", Ledger), max_restarts=0), log=None, dead_letters=Quiet)
    health = Health(system)
    health.start()
    try:
        await system.start()
        health.started = True
        ledger = system.ref("/bank/ledger", Ledger)
        gave_up = asyncio.ensure_future(heard(system, SystemGaveUp))
        await asyncio.sleep(0)
        await system.kill(ledger)
        await gave_up
        assert "it gave up" in health.live().why
        await system.wait()
        assert not health.live().ok
    finally:
        await health.stop()


async def test_after_the_end_nothing_is_left_and_nobody_is_taken_for_dead(made: Made) -> None:
    store = made()
    system = some(store)
    async with watched(system, HealthLimits(silent=0.05)) as health:
        await beat(health, lambda: True)
    assert not system.bus.wants(MailboxParked)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "upright health"]
    time.sleep(0.1)  # which would be silence, if somebody still listened
    assert health.live().ok
    assert not health.startup().ok


async def test_it_may_be_started_again(made: Made) -> None:
    system = some(made())
    health = Health(system)
    for _ in range(2):
        health.start()
        async with system:
            health.started = True
            await beat(health, lambda: health.report().status == "ok")
        await health.stop()


async def test_what_waits_in_the_store_counts_against_the_high_water_mark(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    system = system_on(store)
    async with watched(system, HealthLimits(high_water=1)) as health:
        await beat(health, lambda: health.ready().ok)
        store.stop_intake()
        await system.ref("/bank/clerk", Clerk).tell(Clerk.pay, "ada", 1)
        await store.look(None)
        await beat(health, lambda: why(health, "backlog") == "1 messages wait, of 1 at most")
