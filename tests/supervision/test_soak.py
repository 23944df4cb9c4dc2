"""The soak: a tree of every kind under random load, crashes, kills and administration, and nothing goes wrong.

What is meant by that stands in `tests.supervision.ledger`. `UPRIGHT_SOAK_SECONDS` says how long the runs in real time
take; those on virtual time pass as many minutes as they say at once, the same ones for the same seed.
"""

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import uvloop

from tests.supervision.ledger import Ledger, News, Sent
from tests.supervision.soak import (
    VERBS,
    Choosy,
    Deaf,
    Forgetful,
    Listener,
    Worker,
    send,
)
from upright.actors import ActorSystem, AskFailed, Message, Ref
from upright.actors.testing import VirtualTimeLoop
from upright.supervision import (
    Backoff,
    ChildInfo,
    ChildSpec,
    DynamicSupervisor,
    Pool,
    SupervisionRefused,
    Supervisor,
    by_key,
    child,
    dynamic,
    partitioned,
    pool,
    supervisor,
)

SECONDS = float(os.environ.get("UPRIGHT_SOAK_SECONDS", "3"))
SOON = Backoff(0.05, 0.4, jitter="none")
POOLS = frozenset(f"/top/{name}" for name in ("least", "round", "keyed"))
BROADCASTS = frozenset({"/top/cast"})
SUPERVISORS = ("all", "rest", "rest/inner", "one")
WORKERS = ("all/a1", "all/a2", "all/a3", "rest/r1", "rest/inner/i1", "rest/inner/i2", "rest/r3", "one/o1", "one/o2",
           "one/o3", "one/late", "least", "round", "keyed", "cast", "rooms/d1", "rooms/d2", "parts")  # fmt: skip
AFTER = {
    "/top/all/a1": ["/top/all/a2", "/top/all/a3"],
    "/top/all/a2": ["/top/all/a3"],
    "/top/rest/r1": ["/top/rest/inner", "/top/rest/r3"],
}


def key_of(said: Message) -> str:
    args: Any = said.args
    key: str = args[2] if len(args) > 1 else args[0].publisher
    return key


