"""How long a store keeps what is over and done with."""

import math

import msgspec

from upright.supervision.checks import at_least, whole

DAY = 86_400.0


class Retention(msgspec.Struct, frozen=True):
    """What is deleted, some time after it is true: `Sqlite(path, retention=Retention(finished_for=86_400.0))`.

    `finished_for`: seconds for which a message that is done or dropped keeps its story, its reply and its `once` key.
    `finished_count`: of the latest so many of them, or a few more; None for any number. `quarantined_for`,
    `quarantined_count`: the same for letters in quarantine, which are kept for ever unless you say otherwise.
    `runs_for`: seconds for which the record of a run of a state machine is kept that is over, with its data and its
    history; for ever unless you say otherwise. `runs_count`: of the latest so many, over all machines.

    >>> Retention(finished_for=-1.0)
    Traceback (most recent call last):
    ...
    ValueError: expected finished_for to be 0 or more seconds, got -1.0
    """

    finished_for: float = 7 * DAY
    finished_count: int | None = 1_000_000
    quarantined_for: float = math.inf
    quarantined_count: int | None = None
    runs_for: float = math.inf
    runs_count: int | None = None

    def __post_init__(self) -> None:
        at_least("finished_for", self.finished_for, 0, " seconds")
        at_least("quarantined_for", self.quarantined_for, 0, " seconds")
        at_least("runs_for", self.runs_for, 0, " seconds")
        for name in ("finished_count", "quarantined_count", "runs_count"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 0)

    @property
    def is_for_ever(self) -> bool:
        """Whether nothing is ever deleted."""
        return self == KEEP_ALL


KEEP_ALL = Retention(math.inf, None)
"""Deletes nothing."""
