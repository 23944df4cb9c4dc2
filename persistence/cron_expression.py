"""A cron expression in a time zone, and when it comes next.

It stands apart because it is the only room that knows `cronsim`, which reads the expression as Debian's cron does, the
days on which clocks are changed included. That is an extra, and nobody needs it who writes no `cron(…)`.
"""

import math
from datetime import datetime
from types import ModuleType
from zoneinfo import ZoneInfo

import msgspec

FIELDS = "minute, hour, day of month, month, day of week"


class CronExpression(msgspec.Struct, frozen=True):
    """Five fields, and the name of the zone whose wall clock they speak of.

    Raises `ValueError` for what cron does not know, for times that never come and for an unknown zone; `ImportError`
    where `cronsim` is not installed.

    >>> nightly = CronExpression("0 2 * * *", "Europe/Berlin")
    >>> datetime.fromtimestamp(nightly.next_after(1_700_000_000.0), ZoneInfo("Europe/Berlin")).isoformat()
    '2023-11-15T02:00:00+01:00'
    >>> CronExpression("0 25 * * *", "UTC")
    Traceback (most recent call last):
    ...
    ValueError: expected the five fields of cron (minute, hour, ...), got '0 25 * * *': Bad hour
    """

    text: str
    tz: str

    def __post_init__(self) -> None:
        zone_of(self.tz)
        cronsim = the_library()
        expected = f"expected the five fields of cron ({FIELDS}), got {self.text!r}"
        given: object = self.text
        if not isinstance(given, str) or len(given.split()) != 5:
            raise ValueError(expected)
        try:
            first = self.next_after(0.0)
        except cronsim.CronSimError as error:
            raise ValueError(f"{expected}: {error}") from None
        if first == math.inf:
            raise ValueError(f"expected a cron expression whose time comes, got {self.text!r}, which has none")

    def next_after(self, when: float) -> float:
        """The first time after `when`, both in seconds since the epoch; infinity if there is none in fifty years."""
        for tick in the_library().CronSim(self.text, datetime.fromtimestamp(when, zone_of(self.tz))):
            moment: float = tick.timestamp()
            # In the hour that a clock goes through twice, cronsim may name the first pass when asked in the second.
            if moment > when:
                return moment
        return math.inf


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises `ValueError`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):  # a name that is none, also one that is a folder of zones
        raise ValueError(
            f"expected tz to be a time zone such as 'Europe/Berlin', got {name!r}; a system without zones needs tzdata"
        ) from None


def the_library() -> ModuleType:
    """What reads the expressions. Raises `ImportError`, which names the extra."""
    try:
        import cronsim
    except ImportError:
        raise ImportError("cron(…) needs cronsim, an extra of this library: pip install 'upright[schedules]'") from None
    return cronsim
