"""A service comes up as a whole or leaves nothing, ends as a whole, and says with a status how it went."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operations.bank import Clerk, Ledger, Quiet, system_on
from tests.operations.notes import first_lines, managing
from tests.operations.watching import BOUND, beat, heard
from upright.actors import Actor, ActorError, ActorSystem, Exit, StartFailed, SystemFailed, SystemNotRunning
from upright.actors.events import ActorSpawned
from upright.operations import Service, ServiceDraining, ServiceStarted, ServiceStopped, SocketRefused, call, watch
from upright.persistence import Memory, Sqlite, StoreError, StoreUnavailable
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio
ENDING = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a service does, the handlers of signals are afterwards what they were."""
    monkeypatch.setattr(watch, "BEAT", 0.01)
    held = [signal.getsignal(number) for number in ENDING]
    yield
    found = [signal.getsignal(number) for number in ENDING]
    for number, handler in zip(ENDING, held, strict=True):
        signal.signal(number, handler)
    assert found == held


class Broken(Actor):
    async def started(self) -> None:
        raise LookupError("no config")


class Slow(Actor):
    """Is never up."""

    async def started(self) -> None:
        await asyncio.Event().wait()


class Held(Actor):
    """Ends when the test lets it."""

    def __init__(self, gate: asyncio.Event) -> None:
        self._gate = gate

    async def stopping(self, reason: Exit) -> None:
        await self._gate.wait()


class Brief(Actor):
    async def leave(self) -> None:
        self.ctx.stop()


def system_of(*children: Any, store: Any = None, **options: Any) -> ActorSystem:
    chosen: dict[str, Any] = {"max_restarts": 0, **options}
    tree = supervisor("top", *children, **chosen)
    return ActorSystem(tree, store=store, log=None, dead_letters=Quiet)


async def spawned(system: ActorSystem, path: str) -> None:
    """Return when there is an actor at that path, which is not up yet."""
    found = asyncio.Event()

    def look(event: ActorSpawned) -> None:
        if event.path == path:
            found.set()

    system.subscribe(look, ActorSpawned)
    await asyncio.wait_for(found.wait(), BOUND)


def left_of(system: ActorSystem, admin: Path) -> list[str]:
    """What is left of a service that has ended."""
    found = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("upright")]
    if system.running:
        found.append("the system")
    if admin.exists():
        found.append("the socket")
    if system.store is not None and system.store.is_open:  # type: ignore[attr-defined]
        found.append("the store")
    return found


