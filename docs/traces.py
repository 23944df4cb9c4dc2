"""The traces behind the pictures of docs/resilience.md: real actors with real policies, and a dependency by a script.

All of it runs on virtual time and with seeds, so that a run gives the same traces everywhere. It stands apart from the
drawing, which knows nothing of actors.
"""

import asyncio
import random
from collections.abc import Callable
from itertools import cycle

from recording import Call, Dependency, Outage, Phase, Point, Shared, clock, every, on_virtual_time, using, wall

from upright.actors import Actor, ActorFailed, ActorSystem, Guards, concurrent
from upright.actors.events import Event
from upright.actors.policies import Policy
from upright.actors.testing import CallChaos, ChaosStruck
from upright.persistence import Durable, Memory, Quarantining, Retry
from upright.supervision import (
    Backoff,
    Bulkhead,
    BulkheadFull,
    CircuitBreaker,
    CircuitOpen,
    Fallback,
    Hedge,
    RateLimit,
    RetryBudget,
    Timeout,
    child,
    pool,
    supervisor,
)
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerOpened

SMTP = CircuitBreaker("smtp", consecutive=3, wait=Backoff(5.0, 20.0, jitter="none"))
GEOCODER = RateLimit("geocoder", 5, per=1.0)
REPORTS = Bulkhead("reports", running=4, waiting=0)
QUOTES = Timeout("quotes", 2.0)
BUDGET = RetryBudget("search", ratio=0.1, per_second=3.0)
HEDGE = Hedge("catalogue", after=0.08)
PRICES = Fallback("prices", lambda _: 9.5)
SHOP = CircuitBreaker("shop", consecutive=3, wait=Backoff(5.0, 20.0, jitter="none"))


OUTAGE = [Phase(20, 0.1), Phase(30, 0.4), Phase(80, 0.1, fails=True), Phase(1e9, 0.1)]


class Mailer(Actor):
    """Sends mails, in their order."""

    mailbox = Durable("mailer", retry=Retry(jitter="none"))

    def __init__(self, smtp: Dependency, used: dict[int, int], done: set[int]) -> None:
        self.smtp, self.used, self.done = smtp, used, done

    async def send(self, number: int) -> None:
        self.used[number] = self.ctx.delivery.attempt - 1
        await self.smtp.call()
        self.done.add(number)


def outage(*policies: Policy) -> Outage:
    """Two messages a second, and an SMTP server that is first slow, then away, and then there again."""
    smtp, used, done = Dependency(OUTAGE), dict[int, int](), set[int]()
    trace = Outage(smtp.calls)
    moves: tuple[type[Event], ...] = (BreakerOpened, BreakerHalfOpened, BreakerClosed)

    def moved(event: Event) -> None:
        trace.states.append((clock(), ("open", "half-open", "closed")[moves.index(type(event))]))

    def given_up(event: Event) -> None:
        trace.lost += 1

    async def main() -> Outage:
        kind = using(Mailer, *policies)
        tree = supervisor("shop", child("mailer", kind, smtp, used, done))
        async with ActorSystem(tree, store=Memory(clock=wall), log=None) as system:
            system.guards.rng.seed(1)
            system.subscribe(moved, *moves)
            system.subscribe(given_up, Quarantining)
            mailer = system.ref("/shop/mailer", kind)

            async def send(number: int) -> None:
                await mailer.tell(kind.send, number)
                trace.depth.append((clock(), number + 1 - len(done) - trace.lost))
                trace.used.append((clock(), sum(used.values()) + trace.lost))

            await every(0.5, 120.0, send)
            await system.idle()
        return trace

    return on_virtual_time(main)


class Geocoder(Actor):
    """Finds places on a map."""

    def __init__(self, service: Dependency) -> None:
        self.service = service

    async def find(self) -> None:
        await self.service.call()


