"""Actors of all kinds that share breakers, limits and bulkheads, in random weather: outages, kills, restarts, moves by
hand. In the end everything is handled as promised, nobody sleeps for ever, and no permit is out.
"""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Oops, Systems
from tests.actors.outage import BY, Dependency, inside, using
from tests.persistence.jobs import Worker, letters
from tests.persistence.outages import Outage, at, running
from upright.actors import ActorError, ActorSystem, Bounded, Ref
from upright.actors.testing import advance
from upright.persistence import Memory, Retry, Sqlite, Store
from upright.supervision import (
    Backoff,
    Bulkhead,
    CircuitBreaker,
    IllegalTransition,
    Pool,
    RateLimit,
    RetryBudget,
    child,
    pool,
)

pytestmark = pytest.mark.anyio
BREAKER = CircuitBreaker("storm", minimum_calls=3, wait=Backoff(1.0, 20.0), permits=2, slow_start=3.0, window=20.0)
SECOND = CircuitBreaker("second", consecutive=2, wait=Backoff(1.0, 5.0), permits=1, half_open_max_wait=5.0)
PLACES = Bulkhead("places", running=3)
LIMIT = RateLimit("limit", 20, per=1.0, burst=4)
BUDGET = RetryBudget("budget", ratio=0.2, per_second=2.0)
POLICIES: list[Any] = [BREAKER, SECOND, PLACES, LIMIT, BUDGET]
PATIENT = Retry(max_attempts=1_000, base=0.1, cap=5.0)
SHAPES: list[dict[str, Any]] = [
    {"order": "strict"},
    {"order": "free"},
    {"order": "keyed"},
    {"order": "free", "size": 3},
    {"order": "keyed", "size": 3},
    {"order": "strict", "size": 2},
]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Storm:
    """One system after the other on one store, in bad weather."""

    def __init__(self, seed: int, store: Any) -> None:
        self.rng, self.store = random.Random(seed), store
        self.outage, self.diary = Outage(), Diary()
        self.outage.book.deeds["guarded"] = self.guarded
        self.dependency: Dependency = self.outage.dependency
        self.ids: list[int] = []
        self.expiring: list[int] = []
        self.sent = self.handled = self.dead = 0
        self.specs = [
            self.outage.spec(
                *self.some(),
                name=f"d{number}",
                address=f"d{number}",
                retry=PATIENT,
                window=self.rng.choice([2, 8, 256]),
                **shape,
            )
            for number, shape in enumerate(SHAPES)
        ]
        memory = child("m", using(Doer, *self.some(), mailbox=Bounded(5)), self.diary)
        self.specs.append(memory)
        self.specs.append(pool("p", child("m", using(Doer, *self.some(), mailbox=Bounded(5)), self.diary), size=3))

    def some(self) -> list[Any]:
        return self.rng.sample(POLICIES, self.rng.randint(1, len(POLICIES)))

    async def guarded(self, me: Worker) -> None:
        async with me.ctx.guard(SECOND):
            await self.outage.call(me)

    async def deed(self, _: Any) -> None:
        await self.dependency.call()
        self.handled += 1

    async def send(self, s: ActorSystem) -> None:
        number = self.rng.randrange(len(SHAPES))
        ref = at(s, f"d{number}").priority(self.rng.choice([0, 0, 5]))
        if SHAPES[number]["order"] == "keyed":
            ref = ref.keyed(self.rng.choice("xyz"))
        verb = self.rng.choice([Worker.do, Worker.do, Worker.overlap])
        if self.rng.random() < 0.1:
            receipts = await ref.expiring(self.rng.uniform(0.5, 5.0)).tell_many(verb, ["call"])
            self.expiring += [receipt.id for receipt in receipts]
        else:
            deed = self.rng.choice(["call", "call", "guarded"])
            self.ids += [receipt.id for receipt in await ref.tell_many(verb, [deed] * self.rng.randint(1, 20))]

    def send_to_memory(self, s: ActorSystem) -> None:
        for _ in range(self.rng.randint(1, 8)):
            name = self.rng.choice("mp")
            ref: Ref[Doer] = s.ref(f"/top/{name}", Doer)
            with contextlib.suppress(ActorError):
                self.sent += ref.try_tell(Doer.do, self.deed)

    async def ask(self, s: ActorSystem) -> None:
        ref: Ref[Doer] = s.ref("/top/" + self.rng.choice("mp"), Doer)
        with contextlib.suppress(ActorError, Oops, TimeoutError):
            await ref.within(self.rng.uniform(0.1, 2.0)).ask(Doer.note, "asked")

    async def act(self, s: ActorSystem) -> None:
        """One thing that happens."""
        match self.rng.randrange(11):
            case 0 | 1 | 2:
                await self.send(s)
            case 3:
                self.send_to_memory(s)
            case 4:
                await self.ask(s)
            case 5:
                self.dependency.is_down = not self.dependency.is_down
            case 6:
                self.dependency.takes = self.rng.choice([0.0, 0.01, 0.5, 8.0])
            case 7:
                paths = [path for path in s._running("paths").actors if path.count("/") > 1]
                with contextlib.suppress(ActorError, TimeoutError):  # it may be about to begin anew by itself
                    async with asyncio.timeout(30.0):
                        await s.kill(s.ref(self.rng.choice(paths), object))
            case 8 | 9:
                circuit = self.rng.choice([BREAKER, SECOND]).on(s)
                moves: list[Any] = [circuit.force_open, circuit.automatic, circuit.half_open, circuit.metrics_only]
                with contextlib.suppress(IllegalTransition):
                    self.rng.choice(moves)(**BY)
            case _:
                name = self.rng.choice(["d3", "d4", "d5", "p"])
                with contextlib.suppress(ActorError, TimeoutError):
                    await s.ref(f"/top/{name}", Pool).within(5.0).ask(Pool.resize, self.rng.randint(1, 4))

    async def blow(self, system: Systems, runs: int, acts: int) -> None:
        """As many systems as that, and the last one comes to rest."""
        for run in range(runs):
            async with running(system, *self.specs, store=self.store, max_restarts=100_000) as s:
                s.guards.rng.seed(self.rng.random())
                for _ in range(acts):
                    async with asyncio.timeout(1_000.0):
                        await self.act(s)
                    await advance(self.rng.choice([0.0, 0.0, 0.1, 1.0, 7.0]))
                if run == runs - 1:
                    await self.calm(s)

    async def calm(self, s: ActorSystem) -> None:
        self.dependency.is_down, self.dependency.takes = False, 0.0
        for breaker in (BREAKER, SECOND):
            with contextlib.suppress(IllegalTransition):
                breaker.on(s).automatic(**BY)
        await advance(1.0)
        async with asyncio.timeout(20_000.0):
            await s.idle()
        for policy, gate in s.guards:
            found: Any = gate
            assert found.waiting == 0, found
            assert not found._called, found
            if policy.name != "limit" and policy.name != "budget":
                assert inside(s, policy) == 0, found

    async def check(self, dead: int) -> None:
        done = Counter(self.outage.done)
        assert all(done[id] >= 1 for id in self.ids), [id for id in self.ids if not done[id]]
        assert set(done.values()) <= {1}
        set_aside = {letter.id: letter.reason for letter in await letters(self.store)}
        assert set(set_aside.values()) <= {"expired"}
        assert set(set_aside) == {id for id in self.expiring if not done[id]}
        assert self.handled + dead == self.sent


async def storm(system: Systems, seed: int, store: Store, recorders: Any, acts: int = 60) -> None:
    one = Storm(seed, store)
    await one.blow(system, 3, acts)
    dead = [letter.recipient for recorder in recorders for letter in recorder.letters if letter.message.handler == "do"]
    await one.check(sum(path.startswith(("/top/m", "/top/p")) for path in dead))


def same_dice(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Have retries and parks last as long each time, so that a storm that found something comes again."""
    monkeypatch.setattr("upright.persistence.judge.random", SimpleNamespace(Random=lambda: random.Random(seed)))


@pytest.mark.parametrize("seed", range(12))
async def test_on_a_store_in_memory(
    system: Systems, recorders: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    same_dice(monkeypatch, seed)
    await storm(system, seed, Memory(), recorders)


@pytest.mark.parametrize("seed", range(100, 103))
async def test_on_a_file(
    system: Systems, recorders: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    same_dice(monkeypatch, seed)
    await storm(system, seed, Sqlite(tmp_path / "jobs.db"), recorders)
