"""What the tests of the syncer share: a loop to run on, a gate before each flush, and an eye on threads left behind."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.actors.loops import MakeLoop
from tests.persistence import gate
from upright.persistence import sync_program
from upright.persistence.syncer import Syncer, ThreadSyncer

KINDS = [Syncer, ThreadSyncer]
GATED = (str(gate.__file__), sync_program.__file__)
"""The program of a syncer, with a gate; the folder of the gate follows."""


def run(make_loop: MakeLoop, scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(scene(), 60)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


class Belongings:
    """The threads and descriptors of this process now, to be compared with those after."""

    def __init__(self) -> None:
        self._threads = {*threading.enumerate()}
        self._descriptors = len(os.listdir("/dev/fd"))

    def are_all(self) -> bool:
        """Nothing was added; a thread that is about to end is waited for."""
        for thread in {*threading.enumerate()} - self._threads:
            thread.join(20)
        return {*threading.enumerate()} <= self._threads and len(os.listdir("/dev/fd")) == self._descriptors


class Gate:
    """Every flush stops here: who came, and what is to become of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        for name in ("began", "go"):
            os.mkfifo(folder / name)
        self._began = os.open(folder / "began", os.O_RDWR | os.O_NONBLOCK)
        self._go = os.open(folder / "go", os.O_RDWR)

    async def entered(self) -> tuple[int, int]:
        """Wait until a flush has begun; the process that it is in, and the inode of its file."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._began, arrived.set)
        try:
            async with asyncio.timeout(20):
                await arrived.wait()
        finally:
            loop.remove_reader(self._began)
        said = os.read(self._began, 40)
        return int(said[:20]), int(said[20:])

    def let(self, fate: str = "o") -> None:
        """Let the flush happen, or have it fail (`e`), its process die (`d`), its thread crash (`x`)."""
        os.write(self._go, fate.encode())

    def nobody_waits(self) -> bool:
        try:
            return not os.read(self._began, 40)
        except BlockingIOError:
            return True

    def close(self) -> None:
        os.close(self._began)
        os.close(self._go)
