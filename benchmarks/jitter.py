"""Clients who try one dependency again, each jitter for itself: a simulation with its own time, without loop and clock.

Contention is the model of Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), written anew:
all clients read one row and write it, and a write fails when somebody else wrote in between. The outage is ours. Who
draws is the benchmark's matter, so that a test can give the same dice twice.
"""

import heapq
import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from upright.supervision.retry import RETRY_JITTERS, Retry

Delay = Callable[[int, float, random.Random], float]
"""Seconds to hold back after the failure of an attempt, from 1; the second argument is the delay before, 0 at first."""

WAY = (0.010, 0.002)
"""Mean and deviation of the seconds that a message is under way, as Brooker has them."""
MANY = 1_000
"""Doublings at which we stop: the delay is beyond any cap, and soon beyond a float."""


class Course(NamedTuple):
    """What the dependency has seen: when each call came, in order, and when the last client knew that it was done."""

    calls: list[float]
    done: float


def policies(base: float, cap: float) -> dict[str, Delay]:
    """Our jitters, which cap first and spread then, and forms that clamp what was spread.

    `sum, clamped` is the form of tenacity's `wait_exponential_jitter` and of stamina: they add a little, here up to
    `base` as by tenacity's defaults. `decorrelated, clamped` is AWS's.
    """
    ours: dict[str, Delay] = {jitter: Retry(base=base, cap=cap, jitter=jitter).delay for jitter in RETRY_JITTERS}

    def grown(attempt: int) -> float:
        return base * 2.0 ** min(attempt - 1, MANY)

    def equal(attempt: int, _: float, rng: random.Random) -> float:
        return min(cap, grown(attempt) / 2 + rng.uniform(0.0, grown(attempt) / 2))

    def full(attempt: int, _: float, rng: random.Random) -> float:
        return min(cap, rng.uniform(0.0, grown(attempt)))

    def decorrelated(_: int, previous: float, rng: random.Random) -> float:
        return min(cap, rng.uniform(base, 3 * max(base, previous)))

    def added(attempt: int, _: float, rng: random.Random) -> float:
        return min(cap, grown(attempt) + rng.uniform(0.0, base))

    return ours | {
        "equal, clamped": equal,
        "full, clamped": full,
        "decorrelated, clamped": decorrelated,
        "sum, clamped": added,
    }


def at_once(attempt: int, previous: float, rng: random.Random) -> float:
    """No back-off at all."""
    return 0.0


def under_way(rng: random.Random) -> float:
    """Seconds that a message takes."""
    return abs(rng.normalvariate(*WAY))


def contention(clients: int, delay: Delay, rng: random.Random) -> Course:
    """So many clients write one row, each once, and begin in the same instant. A call is a write; its read is not."""
    attempts, delays = [0] * clients, [0.0] * clients
    read: list[int | None] = [None] * clients
    # Who has read nothing comes to read; who has read comes to write.
    coming = [(under_way(rng), client) for client in range(clients)]
    heapq.heapify(coming)
    calls = list[float]()
    version, done = 0, 0.0
    while coming:
        now, client = heapq.heappop(coming)
        back = now + under_way(rng)
        seen = read[client]
        if seen is None:
            read[client] = version
            heapq.heappush(coming, (back + under_way(rng), client))
            continue
        calls.append(now)
        if seen == version:
            version += 1
            done = max(done, back)
            continue
        read[client] = None
        attempts[client] += 1
        delays[client] = delay(attempts[client], delays[client], rng)
        heapq.heappush(coming, (back + delays[client] + under_way(rng), client))
    if version != clients:
        raise AssertionError(f"expected {clients} writes, got {version}")
    return Course(calls, done)


def outage(
    clients: int,
    delay: Delay,
    rng: random.Random,
    *,
    down: float,
    capacity: float,
    failures: int = 0,
    room: float = 1.0,
) -> Course:
    """All clients call in the same instant a dependency that refuses all for `down` seconds.

    Then it works off `capacity` calls a second, one after another, and refuses whoever finds `room` seconds of work
    before him. A refused call costs it nothing, which is kind to those who come in waves. `failures`: how often in a
    row each client has failed before that instant.
    """
    attempts, delays = [failures] * clients, [0.0] * clients
    for client in range(clients):
        for attempt in range(1, failures + 1):
            delays[client] = delay(attempt, delays[client], rng)
    coming = [(under_way(rng), client) for client in range(clients)]
    heapq.heapify(coming)
    calls = list[float]()
    busy_until, done = down, 0.0
    while coming:
        now, client = heapq.heappop(coming)
        calls.append(now)
        if now >= down and busy_until - now < room:
            busy_until = max(busy_until, now) + 1 / capacity
            done = max(done, busy_until + under_way(rng))
            continue
        attempts[client] += 1
        delays[client] = delay(attempts[client], delays[client], rng)
        heapq.heappush(coming, (now + under_way(rng) + delays[client] + under_way(rng), client))
    return Course(calls, done)


def peak(calls: Sequence[float], window: float) -> int:
    """The most calls that came within so many seconds, wherever these begin. The calls are in order."""
    most = first = 0
    for place, call in enumerate(calls):
        while call - calls[first] > window:
            first += 1
        most = max(most, place - first + 1)
    return most


def per_second(calls: Sequence[float], until: float) -> list[int]:
    """How many calls came in each second, from 0 up to that one."""
    counts = [0] * math.ceil(until)
    for call in calls:
        if call < len(counts):
            counts[int(call)] += 1
    return counts
