"""A process that a test stops and wakes, to see what becomes of a late owner, and the actors that it runs.

As a program: `python -m tests.persistence.late FILE LEASE DEED`. It tells its clerk three numbers, one of them with
that deed, and says what happens on its output, a line each. A deed that waits goes on with a line of input; when
the input ends, the process leaves in order. `Owner` starts it.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.persistence.crashes import PATIENCE, ROOT, SOON
from upright.actors import Actor, ActorSystem
from upright.actors.errors import Detached
from upright.actors.events import Event, LoopBlocked
from upright.persistence import DeliveryLost, Durable, Sqlite
from upright.supervision import ChildSpec, Supervisor, child, supervisor

Say = Callable[..., None]
BLOCKED = 2.5
"""Seconds for which a deed blocks the loop."""


class Sum(msgspec.Struct):
    total: int = 0


class Witness(Actor):
    """Is told, in memory, each number whose end was committed."""

    def __init__(self, say: Say) -> None:
        self.say = say

    async def hear(self, number: int) -> None:
        self.say("heard", number)


class Copier(Actor):
    """Is told each number by the commit itself."""

    mailbox = Durable("copies", order="free", retry=SOON)

    async def copy(self, number: int) -> None: ...


class Clerk(Actor[Sum]):
    """Adds numbers up, then does the deed; with no `gate`, it does none."""

    mailbox = Durable("clerk", retry=SOON)

    def __init__(self, say: Say, gate: asyncio.Event | None) -> None:
        self.say, self.gate = say, gate

    async def add(self, number: int, deed: str) -> None:
        self.say("began", number, self.ctx.delivery.attempt)
        self.state.total += number
        await self.ctx.ref("witness", Witness).tell(Witness.hear, number)
        await self.ctx.ref("copies", Copier).tell(Copier.copy, number)
        if self.gate is not None:
            await self._do(deed, self.gate)

    async def _do(self, deed: str, gate: asyncio.Event) -> None:
        match deed:
            case "ack":
                await gate.wait()
            case "retry":
                await gate.wait()
                raise ValueError("on purpose")
            case "heartbeat":
                await gate.wait()
                try:
                    await self.ctx.heartbeat("half of it")
                except Detached:
                    self.say("detached")
                    raise
            case "save":
                self.ctx.after(0.0, Clerk.grow)
            case "block":
                time.sleep(BLOCKED)  # the mistake that others make
            case _:
                pass

    async def grow(self) -> None:
        """The state may be changed by what comes from no delivery, too."""
        assert self.gate is not None
        self.say("grows")
        await self.gate.wait()
        self.state.total += 1000


def system_on(path: Path, lease: float, say: Say, gate: asyncio.Event | None, **options: Any) -> ActorSystem:
    """One that works on that file."""
    tree: ChildSpec[Supervisor] = supervisor(
        "top", child("witness", Witness, say), child("copier", Copier), child("clerk", Clerk, say, gate)
    )
    return ActorSystem(tree, store=Sqlite(path, lease=lease), log=None, **options)


async def work(path: Path, lease: float, deed: str) -> None:
    gate = asyncio.Event()
    made = system_on(path, lease, say_aloud, gate, blocked_after=0.2)

    def tell(event: Event) -> None:
        match event:
            case DeliveryLost():
                say_aloud("lost", event.message, event.attempt, event.verdict)
            case LoopBlocked():
                say_aloud("blocked", event.path, event.handler)
            case _:
                pass

    made.subscribe(tell, DeliveryLost, LoopBlocked)
    async with made:
        clerk = made.ref("/top/clerk", Clerk)
        for number in (1, 2, 3):
            await clerk.tell(Clerk.add, number, deed if number == (3 if deed == "save" else 1) else "")
        say_aloud("up")
        while await asyncio.to_thread(sys.stdin.readline):
            gate.set()


def say_aloud(*words: object) -> None:
    os.write(1, " ".join(map(str, words)).encode() + b"\n")  # one call: the watchdog speaks from a thread of its own


class Owner:
    """Such a process, and what it has said."""

    def __init__(self, path: Path, lease: float, deed: str) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.persistence.late", str(path), str(lease), deed],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(line.decode().strip() for line in self.process.stdout)

    def stop(self) -> None:
        """Stop it as the shell's ctrl-z does: it keeps its locks, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Have it go on, with the deed that waits too."""
        self.go_on()
        self.open()

    def go_on(self) -> None:
        """Have it go on; the deed still waits."""
        self.process.send_signal(signal.SIGCONT)

    def open(self) -> None:
        """Have the deed that waits go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def leave(self) -> int:
        """Have it leave in order; its return code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Whatever has become of it, it is gone afterwards."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
