"""Running a tree as a service from a command line: one process, or several below a parent."""

import asyncio
import errno
import faulthandler
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Literal

import msgspec
import structlog

from upright.actors.event_log import EventLog
from upright.actors.message import told
from upright.actors.ports import Startable
from upright.actors.system import ActorSystem
from upright.persistence.errors import NoStore

from .crew import Crew
from .endpoints import Metrics
from .errors import SocketRefused
from .health import HealthLimits
from .health_server import AddressInUse, HealthServer
from .leaving import Leaving
from .leaving import status_of as raised
from .logs import configure_logs
from .notify import Notifier
from .service import Service
from .statuses import FAILED, USAGE
from .store_from import store_from
from .tree_from import NoTree, tree_from
from .user_stack import user_stack
from .watch import Health
from .worker_health import HealthNotes
from .workers import Workers

LEAD = 2.0
"""Seconds by which workers have to be done before their parent."""
LoopKind = Literal["asyncio", "uvloop"]
LogFormat = Literal["auto", "json", "text"]


class Launch(msgspec.Struct, frozen=True):
    """How to run a service.

    `tree`: the module and the name in it. `store`: see `store_from`; None for none. `workers`: how many processes below
    a parent; None for this one alone. `health`: where probes are answered, as `address_of` reads it; None for nowhere.
    `admin`: the path of the socket for the command line; "" for none. `drain`: seconds. `high_water`: messages that
    wait, see `HealthLimits`.
    """

    tree: str
    store: str | None = None
    workers: int | None = None
    health: str | None = None
    admin: str = "upright.sock"
    drain: float = 25.0
    high_water: int | None = None
    log_level: str = "info"
    log_format: LogFormat = "auto"
    loop: LoopKind = "asyncio"

    @property
    def level(self) -> int:
        """The level of the log, as a number of `logging`."""
        known = logging.getLevelNamesMapping()
        if self.log_level.upper() not in known:
            raise ValueError(f"expected log_level to be one of {', '.join(known).lower()}, got {self.log_level!r}")
        return known[self.log_level.upper()]


class Raised(Exception):
    """Something was raised that says nothing of how it was called; it is the cause."""


class TreeRaised(Raised):
    """The user's program raised, when it was asked for its tree."""


def launch(wanted: Launch) -> int:
    """Run it until it is asked to end, and return the status to exit with: 0 after a drain; 1 if it gave up or did not
    come up, which another start may mend; 2 if it cannot run as it was called, and would not the next time.
    """
    json = {"auto": None, "json": True, "text": False}[wanted.log_format]
    configure_logs(json=json)
    log, leaving = structlog.get_logger("upright"), Leaving(wanted.drain, status_of)
    try:
        configure_logs(wanted.level, json=json)
        factory = loop_factory(wanted.loop)
        serving = _parent(wanted, leaving) if wanted.workers is not None else _single(wanted, leaving)
        return leaving.run(serving, factory)
    except (ValueError, AddressInUse) as error:
        log.error("service.refused", error=type(error).__name__, error_text=told(error))
        return status_of(error)
    except SystemExit as end:  # of a handler, say, and none of what a service ends with in an orderly way
        log.error("service.failed", error="SystemExit", error_text=told(end))
        return status_of(end)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it goes where all else goes, in the same form
        found = error.__cause__ if isinstance(error, Raised) and error.__cause__ is not None else error
        stack = user_stack(found) if isinstance(error, TreeRaised) else "".join(traceback.format_exception(found))
        event = "service.refused" if status_of(error) == USAGE else "service.failed"
        log.error(event, error=type(found).__name__, error_text=told(found), stack=stack)
        return status_of(error)


def status_of(error: BaseException) -> int:
    """With what status it ends where that was raised: 2 where another start would not help."""
    if isinstance(error, TreeRaised):
        return USAGE if isinstance(error.__cause__, SyntaxError | ModuleNotFoundError) else FAILED
    return USAGE if isinstance(error, ValueError) else raised(error)


def judge(error: Exception) -> tuple[int, str]:
    """With what status it ends where it does not come up, and what is said: 2 where another start would not help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NoStore):
            return USAGE, f"{told(cause)}; add --store FILE"
        cause = cause.__cause__
    cause = error.__cause__
    is_too_long = isinstance(cause, OSError) and cause.errno in (None, errno.ENAMETOOLONG)  # None: Python found it out
    return USAGE if isinstance(error, SocketRefused) and is_too_long else FAILED, told(error)


def loop_factory(kind: LoopKind) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes event loops of that kind. Raises `ValueError` where it is not installed."""
    if kind == "asyncio":
        return None
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError as error:
        raise ValueError('expected uvloop to be installed: pip install "upright[uvloop]"') from error
    return factory