class TestStart:
    @pytest.fixture
    def admin(self, tmp_path: Path) -> Path:
        return tmp_path / "upright.sock"

    @pytest.mark.parametrize("how", ["run", "start"])
    @pytest.mark.parametrize("why", ["an actor", "the store", "the socket", "the folder"])
    async def test_a_start_that_fails_leaves_nothing_and_ends_with_1(
        self, tmp_path: Path, admin: Path, why: str, how: str
    ) -> None:
        errors = {
            "an actor": StartFailed,
            "the store": StoreError,
            "the socket": SocketRefused,
            "the folder": SocketRefused,
        }
        store = Sqlite(tmp_path if why == "the store" else tmp_path / "jobs.db")
        broken = child("broken", Broken if why == "an actor" else Ledger)
        system = system_of(child("clerk", Clerk), broken, store=store)
        if why == "the socket":
            admin.write_text("a file of somebody")
        if why == "the folder":
            admin = tmp_path / "nowhere" / "upright.sock"
        service = Service(system, admin=admin)
        if how == "run":
            assert await service.run() == 1
        else:
            with pytest.raises(errors.get(why, SocketRefused)):
                await service.start()
        assert left_of(system, admin) == (["the socket"] if why == "the socket" else [])

    async def test_a_store_that_another_system_has_open_is_an_error_of_the_start(self) -> None:
        store = Memory()
        async with system_on(store):
            with pytest.raises(StoreUnavailable):
                await Service(system_on(store)).start()

    async def test_a_second_start_is_refused_and_harms_nobody(self, admin: Path) -> None:
        system = system_of(child("ledger", Ledger))
        service = Service(system, admin=admin)
        async with service:
            with pytest.raises(SystemNotRunning, match="running already"):
                await service.start()
            assert not service.draining
            assert service.health.ready().ok
            assert (await call(admin, "health"))["health"]["ok"]

    async def test_it_may_be_started_again_in_one_process(self, tmp_path: Path, admin: Path) -> None:
        service = Service(system_on(Sqlite(tmp_path / "jobs.db")), admin=admin)
        for _ in range(2):
            async with service:
                assert not service.draining
                await beat(service.health, lambda: service.health.ready().ok)
                assert (await call(admin, "health"))["health"]["ok"]
            assert left_of(service.system, admin) == []
        await service.stop()

    @pytest.mark.parametrize("how", ["run", "start"])
    @pytest.mark.parametrize("where", ["/", "/top/slow"])
    async def test_asked_to_end_before_it_is_up_it_waits_for_nobody(
        self, tmp_path: Path, admin: Path, how: str, where: str
    ) -> None:
        system = system_of(child("slow", Slow), store=Sqlite(tmp_path / "jobs.db"))
        service = Service(system, admin=admin)
        begun = asyncio.ensure_future(spawned(system, where))
        await asyncio.sleep(0)
        starting = asyncio.ensure_future(service.run() if how == "run" else service.start())
        await begun
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait({starting}, timeout=BOUND)
        if how == "run":
            assert starting.result() == 0
        else:
            assert isinstance(starting.exception(), ActorError)
        assert left_of(system, admin) == []

    async def test_asked_to_end_before_it_is_up_with_a_status_it_ends_with_that(self, admin: Path) -> None:
        system = system_of(child("slow", Slow))
        service = Service(system, admin=admin)
        begun = asyncio.ensure_future(spawned(system, "/top/slow"))
        await asyncio.sleep(0)
        starting = asyncio.ensure_future(service.run())
        await begun
        service.begin_drain("it cannot run", 2)
        assert await asyncio.wait_for(starting, BOUND) == 2

    @pytest.mark.parametrize("where", ["/", "/top/slow"])
    async def test_a_start_whose_caller_is_cancelled_leaves_nothing(
        self, tmp_path: Path, admin: Path, where: str
    ) -> None:
        system = system_of(child("slow", Slow), store=Sqlite(tmp_path / "jobs.db"))
        begun = asyncio.ensure_future(spawned(system, where))
        await asyncio.sleep(0)
        starting = asyncio.ensure_future(Service(system, admin=admin).start())
        await begun
        starting.cancel()
        await asyncio.wait({starting}, timeout=BOUND)
        assert starting.cancelled()
        assert left_of(system, admin) == []


