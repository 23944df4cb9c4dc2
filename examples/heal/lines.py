"""Numbered lines from a file, a pipe or a terminal, in little memory and without ever blocking the event loop."""

import asyncio
import os

import msgspec

CHUNK = 1 << 16
LONGEST = 4_096
"""Bytes of a line that are kept; the rest of a longer one is counted only."""


class Line(msgspec.Struct, frozen=True):
    """One line without its end. `number` counts from 1; `cut`: how many bytes were too many."""

    number: int
    raw: bytes
    cut: int = 0


class Lines:
    """The lines of an open file descriptor, to whoever asks next; several may ask at once."""

    def __init__(self, descriptor: int) -> None:
        self.count = 0
        """Lines handed out."""
        self._descriptor = descriptor
        self._turn = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._chunk = b""
        self._at = 0

    async def next(self) -> Line | None:
        """The next line, or None at the end. Raises `OSError`."""
        async with self._turn:
            kept, length, ended = bytearray(), 0, False
            while not ended and not self._stopped.is_set():
                if self._at == len(self._chunk):
                    self._chunk, self._at = await self._read(), 0
                    if not self._chunk:
                        break
                end = self._chunk.find(b"\n", self._at)
                ended = end >= 0
                part = self._chunk[self._at : end if ended else None]
                kept += part[: LONGEST - len(kept)]
                length += len(part)
                self._at += len(part) + ended
            if self._stopped.is_set() or not (ended or length):
                return None
            self.count += 1
            return Line(self.count, bytes(kept), length - len(kept))

    def stop(self) -> None:
        """Let there be no more lines, also for those who wait for one now."""
        self._stopped.set()

    async def _read(self) -> bytes:
        if await self._arrived():
            return os.read(self._descriptor, CHUNK)
        return b""

    async def _arrived(self) -> bool:
        """Wait until there is something to read; False when stopped."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except PermissionError:  # a file on disk: it is always ready, and epoll says so in its own way
            await asyncio.sleep(0)  # or a line without an end would keep Ctrl-C from being heard
            return True
        waiting = [asyncio.ensure_future(event.wait()) for event in (ready, self._stopped)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._descriptor)
            for one in waiting:
                one.cancel()
        return not self._stopped.is_set()
