"""The raw limit: a deque, a future to wake its reader, and an awaited handler; no actor can do with less."""

import asyncio
from collections import deque


class BareCounter:
    """Answers asks; no errors caught, no deadlines, no bound, no fairness."""

    def __init__(self) -> None:
        self.total = 0
        self.queue: deque[tuple[int, asyncio.Future[int]]] = deque()
        self.loop = asyncio.get_running_loop()
        self.filled: asyncio.Future[None] = self.loop.create_future()

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    async def serve(self) -> None:
        queue = self.queue
        while True:
            if not queue:
                self.filled = self.loop.create_future()
                await self.filled
            while queue:
                amount, reply = queue.popleft()
                reply.set_result(await self.add(amount))

    def ask(self, amount: int) -> asyncio.Future[int]:
        """The reply to come."""
        reply: asyncio.Future[int] = self.loop.create_future()
        self.queue.append((amount, reply))
        if not self.filled.done():
            self.filled.set_result(None)
        return reply
