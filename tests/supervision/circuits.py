"""A circuit breaker without a loop, for the tests of its rules: a house with a clock to turn, and calls by one word."""

import random
from typing import Any

from upright.actors.events import Event
from upright.supervision.backoff import Backoff
from upright.supervision.breaker import Breaker
from upright.supervision.circuit_breaker import CircuitBreaker
from upright.supervision.events import BreakerOpened

EXACT = Backoff(5.0, 300.0, jitter="none")
DOWN = ConnectionError("down")


class PlainHouse:
    """What a policy may ask of its system. `clock`: the loop's; `epoch`: the wall's."""

    allows_chaos = False

    def __init__(self, records: dict[str, bytes] | None = None, seed: int = 0, epoch: float = 1e9) -> None:
        self.rng, self.clock, self.epoch = random.Random(seed), 0.0, epoch
        self.records: dict[str, bytes] = {} if records is None else records
        self.told: list[Event] = []

    def now(self) -> float:
        return self.clock

    def wall(self) -> float:
        return self.epoch

    def tell(self, event: Event) -> None:
        self.told.append(event)

    def recall(self, name: str) -> bytes | None:
        return self.records.get(name)

    def remember(self, name: str, record: bytes) -> None:
        self.records[name] = record


class Trial:
    """A breaker, opened by `CircuitBreaker("smtp", wait=EXACT, …)`, and its house."""

    def __init__(self, house: PlainHouse | None = None, **numbers: Any) -> None:
        self.house = house or PlainHouse()
        numbers.setdefault("wait", EXACT)
        self.policy = CircuitBreaker("smtp", **numbers)
        self.breaker: Breaker = self.policy.open(self.house)

    @property
    def now(self) -> float:
        return self.house.clock

    @property
    def state(self) -> str:
        return self.breaker.state

    @property
    def room(self) -> float:
        return self.breaker.room(self.now)

    def after(self, seconds: float) -> "Trial":
        """Let time pass, on both clocks."""
        self.house.clock += seconds
        self.house.epoch += seconds
        return self

    def enter(self, patient: bool = False) -> int | None:
        return self.breaker.enter(self.now, patient, 1)

    def begin(self, calls: int = 1) -> list[int]:
        """Calls that are let through, and go on."""
        tokens = [self.enter() for _ in range(calls)]
        assert None not in tokens
        return [token for token in tokens if token is not None]

    def end(self, token: int, error: BaseException | None = None, took: float = 0.0) -> None:
        self.breaker.leave(token, error, took, self.now)

    def call(self, error: BaseException | None = None, took: float = 0.0) -> None:
        """A call that is let through, and is over at once."""
        self.end(self.begin()[0], error, took)

    def calls(self, outcomes: str) -> "Trial":
        """A call for each letter: o is well, x has failed."""
        for outcome in outcomes:
            self.call(DOWN if outcome == "x" else None)
        return self

    def trip(self, error: BaseException = DOWN) -> "Trial":
        """Open it, from closed or half-open, by calls that fail."""
        while self.state != "open":
            self.call(error)
        return self

    def half_opened(self) -> "Trial":
        """Open it, let its wait pass, and make the first call, which is cancelled: half-open, with all permits."""
        self.trip().after(self.breaker.opens_at(self.now) - self.now)
        self.breaker.give_back(self.begin()[0], self.now)
        assert (self.state, self.room) == ("half-open", self.policy.permits)
        return self

    def closed_again(self) -> "Trial":
        """Open it and close it."""
        return self.half_opened().calls("o" * self.policy.permits)

    @property
    def openings(self) -> list[BreakerOpened]:
        return [event for event in self.house.told if isinstance(event, BreakerOpened)]

    @property
    def waits(self) -> list[float]:
        """How long each opening was to last."""
        return [event.wait_s for event in self.openings]
