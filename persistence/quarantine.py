"""The quarantine: messages that could not be handled, with their stories; to look at, to mend, and to send on again."""

import asyncio
import functools
import math
import os
import random
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import anyio
import msgspec

from upright.supervision.backoff import Backoff
from upright.supervision.checks import more_than

from .codec import packed
from .errors import StoreError
from .port import Desk
from .reports import Filter, Group, Letter, grouped, may_be

T = TypeVar("T")
PAGE = 200
"""Messages that are redriven or dropped in one go, where no rate is given."""
BREATH = 0.1
"""Seconds between two goes of a redrive at a rate, at least."""

AGAIN = Backoff(0.5, 60.0)
"""Between tries of what nobody waits for, while the store does not take it."""


class House(Protocol):
    """What the quarantine needs of its store."""

    async def look(self, address: str | None) -> None: ...
    def check(self, address: str, handler: str, body: bytes) -> None: ...


class Quarantine:
    """What was set aside in a store, as `store.quarantine`.

    Looking works on the file alone, also while a service runs; what changes something needs a system that has the store
    open: `async with ActorSystem(store=store):` is enough.
    """

    def __init__(self, desk: Desk, house: House) -> None:
        self._desk, self._house = desk, house
        self._when_closed: dict[str, list[tuple[Filter, float | None]]] = {}
        self._rng = random.Random()

    async def letters(
        self, address: str | None = None, reason: str | None = None, error: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Letter]:
        """The messages in quarantine, the oldest first: of this address, for this reason, whose last error contains
        this text; `limit` of them at most.
        """
        async for letter in self._desk.letters(Filter(address, reason, error, limit)):
            yield letter

    async def groups(
        self, address: str | None = None, reason: str | None = None, error: str | None = None
    ) -> list[Group]:
        """The messages in quarantine by what went wrong with them, the largest group first."""
        return await grouped(self._desk.letters(Filter(address, reason, error)))

    async def redrive(self, *ids: int) -> int:
        """Put messages back at the tail of their mailboxes, as if they were new; how many there were."""
        moved = await self._desk.redrive([id for id in ids if may_be(id)])
        for address in moved:
            await self._house.look(address)
        return sum(moved.values())

    async def redrive_all(
        self, address: str | None = None, reason: str | None = None, error: str | None = None, *,
        rate: float | None = None, progress: Callable[[int], object] | None = None,
    ) -> int:  # fmt: skip
        """Redrive all that `letters` would show now, the oldest first; how many there were.

        `rate`: so many a second at most, which spares whoever was overwhelmed before; None for all at once. `progress`:
        called with how many are done, again and again. What comes to quarantine meanwhile is left there. Raises
        `ValueError` for a rate that is not more than 0. Cancel it at any time.
        """
        rate = _checked(rate)
        return await self._each(await self._ids(Filter(address, reason, error)), self.redrive, rate, progress)

    async def discard(self, *ids: int) -> int:
        """Drop messages for good; how many there were. Their stories stay."""
        return await self._desk.discard([id for id in ids if may_be(id)])

    async def discard_all(
        self, address: str | None = None, reason: str | None = None, error: str | None = None, *,
        progress: Callable[[int], object] | None = None,
    ) -> int:  # fmt: skip
        """Drop all that `letters` would show now; how many there were."""
        return await self._each(await self._ids(Filter(address, reason, error)), self.discard, None, progress)

    async def edit(self, id: int, arguments: Mapping[str, Any], handler: str | None = None) -> bool:
        """Give a message in quarantine other arguments, by the names of the handler's parameters, and another handler
        if one is named; False if it is not there. It stays where it is: redrive it next.

        `arguments`: all of them, as `Letter.arguments` shows them. Where the actor runs in this system, what does not
        fit its handler raises `Undecodable`.
        """
        given: object = arguments
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TypeError(f"expected arguments to be values by the names of the handler's parameters, got {given!r}")
        body = packed("arguments", dict(given))
        found = [letter async for letter in self._desk.letters(Filter(only=id))] if may_be(id) else []
        if not found:
            return False
        named = found[0].handler if handler is None else handler
        self._house.check(found[0].address, named, body)
        return await self._desk.edit(id, named, body)

    async def export(
        self, path: str | os.PathLike[str], address: str | None = None, reason: str | None = None,
        error: str | None = None,
    ) -> int:  # fmt: skip
        """Write what `letters` shows into a new file, a line of JSON each; how many there were.

        Arguments are plain values where they can be read, and `body` is base64 where they cannot. Raises
        `FileExistsError`: an export never takes the place of another.
        """
        encoder, count = msgspec.json.Encoder(enc_hook=str), 0
        async with await anyio.open_file(path, "xb") as file:
            async for letter in self._desk.letters(Filter(address, reason, error)):
                await file.write(encoder.encode(letter.plain()) + b"\n")
                count += 1
        return count

    def redrive_when_closed(
        self, breaker: str, address: str | None = None, reason: str | None = "attempts", error: str | None = None, *,
        rate: float | None = None,
    ) -> None:  # fmt: skip
        """From now on, redrive these whenever the circuit breaker of that name closes, in this process: by itself, or
        by `automatic` after it was moved by hand. `rate`: so many a second at most; None for all at once.

        It is known to this object, and written nowhere: say it at each start of the program. While the store does not
        take it, it is tried again. Raises `ValueError` for a rate that is not more than 0.
        """
        rate = _checked(rate)
        self._when_closed.setdefault(breaker, []).append((Filter(address, reason, error), rate))

    def waits_for(self, breaker: str) -> bool:
        """Whether anything is to be redriven when that breaker closes."""
        return breaker in self._when_closed

    async def closed(self, breaker: str, failed: Callable[[StoreError], object] | None = None) -> int:
        """That breaker has closed: redrive what was asked for; how many there were.

        `failed`: called when the store does not take it, which is tried again then; without it, `StoreError`s are
        raised.
        """
        done = 0

        async def redrive(*ids: int) -> int:
            return await self._again(failed, functools.partial(self.redrive, *ids))

        for only, rate in self._when_closed.get(breaker, ()):
            found = await self._again(failed, functools.partial(self._ids, only))
            done += await self._each(found, redrive, rate, None)
        return done

    async def _again(self, failed: Callable[[StoreError], object] | None, work: Callable[[], Awaitable[T]]) -> T:
        """Do it; where somebody hears of failures, until it succeeds."""
        tries = 0
        while True:
            try:
                return await work()
            except StoreError as error:
                if failed is None:
                    raise
                failed(error)
            tries += 1
            await asyncio.sleep(AGAIN.delay(tries, self._rng))

    async def _ids(self, only: Filter) -> "array[int]":
        """The letters that are there now. Their ids, and not the time: the clock may be set meanwhile."""
        found: array[int] = array("q")
        async for letter in self._desk.letters(only):
            found.append(letter.id)
        return found

    async def _each(
        self, ids: "array[int]", act: Callable[..., Awaitable[int]], rate: float | None,
        progress: Callable[[int], object] | None,
    ) -> int:  # fmt: skip
        """Do that with these letters, a few at a time."""
        loop = asyncio.get_running_loop()
        began, done = loop.time(), 0
        size = PAGE if rate is None else max(1, min(PAGE, int(rate * BREATH)))
        for first in range(0, len(ids), size):
            if rate is not None:
                await asyncio.sleep(began + first / rate - loop.time())
            done += await act(*ids[first : first + size])
            if progress is not None:
                progress(done)
        return done


def _checked(rate: float | None) -> float | None:
    if rate is not None:
        more_than("rate", rate, 0, " messages a second")
    return None if rate == math.inf else rate
