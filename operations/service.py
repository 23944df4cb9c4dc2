"""A system as a service: started, probed, drained when a signal asks for it, in a program of its own or in another one.

It is the one place that puts health, signals, the notes to a manager and the socket for those who look together; each
of them stands in a room of its own and works alone.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import structlog

from upright.actors.completion import to_its_end
from upright.actors.errors import ActorError, SystemFailed, SystemNotRunning
from upright.actors.exits import Exit, Shutdown
from upright.actors.message import told
from upright.actors.options import seconds
from upright.actors.system import ActorSystem
from upright.persistence.store import Store

from .admin import Admin
from .controls import Controls
from .drain import SHARE, Drain
from .events import ServiceStarted, ServiceStopped
from .health import HealthLimits
from .last_words import LastWords
from .leaving import Leaving
from .notify import Notifier
from .signals import Signals, asking
from .statuses import CLEAN, FAILED
from .until import until
from .watch import Health

T = TypeVar("T")
DRAIN = 25.0
"""Seconds for a drain: inside the thirty that a container has by default, after which it is killed."""
LAST = 1.0
"""Seconds that a server has for leaving, when it is told that the time is over."""
Judge = Callable[[Exception], tuple[int, str]]
"""With what status a service ends that did not come up, and what is said of it."""


def not_up(error: Exception) -> tuple[int, str]:
    """It did not come up: starting it again may help."""
    return FAILED, told(error)


class Service:
    """Runs a system as a service. Use it with `async with` in the lifespan of a web application, or `run` it alone.

    `drain`: seconds in which all of it ends when it is asked to. `limits`: from when on its health is not well.
    `admin`: the path of a socket at which the command line finds it; None for none. `signals`: whether SIGTERM and
    SIGINT make it drain; whoever had them before hears of them too. `health`, `controls`: in place of its own.
    `announces`: whether it has started, and tells so, as soon as its tree is up, or leaves that to `tell_ready`.
    `quiet`: what a drain waits for before the system ends, in place of what runs from its store.

    Inside another server, a drain begins with the signal: nothing new is begun, and `draining` tells streams to end.
    The system ends when the server ends the lifespan, or, if clients hold that up, a little before the time is over;
    then the server is told to leave at once, and if it does not, the process exits as if the signal had killed it. A
    second signal cuts all that short.
    """

    def __init__(
        self, system: ActorSystem, *, drain: float = DRAIN, limits: HealthLimits | None = None,
        admin: str | os.PathLike[str] | None = None, signals: bool = True, health: Health | None = None,
        controls: Controls | None = None, announces: bool = True, quiet: Callable[[], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self.system, self._announces, self._quiet = system, announces, quiet
        self.health = health if health is not None else Health(system, limits)
        """What its probes answer."""
        self._within, self._listens, self._admin_path = seconds("drain", drain), signals, admin
        store = system.store if isinstance(system.store, Store) else None
        own = Controls(system, store, self.health, draining=lambda: self.draining)
        self.controls = controls if controls is not None else own
        """What can be asked of it, by the command line say."""
        self._admin: Admin | None = None
        self._notifier = Notifier()
        self._drain = Drain(system, self.health, self._within, quiet)
        self._last_words = LastWords(system)
        self._signals = Signals(self._heard, chain=True)
        self._leaving = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._began = self._asked = 0.0
        self._up = self._is_let_down = False
        self._status = self._asked_for = CLEAN

    async def start(self) -> Self:
        """Start the system, and what looks after it; nothing is left of a start that fails. One that is asked to end
        before it is up fails. Raises `StartFailed`, `StoreError`s, `SocketRefused`, `SystemNotRunning`.
        """
        if self.system.running:
            raise SystemNotRunning("expected a system that is stopped: this one is running already")
        self._began = time.monotonic()
        self._drain = Drain(self.system, self.health, self._within, self._quiet)
        self._leaving, self._ending, self._asked, self._asked_for = asyncio.Event(), None, 0.0, CLEAN
        self._is_let_down = False
        if self._listens:
            self._signals.install()
        try:
            self.health.start()
            if self._admin_path is not None:
                self._admin = Admin(Path(self._admin_path), self.controls)
                await self._admin.start()
            await self._come_up()
            await self._last_words.start()
        except BaseException:
            await self.stop()
            raise
        self._up = True
        if self._notifier.watchdog_s:
            self.health.beaten.append(self._beat)
        if self._signals.chains:
            self._following = asyncio.get_running_loop().create_task(self._follow(), name="upright service")
        if self._announces:
            self.tell_ready()
        return self

    def tell_ready(self) -> None:
        """It has started, and takes work: its probes say so, and whoever started the process is told."""
        self.health.started = True
        self._notifier.tell("READY=1", "STATUS=running", f"MAINPID={os.getpid()}")
        self.system.bus.emit(ServiceStarted("/", os.getpid(), time.monotonic() - self._began))

    async def _follow(self) -> None:
        """Where the tree gives up, the server that runs this has nothing left to serve: have it leave, so that the
        process ends and is started anew.
        """
        await self.system.wait()
        if not self.draining:
            self._is_let_down = True
            self._begin("its tree has ended")
            self._signals.forward(signal.SIGTERM)
            self._ending = asyncio.get_running_loop().create_task(self._outlast(), name="upright service end")

    async def _come_up(self) -> None:
        """Start the system. A start that is not wanted any more is not waited for."""
        starting = asyncio.ensure_future(self.system.start())
        begun = asyncio.ensure_future(self._drain.begun.wait())
        try:
            await asyncio.wait({starting, begun}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                await self.system.stop(within=0)
        except BaseException:
            starting.cancel()
            await asyncio.wait({starting})
            raise
        finally:
            begun.cancel()
        await starting
        if self.draining:
            self._drain.close_intake()  # once more: a store that is opened takes again

    async def stop(self) -> None:
        """Drain, and end. Again, or before a start: does nothing.

        It is never half done: if the caller is cancelled meanwhile, all of it still ends, and the cancellation is
        raised afterwards.
        """
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(), name="upright service stop")
        try:
            await to_its_end(self._stopping)
        finally:
            self._stopping = None

    async def _stop(self) -> None:
        self._leaving.set()
        asked = self.system.running or (self.draining and not self._is_let_down)
        try:
            if self.system.running:
                if not self.draining:
                    self._begin("it was asked to stop")
                await self._drain.finish()
            if self._ending is not None:
                await asyncio.wait({self._ending})
            exit = await self.system.wait()
        finally:
            await self._close()
        if self._up:
            self._up, self._status = False, self._asked_for if asked or not _gave_up(exit) else FAILED
            took = time.monotonic() - self._asked if self._asked else 0.0
            self.system.bus.emit(ServiceStopped("/", took, self._status))

    def begin_drain(self, why: str = "it was asked to", status: int = CLEAN) -> None:
        """Take no more work from now on; `stop` ends what runs. `status`: with which `run` returns then."""
        self._asked_for = max(self._asked_for, status)
        self._heard(why, 1)

    @property
    def draining(self) -> bool:
        """Whether it takes no more work."""
        return self._drain.begun.is_set()

    @property
    def left(self) -> float:
        """Seconds that are left of the time for its end: all of it before that has begun, none once it was hurried."""
        if not self.draining:
            return self._within
        return 0.0 if self._drain.hurried.is_set() else self._drain.left

    async def wait_draining(self) -> None:
        """Wait until it takes no more work: then end what would go on for ever."""
        await self._drain.begun.wait()

    def until_draining(self, source: AsyncIterable[T]) -> AsyncGenerator[T]:
        """What comes from `source`, until it takes no more work: for streams to clients, who would hold the end up."""
        return until(self._drain.begun, source)

    async def run(self, judge: Judge = not_up) -> int:
        """Start it, serve until it is asked to stop or gives up, and return the status to exit with: 0 after a drain,
        1 if it gave up, and what `judge` says if it did not come up, 1 by default.
        """
        self._signals = Signals(self._heard, chain=False, wanted=asking())
        try:
            await self.start()
        except (ActorError, OSError) as error:
            if self.draining:  # it was asked to end before it was up
                return self._asked_for
            status, text = judge(error)
            structlog.get_logger("upright").error("service.refused", error=type(error).__name__, error_text=text)
            return status
        waits = [asyncio.ensure_future(wait) for wait in (self.system.wait(), self._drain.begun.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await self.stop()
        return self._status

    def _begin(self, why: str) -> None:
        if not self.draining:
            self._asked = time.monotonic()
            self._notifier.tell("STOPPING=1", "STATUS=draining")
            self._drain.begin(why)

    def _heard(self, why: str, number: int) -> None:
        """Somebody asks it to end, for that many times."""
        if number > 1:
            self._drain.hurry(f"{why}, again")
            return
        self._begin(why)
        if self._signals.count and self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._outlast(), name="upright service end")

    async def _outlast(self) -> None:
        """Be done in time, also where the server that runs this waits for clients that never go."""
        hurried = self._drain.hurried
        await self._leaves(self._within * SHARE, hurried)
        await self._drain.finish()
        if await self._leaves(self._drain.left - min(LAST, self._within / 10), hurried):
            return
        for _ in range(2):  # uvicorn leaves at once at its second SIGINT
            self._signals.forward(signal.SIGINT)
        if not await self._leaves(LAST):  # from Python 3.12 on its server waits even then for whoever is connected
            asyncio.get_running_loop().call_soon(_leave, 128 + (self._signals.first or signal.SIGTERM))

    async def _leaves(self, within: float, *sooner: asyncio.Event) -> bool:
        """Whether the server that runs this lets go of it within so many seconds, or until one of the events."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._leaving, *sooner)]
        try:
            await asyncio.wait(waits, timeout=max(within, 0.0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._leaving.is_set()

    def _beat(self) -> None:
        if self.health.live().ok:
            self._notifier.tell("WATCHDOG=1")

    async def _close(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        self._signals.restore()
        if self._beat in self.health.beaten:
            self.health.beaten.remove(self._beat)
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.stop()
        await self._last_words.stop()
        await self.health.stop()
        if self.system.running:
            await self.system.stop()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = await self.system.wait() if not self.system.running else None
        await self.stop()
        if ended is not None and _gave_up(ended) and (error is None or isinstance(error, ActorError)):
            raise SystemFailed(ended.why if isinstance(ended, Shutdown) else "") from error


def _leave(status: int) -> None:
    """Ends the loop: what runs on it is cancelled, and the process exits."""
    raise SystemExit(status)


def _gave_up(exit: Exit) -> bool:
    return isinstance(exit, Shutdown) and exit.gave_up


def run(
    system: ActorSystem, *, drain: float = DRAIN, limits: HealthLimits | None = None,
    admin: str | os.PathLike[str] | None = None,
) -> int:  # fmt: skip
    """Run a system as a service, from a plain script: `sys.exit(run(ActorSystem(tree, store=store)))`.

    Returns when SIGTERM, SIGINT or SIGHUP has made it drain, or when its tree gave up; see `Service.run` for the
    status. It is for the main thread of a process that is there for this alone: threads that have not ended a second
    after that, and when the time of the drain is over, are left behind, and the process ends with that status. It
    configures no log: see `configure_logs`.
    """
    leaving = Leaving(drain)

    async def serve() -> int:
        service = Service(system, drain=drain, limits=limits, admin=admin)
        try:
            return await service.run()
        finally:
            leaving.within = service.left

    return leaving.run(serve())
