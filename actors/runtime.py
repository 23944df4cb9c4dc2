"""What all actors of one system share.

One per `ActorSystem`, never global: two systems in a process never see each other.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context as Variables
from typing import Any, TypeVar
from urllib.parse import unquote

from .absent import Absent
from .bus import EventBus
from .dead_letter_office import DeadLetterOffice
from .deadlines import Deadlines
from .dispatcher import Dispatcher
from .envelope import Envelope
from .errors import NameTaken
from .guards import Guards
from .recipients import Recipient, check_class
from .refs import Ref
from .rolls import Rolls

A = TypeVar("A")
STRANGERS = 1_000
"""Actors of other processes that are remembered, at most, so that each message to one need not make it anew."""


class Activity:
    """Counts what is going on: actors that are not asleep, their tasks, their timers that will tick once.

    `count` may be raised by hand where a call would cost too much.
    """

    __slots__ = ("_loop", "_waiting", "count")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.count = 0
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, change: int) -> None:
        """Something began (1) or ended (-1)."""
        self.count += change
        if not self.count and self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def idle(self) -> None:
        """Wait until nothing is going on."""
        while self.count:
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(future)
            await future


class Runtime:
    """The loop, the run queue, the names, the deadlines, the events and the dead letters of one system.

    `grace`: seconds that a cancelled incarnation has to end before it is left behind as a zombie.
    """

    __slots__ = (
        "_kept",
        "_strangers",
        "activity",
        "actors",
        "bus",
        "deadlines",
        "dispatcher",
        "grace",
        "guards",
        "loop",
        "plain",
        "office",
        "rolls",
        "running",
        "store",
        "zombies",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, bus: EventBus, grace: float, guards: Guards) -> None:
        self.loop, self.bus, self.grace, self.guards = loop, bus, grace, guards
        self.plain = Variables()
        """An empty context for timers: with their setter's own they would keep the message in hand alive."""
        self.dispatcher = Dispatcher(loop)
        self.deadlines = Deadlines(loop, self.plain)
        self.activity = Activity(loop)
        self.office = DeadLetterOffice(bus)
        self.actors: dict[str, Recipient] = {}
        self.rolls = Rolls()
        self._kept: set[asyncio.Task[Any]] = set()
        self._strangers: dict[tuple[str, type[Any]], Absent] = {}
        self.running = True
        self.store: Any = None
        """What durable mailboxes keep their messages in, if there is one."""
        self.zombies = 0

    def find(self, path: str) -> Any:
        """Who lives at the path, or None."""
        return self.actors.get(path)

    def classes(self, wanted: Callable[[type[Any]], object]) -> list[tuple[str, type[Any]]]:
        """The paths and classes of all actors whose class is wanted, those that other processes run included."""
        found = [(path, actor.interfaces[0]) for path, actor in self.actors.items()]
        return [(path, kind) for path, kind in found if wanted(kind)]

    def absent(self, path: str, actor: type[Any]) -> Absent | None:
        """What stands in for an actor that is not there, if its class names a durable mailbox: the store is. One of
        many behind one address may be there by its id, asleep.
        """
        above, _, name = path.rpartition("/")
        house = self.actors.get(above)
        keeper = house.mailbox.keeper if house is not None else None
        inside = keeper.inside(unquote(name)) if keeper is not None else None
        if house is not None and inside is not None:
            asleep = Absent(path, house.interfaces[0], self.loop, "asleep")
            asleep.mailbox.keeper = inside
            check_class(asleep, actor)
            return asleep
        known = self._strangers.get((path, actor))
        if known is not None:
            return known
        door = getattr(getattr(actor, "mailbox", None), "door", None)
        if door is None or self.store is None:
            return None
        if len(self._strangers) >= STRANGERS:
            self._strangers.clear()
        absent = self._strangers[path, actor] = Absent(path, actor, self.loop)
        absent.mailbox.keeper = door(self, actor, path)
        return absent

    def locate(self, path: str, actor: type[A]) -> Ref[A]:
        """The ref of any actor by its absolute path. Raises `WrongClass` if one of another class lives there."""
        found = self.find(path)
        if found is not None:
            check_class(found, actor)
        return Ref(self, path, actor, found)

    def know(self, members: Iterable[tuple[str, type[Any], Any]]) -> None:
        """Let refs find the durable ones of these actors, which others run."""
        for path, actor, _ in members:
            absent = self.absent(path, actor)
            if absent is not None:
                self.register(path, absent)

    def register(self, path: str, actor: Recipient) -> None:
        """Give a path to an actor. Raises `NameTaken`."""
        if path in self.actors:
            raise NameTaken(path)
        self.actors[path] = actor

    def unregister(self, path: str, actor: Recipient) -> None:
        """Free a path, if it is that actor's."""
        if self.actors.get(path) is actor:
            del self.actors[path]

    def undeliverable(self, path: str, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        """A message to that path will not be handled; see `DeadLetterOffice.take`."""
        self.office.take(path, envelope, reason, error)

    def keep(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run something in a task of its own, with an empty context, and hold on to it until it has ended."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=self.loop, name=name, context=Variables())
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def close(self) -> None:
        """The last actor has ended: no more sending, no timer left."""
        self.running = False
        self.deadlines.close()
        self.guards.close()
        self.dispatcher.close()
