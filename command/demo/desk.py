"""`Desk`: where orders are accepted. What it accepted is stored, and written down a second time for the audit."""

import asyncio
import os
from pathlib import Path

import msgspec

from upright.actors.refs import Ref

from .intake import Intake
from .order import Order

ACCEPTED = "accepted.jsonl"


class AcceptedFile:
    """A line of JSON for each accepted order. Those that come together share one sync."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    async def write(self, line: bytes) -> None:
        """Return when the line is on disk. Raises `OSError`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, b"".join(line for line, _ in batch))
            except OSError as error:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    def _append(self, text: bytes) -> None:
        view = memoryview(text)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)


class Desk:
    """Accepts orders, whoever brings them."""

    def __init__(self, intake: Ref[Intake], accepted: AcceptedFile) -> None:
        self._intake, self._accepted = intake, accepted

    async def accept(self, order: Order) -> bool:
        """Return when it is on disk; False for one of an id that was accepted before, which changes nothing.

        Raises `StoreError`, `OSError`: then it is not known to be accepted.
        """
        receipt = await self._intake.once(order.id).tell(Intake.accept, order)
        if receipt is not None and receipt.duplicate:
            return False
        await self._accepted.write(msgspec.json.encode(order) + b"\n")
        return True
