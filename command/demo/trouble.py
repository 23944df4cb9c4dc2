"""The trouble that a service has, as a schedule: which kind, from when until when. Pure: the time is an argument."""

from typing import Literal

import msgspec

Kind = Literal["slow", "failing", "failing after", "hanging", "refusing", "down"]
KINDS: tuple[Kind, ...] = ("slow", "failing", "failing after", "hanging", "refusing", "down")
"""`slow`: each answer takes a quarter of a second. `failing`: 500, and nothing is done. `failing after`: 500, and it is
done. `hanging`: no answer; every second one is done. `refusing`: nobody listens. `down`: 503 with `Retry-After`.
"""
Plan = Literal["full", "short", "none"]


class Phase(msgspec.Struct, frozen=True, array_like=True):
    """Trouble of one `kind`, `since` and `until` in seconds after the first request."""

    since: float
    until: float
    kind: Kind

    def __post_init__(self) -> None:
        if not 0 <= self.since < self.until:
            raise ValueError(f"expected a phase to end after it began, got {self.since} to {self.until}")


Schedule = tuple[Phase, ...]

FULL: dict[str, Schedule] = {
    "payments": (Phase(2, 4, "slow"), Phase(12.5, 14, "failing after"), Phase(23.5, 26, "down")),
    "warehouse": (Phase(5, 7.5, "refusing"), Phase(18.5, 20, "failing")),
    "carrier": (Phase(9, 11.5, "down"), Phase(21, 23, "hanging")),
    "mail": (Phase(16.5, 18, "failing"), Phase(24.5, 26.5, "refusing")),
}
SHORT: dict[str, Schedule] = {
    "payments": (Phase(0.1, 0.5, "failing after"),),
    "warehouse": (Phase(0.3, 0.8, "refusing"),),
    "carrier": (Phase(0.2, 0.6, "hanging"), Phase(0.8, 1.2, "down")),
    "mail": (Phase(0.1, 0.3, "slow"), Phase(0.5, 0.9, "failing")),
}
NONE: dict[str, Schedule] = dict.fromkeys(FULL, ())
SERVICES = tuple(FULL)
"""The names of the four services, in the order in which an order needs them."""


def schedule_of(service: str, plan: Plan) -> Schedule:
    """The trouble of a service by that plan."""
    return {"full": FULL, "short": SHORT, "none": NONE}[plan][service]


def trouble_at(schedule: Schedule, elapsed: float | None) -> Kind | None:
    """The kind of trouble after so many seconds; None for none, or before the first request. The first that fits
    counts.

    >>> trouble_at((Phase(1, 2, "slow"),), 1.5)
    'slow'
    """
    if elapsed is None:
        return None
    return next((phase.kind for phase in schedule if phase.since <= elapsed < phase.until), None)
