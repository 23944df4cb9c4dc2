"""Partitioned supervisors: one address, several supervisors that are alike, each with the children of its keys.

One supervisor starts one child after the other, and one that has thousands of children answers for all of them alone.
Partitions share that out, as Elixir's `PartitionSupervisor` does.
"""

from typing import Any

from upright.actors.refs import Ref

from .errors import InvalidSpec
from .pool import Pool


class Partitioned(Pool):
    """A pool of partitions, routed by key; `partitioned("sessions", dynamic("part"), partitions=4)` makes one.

    `await sessions.ask(DynamicSupervisor.start_child, child("s-1", Session))` goes to the partition of `"s-1"`.
    """

    async def resize(self, size: int) -> None:
        """Not for partitions: raises `InvalidSpec`. Their children would be looked for in the wrong one."""
        raise InvalidSpec(f"expected the number of partitions of {self.ctx.path} to stay as it is, got {size!r}", "")

    async def partitions(self) -> list[Ref[Any]]:
        """The refs of all partitions, in the order of their numbers."""
        return await self.workers()

    async def partition_of(self, key: object) -> Ref[Any] | None:
        """The partition that is responsible for that key; None if none is up."""
        return await self.worker_of(key)
