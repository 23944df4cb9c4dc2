"""What a service tells of itself, as events on the bus of its system. `path` is `/`."""

import logging
from typing import ClassVar

from upright.actors.events import Event


class ServiceStarted(Event, frozen=True):
    """Its tree is up, or that of its first worker, and it takes work. `took_s`: since it was asked to."""

    name: ClassVar[str] = "service.started"
    level: ClassVar[int] = logging.INFO
    pid: int
    took_s: float


class ServiceDraining(Event, frozen=True):
    """It takes no new work, and ends within `within_s`. `why`: a signal, say."""

    name: ClassVar[str] = "service.draining"
    level: ClassVar[int] = logging.INFO
    why: str
    within_s: float


class ServiceHurried(Event, frozen=True):
    """What still runs is cancelled: a second signal came, or the time was up."""

    name: ClassVar[str] = "service.hurried"
    level: ClassVar[int] = logging.WARNING
    why: str


class ServiceStopped(Event, frozen=True):
    """All of it has ended. `took_s`: since it was asked to. `status`: with which the process exits."""

    name: ClassVar[str] = "service.stopped"
    level: ClassVar[int] = logging.INFO
    took_s: float
    status: int


class HealthChanged(Event, frozen=True):
    """A probe answers otherwise than before. `probe`: `startup`, `live` or `ready`. `why`: "" where it is well."""

    name: ClassVar[str] = "health.changed"
    level: ClassVar[int] = logging.WARNING
    probe: str
    ok: bool
    why: str


class WorkerStarted(Event, frozen=True):
    """A worker process was started. `worker`: its number."""

    name: ClassVar[str] = "worker.started"
    level: ClassVar[int] = logging.INFO
    worker: int
    pid: int


class WorkerReady(Event, frozen=True):
    """A worker process has its tree up."""

    name: ClassVar[str] = "worker.ready"
    level: ClassVar[int] = logging.INFO
    worker: int
    pid: int


class WorkerEnded(Event, frozen=True):
    """A worker process has ended unasked. `how`: its status or signal. `lived_s`: how long it lived."""

    name: ClassVar[str] = "worker.ended"
    level: ClassVar[int] = logging.ERROR
    worker: int
    pid: int
    how: str
    lived_s: float


class WorkerHung(Event, frozen=True):
    """A worker process gave no sign of life for that long, and is killed."""

    name: ClassVar[str] = "worker.hung"
    level: ClassVar[int] = logging.ERROR
    worker: int
    pid: int
    silent_s: float