class Soak:
    """One run: the tree, those who send, those who administer, and the inspection at the end."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.random, self.seconds = Random(seed), seconds
        self.ledger = Ledger(Random(seed + 1), POOLS, BROADCASTS)
        self.ledger.after.update(AFTER)
        self.ledger.brutal.add("/top/one/o2")
        self.system = ActorSystem(self.grown(), log=None, grace=2.0, blocked_after=None)
        self.ledger.follow(self.system)
        self.guests = [f"/top/rooms/d{number}" for number in range(3)]

    def spec(self, id: str, kind: type[Worker] = Worker, **options: Any) -> ChildSpec[Worker]:
        chosen: dict[str, Any] = {"shutdown": 0.2, **options}
        return child(id, kind, self.ledger).options(**chosen)

    def grown(self) -> ChildSpec[Supervisor]:
        """All three strategies, nested; back-off, brutality, every restart; pools of each routing; a topic."""
        spec = self.spec
        small: dict[str, Any] = {"max_restarts": 6, "within": 1.0}
        inner = supervisor("inner", spec("i1", Choosy), spec("i2", backoff=SOON), max_restarts=8, within=2.0)
        return supervisor(
            "top",
            supervisor(
                "all", spec("a1"), spec("a2", Listener), spec("a3", Forgetful, restart="transient"),
                strategy="one_for_all", max_restarts=6, within=1.0,
            ),
            supervisor(
                "rest", spec("r1", backoff=SOON), inner, spec("r3", Listener),
                strategy="rest_for_one", max_restarts=6, within=1.0,
            ).options(backoff=SOON),
            supervisor(
                "one", spec("o1", Deaf, backoff=SOON), spec("o2", restart="transient", shutdown="brutal"),
                spec("o3", restart="temporary"), max_restarts=6, within=1.0,
            ),
            pool("least", spec("w", backoff=SOON), size=3, **small),
            pool("round", spec("w", Choosy, backoff=SOON), size=2, routing="round_robin", **small),
            pool("keyed", spec("w", backoff=SOON), size=3, routing=by_key(key_of), **small),
            pool("cast", spec("w", backoff=SOON), size=2, routing="broadcast", **small),
            dynamic("rooms", **small),
            partitioned("parts", dynamic("part", **small), partitions=2, **small),
            max_restarts=1_000_000,
        )  # fmt: skip

    def acts(self, depth: int) -> list[tuple[str, Any]]:
        """What one message has its actor do."""
        random, chosen = self.random, list[tuple[str, Any]]()
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            match random.randrange(40 if depth else 20):
                case 0:
                    chosen.append((random.choice(("crash", "crash", "stop", "refuse")), None))
                case 1:
                    chosen.append(("sleep", 1.0))
                case number if number < 20:
                    chosen.append(("sleep", random.choice((0, 0.005, 0.02))))
                case _:
                    chosen.append((random.choice(VERBS), (self.address(), self.acts(depth - 1))))
        return chosen

    def address(self) -> str:
        name = self.random.choice(WORKERS)
        return self.random.choice(self.guests) if name in ("parts", "rooms/d1") else f"/top/{name}"

    async def load(self, name: str) -> None:
        """A client that sends one message after the other."""
        until = asyncio.get_running_loop().time() + self.seconds
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self.random.choice((0, 0.02, 0.1, 0.6)))
            for _ in range(self.random.choice((1, 1, 2, 8))):
                await send(self.ledger, name, self.random.choice(VERBS), self.address(), self.acts(2))

    async def disturb(self) -> None:
        """Kill, end, terminate, restart, start, delete and resize at random."""
        until = asyncio.get_running_loop().time() + self.seconds
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self.random.choice((0.05, 0.2, 0.5)))
            try:
                await self.disturb_once()
            except (SupervisionRefused, AskFailed):
                pass  # it was not there, or not in that state, or its supervisor was just ended: all to be expected

    async def disturb_once(self) -> None:
        s, random = self.system, self.random
        parent = s.ref(f"/top/{random.choice(SUPERVISORS)}", Supervisor)
        ids = {"all": ["a1", "a2", "a3"], "rest": ["r1", "inner", "r3"], "inner": ["i1", "i2"]}
        id = random.choice(ids.get(parent.path.rpartition("/")[2], ["o1", "o2", "o3"]))
        match random.randrange(12):
            case 0 | 1:
                await self.kill(self.address())
            case 2:
                await self.kill(f"{random.choice(sorted(POOLS | BROADCASTS))}/{random.randrange(3)}")
            case 3:
                await self.kill(random.choice((parent.path, "/top/rooms", "/top/least", "/top/parts/1")))
            case 4:
                await s.end(s.ref(self.address(), Worker))
            case 5 | 6:
                await parent.ask(Supervisor.terminate_child, id)
                await asyncio.sleep(random.choice((0, 0.3)))
                await self.by_hand(f"{parent.path}/{id}", parent.ask(Supervisor.restart_child, id))
            case 7:
                one = s.ref("/top/one", Supervisor)
                if random.random() < 0.5:
                    await self.by_hand("/top/one/late", one.ask(Supervisor.start_child, self.spec("late", Listener)))
                else:
                    await one.ask(Supervisor.terminate_child, "late")
                    await one.ask(Supervisor.delete_child, "late")
            case 8:
                path = random.choice(sorted(POOLS | BROADCASTS))
                await s.ref(path, Pool).within(10).ask(Pool.resize, random.randint(1, 4))
            case 9:
                await s.ref("/top/rooms", DynamicSupervisor).ask(DynamicSupervisor.terminate_child, self.guest())
            case _:
                await self.invite()

    def guest(self) -> Ref[Worker]:
        return self.system.ref(self.random.choice(self.guests), Worker)

    async def invite(self) -> None:
        """Start a child of a dynamic supervisor, or of one of several."""
        at = self.random.choice(("rooms", "parts"))
        started = await self.system.ref(f"/top/{at}", DynamicSupervisor).ask(
            DynamicSupervisor.start_child, self.spec(f"d{self.random.randrange(6)}", backoff=SOON)
        )
        self.guests = [*self.guests[-5:], started.path]

    async def kill(self, path: str) -> None:
        self.ledger.doom(path)
        await self.system.kill(self.system.ref(path, object))

    async def by_hand(self, path: str, asked: Any) -> None:
        """A start that is no group's."""
        self.ledger.by_hand.add(path)
        try:
            await asked
        finally:
            self.ledger.by_hand.discard(path)

    async def run(self) -> None:
        async with self.system:
            for path in sorted(POOLS | BROADCASTS):
                if path != "/top/round":
                    self.system.topic("news", News).subscribe(self.system.ref(path, Worker), Worker.news)
            self.ledger.calm = False
            async with asyncio.timeout(self.seconds + 300), asyncio.TaskGroup() as group:
                for name in ("client a", "client b", "client c", "client d"):
                    group.create_task(self.load(name))
                group.create_task(self.disturb())
            async with asyncio.timeout(60):
                await self.system.idle()
                await self.heal()
                await self.system.idle()
            standing = await self.inspect()
            self.ledger.stops.clear()
        assert self.ledger.faults == []
        assert self.ledger.balance() == []
        assert (self.system.zombies, self.ledger.numbers) == (0, {})
        self.check_order_of_stops(standing)

    async def children(self, path: str) -> list[ChildInfo]:
        kind: Any = Pool if path in POOLS | BROADCASTS else Supervisor
        infos: list[ChildInfo] = await self.system.ref(path, kind).ask(Supervisor.which_children)
        return infos

    async def heal(self) -> None:
        """No more failing starts; whoever was terminated by hand, or ended cleanly, comes back by hand."""
        self.ledger.calm = True
        for name in SUPERVISORS:
            path = f"/top/{name}"
            for info in reversed(await self.children(path)):
                assert info.ref != "restarting", info
                if info.ref is None:
                    restart = self.system.ref(path, Supervisor).ask(Supervisor.restart_child, info.id)
                    await self.by_hand(f"{path}/{info.id}", restart)

    async def inspect(self) -> dict[str, list[str]]:
        """Everybody is up, with as many restarts as were told; the children by supervisor, the newest first."""
        nodes = [self.system.tree()]
        for node in nodes:
            nodes.extend(node.children)
            assert (node.state, node.depth) == ("running", 0), node
            assert node.path == "/" or node.restarts == self.ledger.numbers[node.path] - 1, node
        paths = ["/top", *(f"/top/{name}" for name in SUPERVISORS), *sorted(POOLS | BROADCASTS)]
        return {path: [f"{path}/{info.id}" for info in await self.children(path)] for path in paths}

    def check_order_of_stops(self, standing: dict[str, list[str]]) -> None:
        for parent, newest_first in standing.items():
            ends = [path for path in self.ledger.stops if path.rpartition("/")[0] == parent]
            assert ends == newest_first
            assert self.ledger.stops.index(parent) > max(map(self.ledger.stops.index, ends), default=-1)


