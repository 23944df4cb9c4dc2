"""What became of the last calls of a dependency: counted, without a clock and without a loop.

Two windows answer alike. A window over time forgets by the bucket, so that its sums cost nothing to keep; a window over
calls forgets one call for each new one.
"""

from collections import deque
from typing import NamedTuple, Protocol

BUCKETS = 10


class Tally(NamedTuple):
    """How many `calls` there were, and how many of them were `failed` and `slow`; one may be both."""

    calls: int = 0
    failed: int = 0
    slow: int = 0


class Window(Protocol):
    """The last calls. `failed`, `slow`: how many of those that were recorded, some of which may not count any more."""

    failed: int
    slow: int

    def record(self, failed: bool, slow: bool, now: float) -> None:
        """Another call has ended."""
        ...

    def tally(self, now: float) -> Tally:
        """What became of those that still count."""
        ...

    def clear(self) -> None:
        """Forget all of them."""
        ...


class TimeWindow:
    """The calls of the last `seconds`, in ten buckets: the oldest tenth is forgotten at a time.

    A clock that goes back changes nothing: what comes then counts as of the newest time known.

    >>> window = TimeWindow(60.0)
    >>> window.record(True, False, 0.0), window.record(False, True, 30.0)
    (None, None)
    >>> window.tally(59.0), window.tally(61.0), window.tally(200.0)
    (Tally(calls=2, failed=1, slow=1), Tally(calls=1, failed=0, slow=1), Tally(calls=0, failed=0, slow=0))
    """

    __slots__ = ("_bucket", "_buckets", "_older", "_span", "_tick", "_until", "failed", "slow")

    def __init__(self, seconds: float) -> None:
        self._span = seconds / BUCKETS
        self._tick = 0
        self.clear()

    def clear(self) -> None:
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]
        self._older = self.failed = self.slow = 0  # older: calls in all buckets but the present one
        self._look_at()

    def _look_at(self) -> None:
        """Count in the present bucket from now on."""
        self._bucket = self._buckets[self._tick % BUCKETS]
        self._until = (self._tick + 1) * self._span

    def _turn(self, now: float) -> None:
        tick = int(now // self._span)
        if tick - self._tick >= BUCKETS:
            self._tick = tick
            self.clear()
        while self._tick < tick:
            self._tick += 1
            oldest = self._buckets[self._tick % BUCKETS]
            self._older, self.failed, self.slow = (
                self._older + self._bucket[0] - oldest[0], self.failed - oldest[1], self.slow - oldest[2]
            )  # fmt: skip
            oldest[:] = 0, 0, 0
            self._look_at()

    def record(self, failed: bool, slow: bool, now: float) -> None:
        if now >= self._until:
            self._turn(now)
        bucket = self._bucket
        bucket[0] += 1
        if failed:
            bucket[1] += 1
            self.failed += 1
        if slow:
            bucket[2] += 1
            self.slow += 1

    def tally(self, now: float) -> Tally:
        self._turn(now)
        return Tally(self._older + self._bucket[0], self.failed, self.slow)


class CountWindow:
    """The last `size` calls.

    >>> window = CountWindow(2)
    >>> [window.record(failed, False, 0.0) for failed in (True, True, False)]
    [None, None, None]
    >>> window.tally(0.0)
    Tally(calls=2, failed=1, slow=0)
    """

    __slots__ = ("_last", "_size", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self.clear()

    def clear(self) -> None:
        self._last: deque[tuple[bool, bool]] = deque()
        self.failed = self.slow = 0

    def record(self, failed: bool, slow: bool, now: float) -> None:
        self._last.append((failed, slow))
        self.failed += failed
        self.slow += slow
        if len(self._last) > self._size:
            failed, slow = self._last.popleft()
            self.failed -= failed
            self.slow -= slow

    def tally(self, now: float) -> Tally:
        return Tally(len(self._last), self.failed, self.slow)
