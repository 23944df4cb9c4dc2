"""`Feeder`: reads lines of orders from a file, from standard input or from the sample, and has each one accepted."""

import asyncio
import contextlib
import math
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

from upright.persistence.errors import StoreError

from .desk import Desk
from .lines import CHUNK, LONGEST, Line, lines_of
from .order import Order, Refused, read_order
from .scene import Scene

PACED = 1_000
"""So many orders come at the given rate, so that there is something to see; what is behind them as fast as it can."""
LOOK = 0.05
BEHIND = 0.1
"""Seconds by which it may be late and make up for it."""
OPEN = 1_000
"""Orders that may be under way; beyond that no more lines are read, so that a large file is worked off as it comes."""
TOGETHER = 64
"""Orders that are accepted beside each other then: they share the syncs of the disk."""


class Feeder:
    """`rate`: orders a second, for the first thousand; 0 for no pace at all."""

    def __init__(self, desk: Desk, scene: Scene, rate: float) -> None:
        self._desk, self._scene, self._rate = desk, scene, rate
        self._together: list[tuple[int, Order]] = []
        self._next = -math.inf
        self._at_it = asyncio.Lock()
        self._leaving = asyncio.Event()

    async def feed(self, source: AsyncIterator[list[Line]]) -> None:
        """Take all lines, one after the other. Raises `OSError` of the source, and what the desk raises."""
        async for lines in source:
            async with self._at_it:
                for line in lines:
                    if self._leaving.is_set():
                        break
                    await self._take(line)
                await self._flush()  # what comes from somebody who types is not to wait for more
        self._scene.input_ended = True
        self._scene.tell("the input has ended")

    async def leave(self) -> None:
        """Take no more lines; return when those in hand are accepted. It can be cancelled then without harm."""
        self._leaving.set()
        async with self._at_it:
            return

    async def _take(self, line: Line) -> None:
        scene = self._scene
        if line.is_empty:
            scene.empty += 1
            return
        scene.read += 1
        try:
            if not line.is_whole:
                raise Refused(f"longer than {LONGEST} bytes")
            order = read_order(line.text)
        except Refused as refused:
            scene.refused.add(line.number, str(refused))
            if scene.read % TOGETHER == 0:
                await asyncio.sleep(0)
            return
        await self._has_room()
        if self._rate and scene.accepted < PACED:
            await self._pace()
            await self._accept(line.number, order)
        else:
            self._together.append((line.number, order))
            if len(self._together) >= TOGETHER:
                await self._flush()

    async def _has_room(self) -> None:
        scene = self._scene
        while scene.accepted - scene.ended >= OPEN and not self._leaving.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), LOOK)

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + 1 / self._rate, now - BEHIND)
        if self._next > now:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), self._next - now)

    async def _flush(self) -> None:
        together, self._together = self._together, []
        if together:
            async with asyncio.TaskGroup() as group:
                for number, order in together:
                    group.create_task(self._accept(number, order))

    async def _accept(self, number: int, order: Order) -> None:
        try:
            accepted = await self._desk.accept(order)
        except (StoreError, OSError):
            self._scene.refused.add(number, "it could not be stored")
            raise
        if accepted:
            self._scene.accepted += 1
        else:
            self._scene.duplicates.add(number, f"order {order.id} was accepted before")


def chunks_of(file: int) -> Iterator[bytes]:
    """What can be read from a file descriptor."""
    while chunk := os.read(file, CHUNK):
        yield chunk


async def read_lines(path: Path | None) -> AsyncIterator[list[Line]]:
    """The lines of a file, of standard input for None. They are read in a thread of their own, which nobody waits for:
    it may stand in a read of which nothing comes. Raises `OSError`.
    """
    file = os.open(path, os.O_RDONLY) if path is not None else 0
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[list[Line] | OSError | None](8)

    def hand_over(what: list[Line] | OSError | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(what), loop).result()

    def read() -> None:
        try:
            try:
                for lines in lines_of(chunks_of(file)):
                    hand_over(lines)
                hand_over(None)
            except OSError as error:
                hand_over(error)
        except (RuntimeError, CancelledError):  # the loop is closed: nobody wants it any more
            return
        finally:
            if file:
                os.close(file)

    threading.Thread(target=read, name="orders", daemon=True).start()
    while (got := await queue.get()) is not None:
        if isinstance(got, OSError):
            raise got
        yield got


async def given_lines(lines: list[bytes]) -> AsyncIterator[list[Line]]:
    """Lines that are there already."""
    yield [Line(number, text) for number, text in enumerate(lines, 1)]
