"""The metrics of a service of several processes: those of its parent, and of each worker with its number as a label.

Prometheus sees one address. Workers are asked over their sockets, from the thread that answers it; one that does not
answer in time is left out. Needs `upright[metrics]`.
"""

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, exposition
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from upright.actors.system import ActorSystem

from .crew import Crew
from .events import WorkerEnded, WorkerHung
from .metrics import Metrics
from .watch import Health

PATIENCE = 1.0
"""Seconds that workers have to answer."""
AT_ONCE = 16
"""Workers that are asked at once."""


class WorkerMetrics:
    """The metrics of a parent, whose `system`, `health` and `crew` these are. Call it for the text."""

    def __init__(self, system: ActorSystem, health: Health, crew: Crew) -> None:
        self._own, self._crew = Metrics(system, health), crew
        registry = self._own.registry
        label = ("worker",)
        self._ends = Counter(
            "upright_worker_restarts", "Times that a worker ended unasked, and came again.", label, registry=registry
        )
        self._hung = Counter(
            "upright_worker_hung", "Times that a worker was killed since it hung.", label, registry=registry
        )
        for worker in crew.workers:
            self._ends.labels(str(worker.number))
            self._hung.labels(str(worker.number))
        system.subscribe(self._ended, WorkerEnded)
        system.subscribe(self._was_hung, WorkerHung)
        registry.register(self)

    def __call__(self) -> tuple[str, bytes]:
        """The type of the text, and the text."""
        numbers = [worker.number for worker in self._crew.workers if worker.pid]
        with ThreadPoolExecutor(AT_ONCE, "upright metrics") as pool:
            answers = pool.map(asked_for_metrics, map(self._crew.admin_of, numbers))
            texts = list(zip(numbers, answers, strict=True))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given(merged(self._own()[1].decode(), texts)))
        return exposition.CONTENT_TYPE_LATEST, exposition.generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """What is at this moment; see `prometheus_client.registry.Collector`."""
        now, workers = time.monotonic(), self._crew.workers
        ready = sum(not worker.trouble(now) for worker in workers)
        yield GaugeMetricFamily("upright_workers", "Worker processes that there should be.", value=len(workers))
        yield GaugeMetricFamily("upright_workers_ready", "Worker processes that should be given work.", value=ready)

    def _ended(self, event: WorkerEnded) -> None:
        self._ends.labels(str(event.worker)).inc()

    def _was_hung(self, event: WorkerHung) -> None:
        self._hung.labels(str(event.worker)).inc()


class _Given:
    """Families that are there already, as a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def merged(own: str, workers: Iterable[tuple[int, str]]) -> Iterator[Metric]:
    """The families of these texts, each of them once; the samples of a worker with its number as a label."""
    families: dict[str, Metric] = {}
    for number, text in [(0, own), *workers]:
        for family in text_string_to_metric_families(text):
            kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                labels = {**sample.labels, "worker": str(number)} if number else sample.labels
                kept.samples.append(sample._replace(labels=labels))
    return iter(families.values())


def asked_for_metrics(path: Path, patience: float = PATIENCE) -> str:
    """The metrics of the worker at that socket, as text; "" if it does not answer in time."""
    until, line = time.monotonic() + patience, b""
    with contextlib.suppress(OSError, msgspec.MsgspecError, KeyError, TypeError):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(patience)
            asking.connect(str(path))
            asking.sendall(b'{"do": "metrics"}\n')
            while not line.endswith(b"\n"):
                asking.settimeout(max(until - time.monotonic(), 0.001))
                more = asking.recv(65_536)
                if not more:
                    return ""
                line += more
        answer: Any = msgspec.json.decode(line)
        return str(answer["result"]["metrics"])
    return ""
