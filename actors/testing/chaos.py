"""Seeded chaos for messages in memory: what goes wrong in a test is drawn by dice, told as events, and comes again.

It hooks into the mailboxes of the actors that it was set on, by giving each object another class for so long. Nothing
of the runtime knows of it, so that it costs nothing where it is not.
"""

import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, ClassVar

import msgspec

from ..cell import Cell
from ..dead_letter_office import PATH
from ..deadlines import timed_out
from ..durable import Delivered
from ..envelope import Envelope, Own, deadline_of
from ..errors import WrongArguments
from ..events import ActorSpawned
from ..handlers import Handler
from ..mailbox import Mailbox
from ..parent import Parent
from ..runtime import Runtime
from ..system import ActorSystem
from .road import Road
from .strikes import ChaosCrash, ChaosNotAllowed, Strikes, allowed, odds, span, whole_seed
from .virtual_time import VirtualTimeLoop

KINDS = ("drop", "delay", "reorder", "duplicate", "crash", "block")
"""In the order in which the dice are thrown: all of them for each message, so that no probability moves another's."""


class Chaos(msgspec.Struct, frozen=True):
    """What may happen to messages in memory, each with its probability for one message.

    `seed`: the same one brings the same strikes, on virtual time. `crash`: the actor crashes, before its handler or
    after it. `delay`: the message is late by up to `longest` seconds, and holds up those behind it. `duplicate`: a tell
    comes twice. `drop`: it never comes; an ask ends at its time-out, and one without a time-out is never dropped.
    `reorder`: a tell lets the next message pass, for `longest` seconds at most. `block`: the event loop stands still
    for `blocks_for` seconds before the handler; on virtual time it is the clock that jumps.

    A system has to allow it, and hears of each strike as `ChaosStruck`. Supervisors and the dead-letter actor are
    spared, and durable mailboxes, which lose nothing on the way: for those see `upright.persistence.testing`.

    >>> import asyncio
    >>> from upright.actors import Actor, ActorSystem
    >>> class Clerk(Actor):
    ...     async def work(self) -> None: ...
    >>> async def main() -> int:
    ...     async with ActorSystem(log=None, allows_chaos=True) as system:
    ...         clerk = await system.spawn("clerk", Clerk)
    ...         async with Chaos(seed=1, crash=0.0, delay=0.0, drop=0.5).on(system) as strikes:
    ...             for _ in range(100):
    ...                 await clerk.tell(Clerk.work)
    ...         return strikes.count("drop")
    >>> asyncio.run(main())
    50
    >>> Chaos(seed=1, crash=2)
    Traceback (most recent call last):
    ...
    ValueError: expected crash to be a probability from 0 to 1, got 2
    """

    seed: int
    crash: float = 0.01
    delay: float = 0.05
    duplicate: float = 0.0
    drop: float = 0.0
    reorder: float = 0.0
    block: float = 0.0
    longest: float = 1.0
    blocks_for: float = 0.1

    def __post_init__(self) -> None:
        whole_seed(self.seed)
        for name in KINDS:
            odds(name, getattr(self, name))
        span("longest", self.longest)
        span("blocks_for", self.blocks_for)

    def on(self, system: ActorSystem, *paths: str) -> "Trouble":
        """Chaos for the length of an `async with` block, which gives its `Strikes`; at the actors with these paths and
        all below them, or at all. Actors that are spawned meanwhile are struck too.

        At the end of the block whatever is on the way arrives, and asks that were dropped end.
        """
        return Trouble(self, system, paths)


class StruckMailbox(Mailbox):
    """The class of a mailbox while chaos has it: in front of its own, with nothing added to the object."""

    __slots__ = ()
    trouble: ClassVar["Trouble"]

    @property
    def admits(self) -> int:
        """None, for senders must not write to the queue themselves."""
        return 0

    @admits.setter
    def admits(self, value: int) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # used alike
        slot: Any = vars(Mailbox)["admits"]
        slot.__set__(self, value)

    def put_nowait(self, envelope: Envelope) -> bool:
        """Take the envelope, late, twice or not at all."""
        return self.trouble.put(self, envelope)

    def arrive(self, envelope: Envelope) -> bool:
        """Take the envelope."""
        return super().put_nowait(envelope)

    def drain(self) -> list[Envelope]:
        """Everything that waits, and what was on the way."""
        return super().drain() + self.trouble.take_all(self)


