"""How long to hold back before the next try: a value, without a clock and without a loop.

Cap first, then jitter. The other order, which clamps what was jittered, makes everybody who waits long wait exactly
the cap, and come back in one wave.
"""

import math
import random
from typing import Literal

import msgspec

from .checks import at_least, more_than, one_of, whole

Jitter = Literal["equal", "full", "none"]
JITTERS: tuple[Jitter, ...] = ("equal", "full", "none")


class Backoff(msgspec.Struct, frozen=True):
    """Delays that grow by `factor` from `first` to `cap` seconds, each spread by `jitter`.

    `equal` keeps half of the delay and spreads the other half; `full` spreads all of it; `none` spreads nothing.
    After `quiet` seconds without a failure the count begins anew; by default twice the cap.

    >>> exact = Backoff(0.5, 3.0, jitter="none")
    >>> [exact.delay(nth, random.Random(1)) for nth in (1, 2, 3, 4)]
    [0.5, 1.0, 2.0, 3.0]
    >>> Backoff(2.0, 1.0)
    Traceback (most recent call last):
    ...
    ValueError: expected cap to be 2.0 or more seconds, got 1.0
    """

    first: float
    cap: float
    factor: float = 2.0
    jitter: Jitter = "equal"
    quiet: float | None = None

    def __post_init__(self) -> None:
        more_than("first", self.first, 0, " seconds")
        at_least("cap", self.cap, self.first, " seconds")
        if not math.isfinite(self.cap):
            raise ValueError(f"expected cap to be a finite number of seconds, got {self.cap!r}")
        at_least("factor", self.factor, 1)
        one_of("jitter", self.jitter, JITTERS)
        if self.quiet is not None:
            more_than("quiet", self.quiet, 0, " seconds")

    def delay(self, nth: int, rng: random.Random) -> float:
        """Seconds to hold back before the `nth` try in a row, from 1. Raises `ValueError` below 1."""
        whole("nth", nth, 1)
        try:
            grown = self.first * float(self.factor) ** (nth - 1)
        except OverflowError:
            grown = self.cap
        capped = min(self.cap, grown)
        match self.jitter:
            case "none":
                return capped
            case "full":
                return rng.uniform(0.0, capped)
            case "equal":
                return capped / 2 + rng.uniform(0.0, capped / 2)

    def is_quiet(self, since_last: float) -> bool:
        """Whether so many seconds without a failure are enough to begin anew."""
        return since_last >= (2 * self.cap if self.quiet is None else self.quiet)
