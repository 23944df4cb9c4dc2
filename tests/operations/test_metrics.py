"""What Prometheus is told: few names and few values, never a path, also while the loop is held up."""

import asyncio
import re
import threading
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.operations.bank import SMTP, Clerk, Ledger, Quiet, system_on
from tests.operations.watching import watched
from upright.actors import ActorSystem
from upright.actors.events import ActorCrashed, MessageProcessed
from upright.operations import Health, HealthServer, metrics
from upright.operations.metrics import Metrics
from upright.persistence import Memory
from upright.persistence.events import DeliveryFailed
from upright.supervision import CircuitBreaker

pytestmark = pytest.mark.anyio
NAME = re.compile(r"upright_[a-z_]+")


def samples(made: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All that is told, by name and labels; no series comes twice."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(made()[1].decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def made_of(system: ActorSystem, **options: Any) -> Metrics:
    return Metrics(system, Health(system), **options)


async def test_each_name_is_of_this_library_with_a_text_and_in_the_customary_form() -> None:
    kind, text = made_of(system_on(None))()
    assert kind.startswith("text/plain")
    for family in text_string_to_metric_families(text.decode()):
        assert NAME.fullmatch(family.name), family.name
        assert family.documentation.endswith(".")


async def test_what_is_well_is_told_so() -> None:
    async with watched(system_on(Memory())) as health:
        found = samples(Metrics(health._system, health))
        assert [found["upright_probe_ok", (("probe", probe),)] for probe in ("startup", "live", "ready")] == [1, 1, 1]
        assert found["upright_store_backlog", ()] == 0
        assert found["upright_draining", ()] == 0
        health.draining = True
        found = samples(Metrics(health._system, health))
        assert (found["upright_draining", ()], found["upright_probe_ok", (("probe", "ready"),)]) == (1, 0)


async def test_without_a_store_nothing_is_told_of_one() -> None:
    assert ("upright_store_backlog", ()) not in samples(made_of(system_on(None)))


async def test_actors_are_told_apart_by_their_kind_and_never_by_their_path() -> None:
    system = ActorSystem(log=None, dead_letters=Quiet)
    made = made_of(system)
    for path in ("/bank/one", "/bank/two"):
        system.bus.emit(ActorCrashed(path, "Ledger", 1, "append", LookupError("secret")))
    text = made()[1].decode()
    assert 'upright_actor_crashes_total{kind="Ledger"} 2.0' in text
    assert not any(word in text for word in ("/bank", "secret", "append"))


async def test_real_failures_are_counted() -> None:
    system = system_on(Memory())
    made = made_of(system)
    async with system:
        await system.ref("/bank/clerk", Clerk).tell(Clerk.pay, "mallory", 1)
        await system.ref("/bank/clerk", Clerk).tell(Clerk.pay, "ada", 1)
        await system.idle()
    found = samples(made)
    assert found["upright_deliveries_failed_total", (("address", "clerk"),)] == 1
    set_aside = [name for name in found if name[0] == "upright_messages_quarantined_total"]
    assert [dict(labels)["address"] for _, labels in set_aside] == ["clerk"]


async def test_of_so_many_values_all_others_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST", 3)
    system = system_on(None)
    made = made_of(system)
    for number in [*range(10), 0, 1]:
        system.bus.emit(DeliveryFailed("/bank/clerk", f"address-{number}", 1, 1, "LookupError"))
    counted = {
        labels[0][1]: value
        for (name, labels), value in samples(made).items()
        if name == "upright_deliveries_failed_total"
    }
    assert counted == {"address-0": 2, "address-1": 2, "address-2": 1, "other": 7}


async def test_a_breaker_is_told_where_it_stands() -> None:
    system = system_on(None)
    made = made_of(system)
    system.guards.of(SMTP)
    assert samples(made)["upright_breaker_state", (("breaker", "smtp"), ("state", "closed"))] == 1
    SMTP.on(system).force_open(who="ada", why="a test")
    found = samples(made)
    assert found["upright_breaker_state", (("breaker", "smtp"), ("state", "forced-open"))] == 1
    assert ("upright_breaker_state", (("breaker", "smtp"), ("state", "closed"))) not in found


async def test_breakers_beyond_the_cap_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST", 2)
    system = system_on(None)
    made = made_of(system)
    for number in range(5):
        system.guards.of(CircuitBreaker(f"host-{number}"))
    assert samples(made)["upright_breaker_state", (("breaker", "other"), ("state", "closed"))] == 3


async def test_messages_are_counted_only_where_that_is_wanted() -> None:
    for each in (False, True):
        system = ActorSystem(log=None, dead_letters=Quiet)
        made = made_of(system, each_message=each)
        assert system.bus.wants(MessageProcessed) is each
        async with system:
            await (await system.spawn("ledger", Ledger)).ask(Ledger.many, 1)
        counted = sum(value for (name, _), value in samples(made).items() if name == "upright_messages_processed_total")
        assert (counted > 0) is each


async def test_two_systems_share_no_registry() -> None:
    one, other = made_of(system_on(None)), made_of(system_on(None))
    one._system.bus.emit(ActorCrashed("/a", "Ledger", 1, "append", LookupError()))
    assert ("upright_actor_crashes_total", (("kind", "Ledger"),)) not in samples(other)


async def test_it_is_told_while_the_loop_is_held_up() -> None:
    async with watched(ActorSystem(log=None, blocked_after=None)) as health:
        server = HealthServer(health, metrics=Metrics(health._system, health))
        server.start()
        held, done, found = threading.Event(), threading.Event(), list[float]()

        def scrape() -> None:
            held.wait(60)
            try:
                while not found or found[-1] == 0.0:
                    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=30).text
                    said = re.search(r"^upright_loop_silent_seconds (.+)$", text, re.MULTILINE)
                    found.append(float(said[1]) if said else -1.0)
            finally:
                done.set()

        thread = threading.Thread(target=scrape)
        thread.start()
        held.set()
        done.wait(60)  # holds the loop up
        thread.join()
        await asyncio.to_thread(server.stop)
        assert found[-1] > 0