class Trouble:
    """Chaos at work in one system. Made by `Chaos.on`."""

    def __init__(self, chaos: Chaos, system: ActorSystem, paths: tuple[str, ...]) -> None:
        self._chaos, self._system, self._paths = chaos, system, paths
        self.strikes = Strikes(chaos.seed, system.bus)
        self._runtime: Runtime | None = None
        self._kinds: dict[type[Mailbox], type[StruckMailbox]] = {}
        self._roads: dict[StruckMailbox, Road] = {}
        self._own: dict[StruckMailbox, type[Mailbox]] = {}
        self._dropped: dict[StruckMailbox, list[Envelope]] = {}

    async def __aenter__(self) -> Strikes:
        allowed(self._system)
        self._runtime = self._system._running("chaos")
        chosen = [actor for actor in self._runtime.actors.values() if self._is_chosen(actor)]
        for actor in chosen:
            if isinstance(actor.mailbox, StruckMailbox):
                raise ChaosNotAllowed(f"expected one chaos at a time: {actor.path} is struck by another already")
        for actor in chosen:
            self._strike(actor)
        self._system.subscribe(self._spawned, ActorSpawned)
        return self.strikes

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._system.unsubscribe(self._spawned)
        self._runtime = None
        for mailbox, road in self._roads.items():
            road.clear()
            self._expire(mailbox)
            mailbox.__class__ = self._own[mailbox]  # type: ignore[assignment]  # what it was before

    def _spawned(self, event: ActorSpawned) -> None:
        actor: Any = self._runtime.find(event.path) if self._runtime is not None else None
        if self._is_chosen(actor) and not isinstance(actor.mailbox, StruckMailbox):
            self._strike(actor)

    def _strike(self, actor: Any) -> None:
        """Give the mailbox of that actor its other class."""
        mailbox = actor.mailbox
        kind: type[Mailbox] = mailbox.__class__
        self._own[mailbox] = kind
        if kind not in self._kinds:
            namespace = {"__slots__": (), "trouble": self}
            self._kinds[kind] = type(f"Struck{kind.__name__}", (StruckMailbox, kind), namespace)
        mailbox.__class__ = self._kinds[kind]
        self._roads[mailbox] = Road(mailbox, mailbox.arrive, actor.runtime)

    def _is_chosen(self, actor: object) -> bool:
        if not isinstance(actor, Cell) or actor.mailbox.keeper is not None:
            return False
        blueprint, above = actor.blueprint, actor.parent
        if above is None or actor.path == PATH or above.blueprint.serves is not None:
            return False  # what a pool's workers get has come through the pool
        if blueprint.serves is None and issubclass(blueprint.actor, Parent):
            return False
        return not self._paths or any(actor.path == one or actor.path.startswith(f"{one}/") for one in self._paths)

    def put(self, mailbox: StruckMailbox, envelope: Envelope) -> bool:
        """Throw the dice for an envelope, and do what they say."""
        owner: Any = mailbox.owner
        if isinstance(envelope, Own | Delivered) or (owner.blueprint.serves and not envelope.handler.routed):
            return mailbox.arrive(envelope)
        chaos, path, name = self._chaos, owner.path, envelope.handler.name
        dice, road = self.strikes.dice(path), self._roads[mailbox]
        struck = {kind for kind in KINDS if dice.random() < getattr(chaos, kind)}
        share, crashes_before = dice.random(), dice.random() < 0.5
        plain = envelope.reply is None
        if "drop" in struck and (plain or deadline_of(envelope) < float("inf")):
            self.strikes.tell(path, "drop", name)
            if not plain:
                self._dropped.setdefault(mailbox, []).append(envelope)
            return True
        copy = Envelope(envelope.handler, envelope.args, envelope.kwargs, envelope.sender)
        if struck & {"crash", "block"}:
            envelope.handler = self._struck(envelope.handler, path, struck, crashes_before)
        if "reorder" in struck and plain and road.step_aside(envelope, chaos.longest):
            self.strikes.tell(path, "reorder", name)
            return True
        delay = share * chaos.longest if "delay" in struck else 0.0
        arrived = road.send(envelope, delay)
        if delay and arrived:
            self.strikes.tell(path, "delay", name)
        if "duplicate" in struck and plain and arrived and road.send(copy, 0.0):
            self.strikes.tell(path, "duplicate", name)
        return arrived

    def _struck(self, handler: Handler, path: str, struck: set[str], before: bool) -> Handler:
        """That handler, with what is to happen when its turn comes."""
        real, name = handler.function, handler.name

        async def crash_after(work: Coroutine[Any, Any, Any]) -> None:
            await work
            raise ChaosCrash(self.strikes.tell(path, "crash", f"{name}, after it"))

        def begin(instance: Any, *args: Any, **kwargs: Any) -> Any:
            goes_on, crashes = self._runtime is not None, "crash" in struck
            if goes_on and "block" in struck:
                self._block(path, name)
            if goes_on and crashes and before:
                raise ChaosCrash(self.strikes.tell(path, "crash", f"{name}, before it"))
            try:
                work: Any = real(instance, *args, **kwargs)
            except TypeError as error:  # as the actor itself would see it: the sender's mistake
                raise WrongArguments(str(error)) from error
            return crash_after(work) if goes_on and crashes else work

        return msgspec.structs.replace(handler, function=begin)

    def _block(self, path: str, name: str) -> None:
        self.strikes.tell(path, "block", name)
        loop = self._runtime.loop if self._runtime is not None else None
        if isinstance(loop, VirtualTimeLoop):
            loop._jump(loop.time() + self._chaos.blocks_for)  # nothing is run meanwhile
        else:
            time.sleep(self._chaos.blocks_for)

    def take_all(self, mailbox: StruckMailbox) -> list[Envelope]:
        """Its actor has ended for good: what was on the way, and nobody waits for what was dropped."""
        self._expire(mailbox)
        return self._roads[mailbox].take_all()

    def _expire(self, mailbox: StruckMailbox) -> None:
        for envelope in self._dropped.pop(mailbox, ()):
            envelope.fail(timed_out(envelope, mailbox.owner.path))
