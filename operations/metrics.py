"""Metrics for Prometheus, made of the events of a system and of what it is when it is asked. Needs `upright[metrics]`.

Labels are kinds of actors, addresses of mailboxes, names of guards and reasons: never paths or ids, of which there may
be a million. Of each label so many values are told apart, and all others are `other`.
"""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, exposition
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric

from upright.actors.events import (
    ActorCrashed,
    ActorRestarted,
    AskExpired,
    DeadLettered,
    Event,
    LoopBlocked,
    MessageProcessed,
    SupervisorGaveUp,
)
from upright.actors.gate import Gate
from upright.actors.system import ActorSystem
from upright.persistence.events import DeliveryFailed, DeliveryLost, MailboxParked, Quarantining, StoreFailing
from upright.persistence.store import Store
from upright.supervision.circuit_breaker import CircuitBreaker
from upright.supervision.events import BreakerOpened, RetryBudgetSpent

from .health import PROBES
from .standing import standing
from .watch import Health

MOST = 200
"""Values of one label that are told apart."""
OTHER = "other"

# Event: the metric that counts it, what that is, and the fields that are its labels.
COUNTED: tuple[tuple[type[Event], str, str, tuple[str, ...]], ...] = (
    (ActorCrashed, "actor_crashes", "Errors that escaped from a handler or a background task.", ("kind",)),
    (ActorRestarted, "actor_restarts", "Incarnations that came after the first.", ("kind",)),
    (SupervisorGaveUp, "escalations", "Supervisors that needed too many restarts and ended.", ()),
    (DeadLettered, "dead_letters", "Messages that went to the dead-letter actor.", ("reason",)),
    (AskExpired, "asks_expired", "Asks that were not run, since nobody waited any more.", ()),
    (LoopBlocked, "loop_blocked", "Times that something has held up the event loop.", ()),
    (DeliveryFailed, "deliveries_failed", "Attempts at durable messages that failed.", ("address",)),
    (DeliveryLost, "deliveries_lost", "Attempts whose claim had ended before they did.", ("address",)),
    (Quarantining, "messages_quarantined", "Durable messages that were set aside.", ("address", "reason")),
    (MailboxParked, "mailboxes_parked", "Times that a mailbox waited for an outage to end.", ("address",)),
    (StoreFailing, "store_errors", "Times that the store did not take what was to be written.", ()),
    (BreakerOpened, "breaker_openings", "Times that a circuit opened.", ("breaker",)),
    (RetryBudgetSpent, "retry_budget_spent", "Times that a budget of retries was spent.", ("budget",)),
)
MESSAGES = (MessageProcessed, "messages_processed", "Messages that were handled.", ("outcome",))


class Metrics:
    """The metrics of one system. `each_message`: whether messages are counted one by one, which costs each of them a
    microsecond. Call it for the text: `HealthApp(service.health, metrics)`.
    """

    def __init__(self, system: ActorSystem, health: Health, *, each_message: bool = False) -> None:
        self._system, self._health = system, health
        self.registry = CollectorRegistry()
        """Where the metrics are; to be merged with one's own."""
        self._seen: dict[tuple[str, str], set[str]] = {}
        for kind, name, text, labels in (*COUNTED, *((MESSAGES,) if each_message else ())):
            counter = Counter(f"upright_{name}", text, labels, registry=self.registry)
            system.subscribe(self._counting(counter, name, labels), kind)
        self.registry.register(self)

    def __call__(self) -> tuple[str, bytes]:
        """The type of the text, and the text."""
        return exposition.CONTENT_TYPE_LATEST, exposition.generate_latest(self.registry)

    def _counting(self, counter: Counter, name: str, labels: tuple[str, ...]) -> Any:
        def count(event: Any) -> None:
            if not labels:
                counter.inc()
                return
            values = [self._capped(name, label, _value(event, label)) for label in labels]
            counter.labels(*values).inc()

        return count

    def _capped(self, metric: str, label: str, value: str) -> str:
        seen = self._seen.setdefault((metric, label), set())
        if value not in seen:
            if len(seen) >= MOST:
                return OTHER
            seen.add(value)
        return value

    def collect(self) -> Iterable[Metric]:
        """What is at this moment; see `prometheus_client.registry.Collector`."""
        found = self._health.findings()
        yield InfoMetricFamily(
            "upright_build", "What runs.", value={"version": version("upright"), "python": platform.python_version()}
        )
        probes = GaugeMetricFamily("upright_probe_ok", "Whether a probe passes.", labels=["probe"])
        for probe in PROBES:
            probes.add_metric([probe], float(self._health.probe(probe).ok))
        yield probes
        yield _gauge("draining", "Whether it takes no new work.", float(found.draining))
        yield _gauge("zombies", "Actors that swallowed their cancellation and were left behind.", found.zombies)
        yield _gauge("loop_silent_seconds", "For how long the event loop has not answered.", found.silent_s)
        yield _gauge("store_silent_seconds", "For how long the store has not answered.", found.store_s)
        if isinstance(self._system.store, Store):
            yield _gauge("store_backlog", "Durable messages that wait or run for this process.", found.depth)
        yield self._breakers()

    def _breakers(self) -> GaugeMetricFamily:
        states = GaugeMetricFamily("upright_breaker_state", "How many stand there.", labels=["breaker", "state"])
        found: dict[tuple[str, str], int] = {}  # no series may come twice, and `other` stands for many
        for policy, gate in self._system.guards:
            if isinstance(policy, CircuitBreaker) and isinstance(gate, Gate):
                stands = self._capped("breaker_state", "breaker", gate.label), standing(gate)
                found[stands] = found.get(stands, 0) + 1
        for labels, count in found.items():
            states.add_metric(labels, float(count))
        return states


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"upright_{name}", text, value=value)


def _value(event: Any, label: str) -> str:
    if label == "reason" and isinstance(event, DeadLettered):
        return str(event.letter.reason)
    return str(getattr(event, label))