def bursts(*policies: Policy) -> tuple[list[Call], list[Point]]:
    """Forty calls at once, and thirty more after twelve seconds; and how many of them wait, over time."""
    service = Dependency([Phase(1e9, 0.2)])
    waiting: list[Point] = []

    async def main() -> None:
        kind = using(Geocoder, *policies)
        tree = supervisor("map", pool("geocoders", child("geocoder", kind, service), size=20))
        async with ActorSystem(tree, log=None) as system:
            geocoders = system.ref("/map/geocoders", kind)

            async def second(number: int) -> None:
                for _ in range({0: 40, 48: 30}.get(number, 0)):
                    await geocoders.tell(kind.find)
                await asyncio.sleep(0.01)
                waiting.append((clock() - 0.01, (40 if number < 48 else 70) - len(service.calls) - service.now))

            await every(0.25, 20.0, second)
            await system.idle()

    on_virtual_time(main)
    return service.calls, waiting


class Desk(Actor):
    """Answers for two dependencies: one that makes reports, and one that knows prices."""

    def __init__(self, reports: Dependency, prices: Dependency, by: tuple[Policy, ...]) -> None:
        self.reports, self.prices, self.by = reports, prices, by

    async def report(self) -> None:
        async with self.ctx.guard(*self.by):
            await self.reports.call()

    async def price(self) -> None:
        await self.prices.call()


def hanging(*policies: Policy) -> Shared:
    """Three reports and two prices a second, and ten workers for both; from 10 to 20 seconds a report takes 8."""
    reports = Dependency([Phase(10, 0.3), Phase(20, 8.0), Phase(1e9, 0.3)])
    prices = Dependency([Phase(1e9, 0.1)])
    trace = Shared(reports.running, [], [])

    async def main() -> None:
        tree = supervisor("shop", pool("desk", child("worker", Desk, reports, prices, policies), size=10))
        async with ActorSystem(tree, log=None) as system, asyncio.TaskGroup() as group:
            desk = system.ref("/shop/desk", Desk).within(60.0)

            async def report() -> None:
                try:
                    await desk.ask(Desk.report)
                except BulkheadFull:
                    trace.refused.append(clock())

            async def price(start: float) -> None:
                await desk.ask(Desk.price)
                trace.prices.append(Call(start, clock() - start, "ok"))

            async def tick(number: int) -> None:
                if number % 2 == 0:
                    group.create_task(report())
                if number % 3 == 1:
                    group.create_task(price(clock()))

            await every(1 / 6, 40.0, tick)

    on_virtual_time(main)
    return trace


class Broker(Actor):
    """Fetches quotes, one after the other."""

    mailbox = Durable("broker", order="free", retry=Retry(base=3.0, jitter="none"))

    def __init__(self, market: Dependency, takes: "cycle[float]") -> None:
        self.market, self.takes = market, takes

    async def fetch(self) -> None:
        self.market.phases[0] = Phase(1e9, next(self.takes))
        await self.market.call()


def hung(*policies: Policy) -> list[Call]:
    """A message each second, and each sixth call hangs for ten."""
    market = Dependency([Phase(1e9, 0.0)])

    async def main() -> None:
        kind = using(Broker, *policies)
        tree = supervisor("shop", child("broker", kind, market, cycle((0.5, 0.6, 0.4, 10.0, 0.5, 0.6))))
        async with ActorSystem(tree, store=Memory(clock=wall), log=None) as system:
            system.guards.rng.seed(1)
            broker = system.ref("/shop/broker", kind)
            await every(1.0, 16.0, lambda _: broker.tell(kind.fetch))
            await system.idle()

    on_virtual_time(main)
    return market.calls


class Search(Actor):
    """Asks a search engine of four servers, three of which may be away."""

    mailbox = Durable("search", order="free", retry=Retry(jitter="none"))

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    async def find(self) -> None:
        fails = 20 <= clock() < 50 and len(self.calls) % 4 != 0
        self.calls.append(Call(clock(), 0.0, "first" if self.ctx.delivery.attempt == 1 else "again"))
        await asyncio.sleep(0.005)
        if fails:
            raise ConnectionError("no route")


