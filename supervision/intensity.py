"""Restart intensity: how many restarts in how many seconds are still healing, and when it is better to give up.

The algorithm is OTP's (`supervisor:add_restart/1`): keep the times that are not older than `within`, add the new one,
and allow it if there are at most `max_restarts`.
"""

from collections import deque

import msgspec

from .checks import more_than, whole


class Intensity(msgspec.Struct, frozen=True):
    """At most `max_restarts` (0 or more) restarts in any `within` seconds.

    >>> Intensity(-1)
    Traceback (most recent call last):
    ...
    ValueError: expected max_restarts to be 0 or more, got -1
    """

    max_restarts: int = 3
    within: float = 5.0

    def __post_init__(self) -> None:
        whole("max_restarts", self.max_restarts, 0)
        more_than("within", self.within, 0, " seconds")


class Restarts:
    """The restarts of one supervisor, as far as they count. Asking and recording are two verbs.

    >>> restarts = Restarts(Intensity(max_restarts=1, within=5.0))
    >>> restarts.would_exceed(0.0), restarts.record(0.0), restarts.would_exceed(5.0), restarts.would_exceed(5.1)
    (False, None, True, False)
    """

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self._times: deque[float] = deque()

    def would_exceed(self, now: float) -> bool:
        """Whether a restart at `now` (monotonic seconds) would be one too many."""
        return self.count(now) + 1 > self.intensity.max_restarts

    def record(self, now: float) -> None:
        """A restart happens at `now`."""
        self._times.append(now)

    def count(self, now: float) -> int:
        """The restarts that count at `now`; older ones are forgotten."""
        while self._times and self._times[0] < now - self.intensity.within:
            self._times.popleft()
        return len(self._times)