class TestEnd:
    @pytest.mark.parametrize("number", ENDING)
    async def test_a_signal_makes_it_drain_and_end_with_0(self, number: signal.Signals) -> None:
        system, told = system_of(child("ledger", Ledger)), list[Any]()
        system.subscribe(told.append, ServiceDraining, ServiceStopped)
        up = asyncio.ensure_future(heard(system, ServiceStarted))
        await asyncio.sleep(0)
        running = asyncio.ensure_future(Service(system).run())
        await up
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(running, BOUND) == 0
        assert [event.name for event in told] == ["service.draining", "service.stopped"]
        assert (told[0].why, told[1].status) == (number.name, 0)

    async def test_a_tree_that_ends_by_itself_ends_it_with_0(self) -> None:
        brief = child("brief", Brief).options(restart="transient", significant=True)
        system = system_of(brief, auto_shutdown="all_significant")
        up = asyncio.ensure_future(heard(system, ServiceStarted))
        await asyncio.sleep(0)
        running = asyncio.ensure_future(Service(system).run())
        await up
        await system.ref("/top/brief", Brief).tell(Brief.leave)
        assert await asyncio.wait_for(running, BOUND) == 0

    async def test_a_tree_that_gives_up_ends_it_with_1(self) -> None:
        system, told = system_of(child("ledger", Ledger)), list[Any]()
        system.subscribe(told.append, ServiceStopped)
        up = asyncio.ensure_future(heard(system, ServiceStarted))
        await asyncio.sleep(0)
        running = asyncio.ensure_future(Service(system).run())
        await up
        await system.kill(system.ref("/top/ledger", Ledger))
        assert await asyncio.wait_for(running, BOUND) == 1
        assert [event.status for event in told] == [1]

    @pytest.mark.parametrize("error", [None, StoreUnavailable("closed"), ZeroDivisionError("mine")])
    async def test_as_a_block_one_that_gave_up_raises_so_but_hides_no_error_of_another_kind(
        self, error: Exception | None
    ) -> None:
        system = system_of(child("ledger", Ledger))
        with pytest.raises(ZeroDivisionError if isinstance(error, ZeroDivisionError) else SystemFailed):
            async with Service(system):
                await system.kill(system.ref("/top/ledger", Ledger))
                await system.wait()
                if error is not None:
                    raise error

    async def test_as_a_block_it_tells_that_it_has_stopped_too_and_once(self) -> None:
        system, told = system_of(child("ledger", Ledger)), list[Any]()
        system.subscribe(told.append, ServiceStopped)
        async with Service(system) as service:
            pass
        await service.stop()
        assert [(event.status, event.took_s > 0) for event in told] == [(0, True)]

    async def test_whoever_is_cancelled_while_it_ends_still_leaves_nothing(self, tmp_path: Path) -> None:
        gate, admin = asyncio.Event(), tmp_path / "upright.sock"
        system = system_of(child("held", Held, gate), store=Sqlite(tmp_path / "jobs.db"))
        service = Service(system, admin=admin)
        await service.start()
        stopping = asyncio.ensure_future(service.stop())
        await service.wait_draining()
        for _ in range(3):
            stopping.cancel()
            await asyncio.sleep(0)
        assert not stopping.done()
        gate.set()
        await asyncio.wait({stopping}, timeout=BOUND)
        assert stopping.cancelled()
        assert left_of(system, admin) == []

    async def test_stopped_by_two_at_once_or_before_a_start_it_ends_once(self, tmp_path: Path) -> None:
        service = Service(system_of(child("ledger", Ledger)))
        await service.stop()
        await service.start()
        await asyncio.gather(service.stop(), service.stop())
        assert left_of(service.system, tmp_path / "none") == []

    async def test_a_drain_that_is_asked_for_in_the_program_ends_it_with_0(self) -> None:
        system = system_of(child("ledger", Ledger))
        up = asyncio.ensure_future(heard(system, ServiceStarted))
        await asyncio.sleep(0)
        service = Service(system, signals=False)
        running = asyncio.ensure_future(service.run())
        await up
        service.begin_drain("deploy")
        service.begin_drain("deploy")
        assert await asyncio.wait_for(running, BOUND) == 0


class TestNotes:
    @pytest.mark.parametrize("abstract", [False, True])
    async def test_it_tells_that_it_is_ready_lives_and_stops(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
    ) -> None:
        with managing(tmp_path, monkeypatch, abstract, watchdog_s=5.0) as manager:
            async with Service(system_of(child("ledger", Ledger))) as service:
                assert manager.hear().split("\n")[0] == "READY=1"
                assert f"MAINPID={os.getpid()}" in manager.said[0]
                for _ in range(2):
                    await beat(service.health, lambda: True)
            manager.rest()
            assert first_lines(manager.said)[:3] == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
            assert sum("STOPPING" in one for one in manager.said) == 1

    async def test_while_it_is_not_alive_it_gives_no_sign_of_life(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with managing(tmp_path, monkeypatch, watchdog_s=5.0) as manager:
            async with Service(system_of(child("ledger", Ledger))) as service:
                await beat(service.health, lambda: True)
                await beat(service.health, lambda: True)
                assert "WATCHDOG=1" in manager.rest()
                service.health._gave_up = "for a test"
                await beat(service.health, lambda: not service.health.live().ok)
                manager.rest()
                for _ in range(3):
                    await beat(service.health, lambda: True)
                assert manager.rest() == []

    async def test_where_nobody_watches_it_gives_no_sign_of_life(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with managing(tmp_path, monkeypatch) as manager:
            async with Service(system_of(child("ledger", Ledger))) as service:
                await beat(service.health, lambda: True)
            manager.rest()
            assert first_lines(manager.said) == ["READY=1", "STOPPING=1"]

    async def test_a_start_that_fails_is_never_ready(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with managing(tmp_path, monkeypatch) as manager:
            assert await Service(system_of(child("broken", Broken))).run() == 1
            assert manager.rest() == []
            assert isinstance(manager._listening, socket.socket)