def brown_out(*policies: Policy) -> tuple[list[Call], int]:
    """Ten messages a second; for half a minute three of four calls fail. The calls, and how many messages were lost."""
    calls, lost = list[Call](), list[object]()

    async def main() -> None:
        kind = using(Search, *policies)
        tree = supervisor("shop", child("search", kind, calls))
        async with ActorSystem(tree, store=Memory(clock=wall), log=None) as system:
            system.guards.rng.seed(1)
            system.subscribe(lost.append, Quarantining)
            search = system.ref("/shop/search", kind)
            await every(0.1, 120.0, lambda _: search.tell(kind.find))
            await system.idle()

    on_virtual_time(main)
    return calls, len(lost)


class Catalogue(Actor):
    """Looks things up; what only reads may overlap, and so may be hedged."""

    def __init__(self, takes: Callable[[], float], calls: list[float]) -> None:
        self.takes, self.calls = takes, calls

    @concurrent(1_000)
    async def look_up(self) -> None:
        self.calls.append(clock())
        await asyncio.sleep(self.takes())


def answers(*policies: Policy) -> tuple[list[float], int]:
    """The time of each of 5,000 answers, ordered, and how many calls that took: two in a hundred are slow."""
    dice, calls, times = random.Random(1), list[float](), list[float]()

    def takes() -> float:
        return dice.uniform(0.3, 1.2) if dice.random() < 0.02 else dice.lognormvariate(-3.5, 0.4)

    async def main() -> None:
        kind = using(Catalogue, *policies)
        async with ActorSystem(log=None) as system, asyncio.TaskGroup() as group:
            catalogue = await system.spawn("catalogue", kind, takes, calls)

            async def look_up(start: float) -> None:
                await catalogue.ask(kind.look_up)
                times.append(clock() - start)

            async def begin(_: int) -> None:
                group.create_task(look_up(clock()))

            await every(0.01, 50.0, begin)

    on_virtual_time(main)
    return sorted(times), len(calls)


class Window(Actor):
    """Shows a price, of the dependency or in its place."""

    def __init__(self, shop: Dependency, fallback: Fallback | None) -> None:
        self.shop, self.fallback = shop, fallback

    async def price(self) -> str:
        if self.fallback is None:
            await self.ctx.guards.call(SHOP, self.shop.call)
            return "ok"
        answer = await self.fallback.answer(self.ctx, SHOP, self.shop.call)
        return "degraded" if answer.degraded else "ok"


def shown(fallback: Fallback | None) -> list[Call]:
    """A price each half second, from a shop that is away for half a minute and lets those who ask wait for a second."""
    shop, trace = Dependency([Phase(10, 0.2), Phase(40, 1.0, fails=True), Phase(1e9, 0.2)]), list[Call]()

    async def main() -> None:
        windows = pool("windows", child("window", Window, shop, fallback), size=3, max_restarts=1_000)
        async with ActorSystem(supervisor("shop", windows), log=None) as system, asyncio.TaskGroup() as group:
            window = system.ref("/shop/windows", Window)

            async def show(start: float) -> None:
                try:
                    kind = await window.ask(Window.price)
                except (ActorFailed, CircuitOpen):
                    kind = "failed"
                trace.append(Call(start, clock() - start, kind))

            async def begin(_: int) -> None:
                group.create_task(show(clock()))

            await every(0.5, 60.0, begin)

    on_virtual_time(main)
    return trace


def struck(seed: int) -> list[Call]:
    """Sixty calls that chaos strikes by the dice of that seed; the worst strike of each counts."""
    chaos = CallChaos("smtp", seed=seed, fault=0.1, latency=0.15, outcome=0.08, longest=2.0)
    trace, strikes = list[Call](), list[str]()

    def heard(event: Event) -> None:
        if isinstance(event, ChaosStruck):
            strikes.append(event.what)

    async def main() -> None:
        guards = Guards(heard, allows_chaos=True)

        async def send(number: int) -> None:
            strikes.clear()
            start = clock()
            try:
                await guards.call(chaos, asyncio.sleep, 0.3)
            except ConnectionError:
                pass
            kind = next((one for one in ("fault", "outcome", "latency") if one in strikes), "ok")
            trace.append(Call(start, clock() - start, kind))

        await every(3.0, 180.0, send)

    on_virtual_time(main)
    return trace
