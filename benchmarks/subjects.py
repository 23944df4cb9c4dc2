"""The actors that the benchmarks of messages share."""

from upright.actors import Actor


class Counter(Actor):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.total = 0

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total