def address_of(text: str) -> tuple[str, int]:
    """The host and the port of `8080` (on this machine alone), `:8080` (on all addresses), `0.0.0.0:8080` or
    `[::1]:8080`. Raises `ValueError`.

    >>> address_of("8080"), address_of(":8080"), address_of("[::1]:0")
    (('127.0.0.1', 8080), ('', 8080), ('::1', 0))
    """
    host, colon, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"expected an address such as 8080, :8080 or 127.0.0.1:8080, got {text!r}")
    return (host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"), int(port)


def _tree(text: str) -> Startable:
    try:
        return tree_from(text)
    except (NoTree, SystemExit, KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:  # whatever it is, it is one line of the log
        raise TreeRaised(text) from error


async def _single(wanted: Launch, leaving: Leaving) -> int:
    tree = _tree(wanted.tree)
    store = store_from(wanted.store) if wanted.store is not None else None
    system = ActorSystem(tree, store=store, log=EventLog(wanted.level))
    service = Service(
        system, drain=wanted.drain, limits=HealthLimits(high_water=wanted.high_water), admin=wanted.admin or None
    )
    if "UPRIGHT_WORKER" in os.environ:
        faulthandler.enable()
        _follow_parent(service)
        HealthNotes(service.health, Notifier()).start()
        service.controls.metrics = metrics_of(system, service.health)
    try:
        return await _serve(
            service.health, lambda: service.run(judge), wanted, lambda: metrics_of(system, service.health)
        )
    finally:
        leaving.within = service.left


async def _parent(wanted: Launch, leaving: Leaving) -> int:
    if wanted.workers is not None and wanted.workers > 1 and wanted.store == "memory:":
        raise ValueError("expected a store that several processes share, got memory:")
    file = getattr(store_from(wanted.store), "path", None) if wanted.store is not None else None
    patience = max(wanted.drain - LEAD, wanted.drain / 2)
    crew = Crew(worker_command(wanted, patience), wanted.workers or 1, patience=patience, environment=_environment())
    store = None if file is None else str(file)
    workers = Workers(crew, drain=wanted.drain, admin=wanted.admin or None, store=store)
    try:
        return await _serve(workers.health, lambda: workers.run(judge), wanted, lambda: metrics_of_workers(workers))
    finally:
        leaving.within = workers.service.left


async def _serve(
    health: Health, run: Callable[[], Awaitable[int]], wanted: Launch, metrics: Callable[[], Metrics | None]
) -> int:
    if wanted.health is None:
        return await _run(run)
    host, port = address_of(wanted.health)
    server = HealthServer(health, host, port, metrics())
    server.start()
    try:
        return await _run(run)
    finally:
        server.stop()


async def _run(run: Callable[[], Awaitable[int]]) -> int:
    """What is raised from now on is not of how it was called."""
    try:
        return await run()
    except Exception as error:
        raise Raised("while it ran") from error


def metrics_of(system: ActorSystem, health: Health) -> Metrics | None:
    """The metrics of a system; None where what makes them is not installed."""
    if find_spec("prometheus_client") is None:
        return None
    from .metrics import Metrics as OfSystem

    return OfSystem(system, health)


def metrics_of_workers(workers: Workers) -> Metrics | None:
    """The metrics of a parent and its workers; None where what makes them is not installed."""
    if find_spec("prometheus_client") is None:
        return None
    from .worker_metrics import WorkerMetrics

    return WorkerMetrics(workers.system, workers.health, workers.crew)


def worker_command(wanted: Launch, drain: float) -> list[str]:
    """How a worker is called: as its parent, but for what only one of them can have."""
    command = [sys.executable, "-m", "upright.command", "run", wanted.tree, "--admin", "{admin}"]
    command += ["--drain", f"{drain:g}", "--log-level", wanted.log_level, "--log-format", wanted.log_format]
    command += ["--loop", wanted.loop]
    if wanted.store is not None:
        command += ["--store", wanted.store]
    if wanted.high_water is not None:
        command += ["--high-water", str(wanted.high_water)]
    return command


def _environment() -> dict[str, str]:
    """The environment of workers: without what is meant for the parent alone."""
    ours = ("UPRIGHT_ADMIN", "UPRIGHT_HEALTH", "UPRIGHT_WORKERS", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in ours}


def _follow_parent(service: Service) -> None:
    """End when the parent does: its end of the pipe that is our standard input is closed then, however it died."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(0, 4_096):
            loop.remove_reader(0)
            service.begin_drain("its parent has gone")

    loop.add_reader(0, readable)
