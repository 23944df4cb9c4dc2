"""Calls through policies, for the tests of lines: who went, and when."""

import asyncio

from upright.actors.events import Event
from upright.actors.guards import Guards
from upright.actors.policies import Policy
from upright.actors.testing import settle


class Calls:
    """Calls through one `Guards`. `went`: the names of those that went, each with its seconds since the start.

    `most`: how many were under way at once. `events`: what the policies told.
    """

    def __init__(self) -> None:
        self.events = list[Event]()
        self.guards, self.went = Guards(self.events.append), dict[str, float]()
        self.start = asyncio.get_running_loop().time()
        self.under_way = self.most = 0

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time() - self.start

    async def call(self, name: str, *policies: Policy, took: float = 0.0, error: Exception | None = None) -> None:
        """One call, that takes so long, and may fail then."""
        async with self.guards.guard(*policies):
            self.went[name] = round(self.now, 6)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                if took:
                    await asyncio.sleep(took)
                if error is not None:
                    raise error
            finally:
                self.under_way -= 1

    async def begin(self, name: str, *policies: Policy, took: float = 0.0) -> asyncio.Task[None]:
        """The same in a task, as far as it comes at once."""
        task = asyncio.create_task(self.call(name, *policies, took=took))
        await settle()
        return task
