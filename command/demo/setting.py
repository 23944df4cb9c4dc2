"""`Setting`: what somebody asked of a run of the demo, as one value."""

from pathlib import Path

import msgspec

from .sample import SEED
from .trouble import Plan


class Setting(msgspec.Struct, frozen=True):
    """`orders`: a file, `-` for standard input, None for the sample of so many `lines`. `chaos`: whether the worker is
    killed. `seed`: of the sample, and of the times of the kills. `port`: of POST /orders, 0 for any. `rate`: orders a
    second, for the first thousand; 0 for no pace. `trouble`: of the services. `patience`: seconds without progress
    after which it gives up.
    """

    orders: str | None = None
    chaos: bool = False
    seed: int = SEED
    lines: int = 1_000
    port: int = 0
    rate: float = 35.0
    trouble: Plan = "full"
    patience: float = 90.0

    @property
    def path(self) -> Path | None:
        """The file of the orders, if it is one."""
        return Path(self.orders) if self.orders not in (None, "-") else None
