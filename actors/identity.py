"""Who an actor is, whatever incarnation it is in: its path, mailbox, watchers, and how it looks from outside."""

import asyncio
from collections.abc import Callable
from typing import Any

from . import events
from .envelope import Envelope, Link
from .exits import NOBODY, Exit
from .handlers import HandlerTable, JoinedTable
from .handover import Handover
from .life import Life
from .options import Blueprint, Bounded
from .passage import Passage
from .refs import Ref
from .runtime import Runtime
from .watching import Watcher


class Identity:
    """The lasting part of one actor of a system. What happens to it stands in the next room, `Cell`."""

    __slots__ = (
        "_down", "_ended", "_halting", "_ladder", "_ready", "_self_ref", "_watchers", "around", "blueprint", "burying",
        "exit", "gone", "handlers", "hook", "life", "mailbox", "passage", "path", "runtime",
    )  # fmt: skip

    def __init__(self, runtime: Runtime, path: str, around: str, blueprint: Blueprint) -> None:
        self.runtime, self.path, self.around, self.blueprint = runtime, path, around, blueprint
        actor, serves = blueprint.actor, blueprint.serves
        self.handlers: HandlerTable = actor.__handlers__ if serves is None else JoinedTable(actor, serves)
        spec: Any = blueprint.mailbox if blueprint.mailbox is not None else actor.mailbox
        if type(spec) is not Bounded and not callable(getattr(spec, "open", None)):
            raise TypeError(f"expected {actor.__name__}.mailbox to be a mailbox, such as Bounded(1_000), got {spec!r}")
        self._watchers: dict[Watcher, None] | None = None  # most have none, and an object less is an object less
        self.life: Life | None = None
        self.exit: Exit = NOBODY
        self.gone = self.burying = False
        self.hook: asyncio.Task[Any] | None = None
        self.passage: Passage | None = runtime.guards.passage(actor.uses, actor) if actor.uses else None
        self.mailbox = spec.open(self)
        self._halting = False
        self._self_ref: Ref[Any] | None = None
        self._ready: asyncio.Future[None] | Handover | None = None
        self._down: asyncio.Future[Exit] | None = None
        self._ended: asyncio.Future[Exit] | None = None
        self._ladder: asyncio.TimerHandle | None = None

    @property
    def kind(self) -> str:
        """The name of its class."""
        return self.blueprint.actor.__name__

    @property
    def interfaces(self) -> tuple[type[Any], ...]:
        """The classes for which refs may be made: its own, after the one that it stands in for."""
        blueprint = self.blueprint
        return (blueprint.actor,) if blueprint.serves is None else (blueprint.serves, blueprint.actor)

    @property
    def self_ref(self) -> Ref[Any]:
        """Its ref."""
        if self._self_ref is None:
            self._self_ref = Ref(self.runtime, self.path, self.interfaces[0], self)
        return self._self_ref

    @property
    def watchers(self) -> dict[Watcher, None]:
        """Who hears of its end."""
        if self._watchers is None:
            self._watchers = {}
        return self._watchers

    @property
    def state(self) -> str:
        """What it is doing, in a word."""
        if self.gone:
            return "ended"
        if self.burying:
            return "stopping"
        life = self.life
        if life is None:
            return "starting"
        if life.paused or (life.phase == "running" and self.mailbox.is_paused):
            return "paused"
        again = life.phase == "over" or (life.phase == "starting" and life.number > 1)
        return "restarting" if again else life.phase

    @property
    def incarnation(self) -> int:
        """The number of its incarnation, from 1."""
        return self.life.number if self.life is not None else 0

    @property
    def link(self) -> Link | None:
        """The turn that it is in, overlapping handlers aside, if that has asked somebody."""
        seat = self.life.seat if self.life is not None else None
        return seat.link if seat is not None else None

    def running(self, handler: str) -> int:
        """How many messages for that handler it has in hand beside others."""
        return self.life.running(handler) if self.life is not None else 0

    @property
    def ended(self) -> "asyncio.Future[Exit]":
        """Resolved with the exit when it has ended for good."""
        if self._ended is None:
            self._ended = self.runtime.loop.create_future()
            if self.gone:
                self._ended.set_result(self.exit)
        return self._ended

    def tell(self, kind: Callable[..., events.Event], *fields: Any) -> None:
        """Emit an event about this actor, if anybody wants it."""
        bus = self.runtime.bus
        if bus.heard and bus.wants(kind):  # type: ignore[arg-type]  # every kind given here is an event class
            bus.emit(kind(self.path, *fields))

    def wake(self) -> None:
        """There is something to do."""
        mailbox, life = self.mailbox, self.life
        if mailbox.asleep and life is not None:
            mailbox.asleep = False
            self.runtime.activity.count += 1
            lane = life.lane
            lane.ready.append(life)
            if lane.idle:
                lane.rouse()

    def dropped(self, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        """The mailbox says that a message will not be handled."""
        self.runtime.undeliverable(self.path, envelope, reason, error)