def left_over(before: set[Any]) -> list[object]:
    """Tasks, timers and threads that a system may have left behind. (uvloop keeps its timers to itself.)"""
    loop: Any = asyncio.get_running_loop()
    timers = [timer for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]
    threads = [thread for thread in threading.enumerate() if "upright" in thread.name]
    return [*(asyncio.all_tasks() - before), *timers, *threads]


def soak(seed: int, seconds: float, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Ledger:
    """One run from beginning to end; returns its ledger, when nothing else is left of it."""

    async def main() -> Ledger:
        before = asyncio.all_tasks()
        one = Soak(seed, seconds)
        await one.run()
        assert left_over(before) == []
        return one.ledger

    with asyncio.Runner(loop_factory=make_loop) as runner:
        ledger = runner.run(main())
    gc.collect()
    assert list(ledger.instances) == []
    return ledger


@pytest.mark.parametrize("seed", range(3))
def test_minutes_of_load_and_faults_on_virtual_time_end_with_every_copy_accounted_for_once(seed: int) -> None:
    ledger = soak(seed, 180.0, VirtualTimeLoop)
    assert len(ledger.sent) > 1_000
    assert {reason for reasons in ledger.letters.values() for reason in reasons} >= {"crashed", "killed", "stopped"}


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_load_and_faults_in_real_time_end_with_every_copy_accounted_for_once(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    assert len(soak(Random().randrange(1_000_000), SECONDS, make_loop).sent) > 100


def test_the_ledger_would_notice_what_is_lost_or_done_twice_or_out_of_order() -> None:
    """A law that nothing can break says nothing."""
    ledger = Ledger(Random(0), POOLS, BROADCASTS)
    lost, twice, cut_off = (1, "/a"), (2, "/a"), (3, "/a")
    for copy in (lost, twice, cut_off):
        ledger.sent[copy] = Sent("tell", "somebody")
        ledger.end(copy, "ok")
    ledger.begun[twice] = ledger.done[twice] = 2
    ledger.begun[cut_off] = 1
    laws = [story.partition(": ")[0] for story in ledger.balance()]
    assert laws == ["not lost", "begun once at most", "cut off in hand, so one letter that says so"]
