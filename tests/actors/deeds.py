"""The one actor of these tests: it does the deed that it is told to do, and notes what it did in a journal.

The journal is handed in, so that a test reads what all incarnations did, in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from upright.actors import Actor, ActorSystem, Bounded, DeadLetter, Down, Exit, Ref, Refuse, concurrent
from upright.actors.options import Full
from upright.actors.testing import settle


class Oops(Exception):
    """What a deed crashes with."""


class Deeds(Actor):
    """Each handler is a deed. `journal`: what was done, shared with the test."""

    def __init__(self, journal: list[Any] | None = None) -> None:
        self.journal: list[Any] = [] if journal is None else journal

    async def note(self, word: Any) -> None:
        """Write a word into the journal."""
        self.journal.append(word)

    async def reply(self, value: Any = None) -> Any:
        """Give the value back."""
        return value

    async def crash(self, text: str = "on purpose") -> Any:
        raise Oops(text)

    async def refuse(self, text: str = "no") -> Any:
        raise Refuse(text)

    async def stop(self) -> str:
        """Stop after this message, and answer it."""
        self.ctx.stop()
        return "stopped"

    async def sleep(self, seconds: float, value: Any = None) -> Any:
        await asyncio.sleep(seconds)
        return value

    async def hold(self, gate: asyncio.Event, value: Any = None) -> Any:
        """Note that it has begun, then keep the mailbox shut until the gate opens."""
        self.journal.append("held")
        await gate.wait()
        return value

    async def hang(self) -> Any:
        """Wait for ever."""
        self.journal.append("held")
        await asyncio.get_running_loop().create_future()

    async def do(self, deed: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do what no handler here does; the deed gets this actor."""
        return await deed(self)

    async def relay(self, route: Sequence[Ref["Deeds"]], value: Any = None) -> Any:
        """Ask the first of the route to relay to the others; the last one replies."""
        if not route:
            return value
        return await route[0].ask(Deeds.relay, route[1:], value)

    async def down(self, down: Down) -> None:
        self.journal.append(down)

    @concurrent(2)
    async def beside(self, deed: Callable[[Any], Awaitable[Any]]) -> Any:
        """A deed that may overlap with another."""
        return await deed(self)


class Ceremonious(Deeds):
    """Has every hook, and so all of an incarnation in one task; notes when it starts and stops."""

    async def started(self) -> None:
        self.journal.append("started")

    async def stopping(self, reason: Exit) -> None:
        self.journal.append(reason)


class Keeper(Actor):
    """A dead-letter actor of a user: keeps its letters in a list that the test reads."""

    kept: list[DeadLetter] = []

    async def letter(self, letter: DeadLetter) -> None:
        self.kept.append(letter)


def bounded(limit: int, full: Full = "wait") -> type[Deeds]:
    """`Deeds` with another mailbox."""
    return type("Deeds", (Deeds,), {"mailbox": Bounded(limit, full)})


async def raised_by(asking: Awaitable[Any]) -> BaseException:
    """The error that an awaitable ends with."""
    try:
        result = await asking
    except Exception as error:
        return error
    raise AssertionError(f"expected an error, got {result!r}")


async def stuffed(system: ActorSystem, kind: type[Deeds], *words: str) -> tuple[Ref[Deeds], list[Any], asyncio.Event]:
    """An actor at `/actor` that holds at a gate, its mailbox filled with notes; its journal, and the gate."""
    journal: list[Any] = []
    gate = asyncio.Event()
    actor = await system.spawn("actor", kind, journal)
    await actor.tell(Deeds.hold, gate)
    await settle()
    assert journal == ["held"]
    journal.clear()
    for word in words:
        assert actor.try_tell(Deeds.note, word)
    return actor, journal, gate


async def later(*sending: Any) -> list[asyncio.Task[Any]]:
    """Begin to send, one after the other, and let each come as far as it can."""
    tasks: list[asyncio.Task[Any]] = []
    for send in sending:
        tasks.append(asyncio.create_task(send))
        await settle()
    return tasks
