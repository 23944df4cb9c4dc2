"""A dependency by name, and the guard around calls of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec


class CircuitBreaker(msgspec.Struct, frozen=True):
    """A breaker by the `name` of the dependency that it watches; one for each, shared by all who use it.

    Name it on the actor, `uses = (SMTP,)`, and put it around calls, `async with self.ctx.guard(SMTP):`. It is always
    closed for now: nothing trips it.
    """

    name: str

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected name to be a string that is not empty, got {name!r}")

    @asynccontextmanager
    async def admit(self) -> AsyncGenerator[None]:
        """Let a call through."""
        yield
