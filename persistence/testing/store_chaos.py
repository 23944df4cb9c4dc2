"""Seeded chaos for what is durable: writes that fail, are slow or of unknown outcome, lost acks, crashes, kills.

It hooks in before the engine of a store and before the mailboxes that take from it, for the length of a block. What it
brings about are only things that happen: a disk that is full for a moment, a sync that fails, a process that is killed.
"""

import asyncio
import functools
from types import TracebackType
from typing import Any

import msgspec

from upright.actors.system import ActorSystem
from upright.actors.testing.strikes import KILLED_BY as KILLED_BY  # handed on: its users need no other kit
from upright.actors.testing.strikes import ChaosCrash, ChaosNotAllowed, Strikes, allowed, mortal, odds, span, whole_seed
from upright.supervision.checks import whole

from .. import crash_points
from ..consumers import Consumer
from ..crash_points import Point
from ..errors import OutcomeUnknown, StoreUnavailable
from ..hand import Handed
from ..records import Batch, Written
from ..store import Store
from .stand_in import run_struck

KINDS = ("fail", "duplicate", "unknown", "slow")
"""In the order in which the dice are thrown for a write."""


class StoreChaos(msgspec.Struct, frozen=True):
    """What may happen to a store and to durable messages, each with its probability.

    `seed`: the same one brings the same strikes, on virtual time and with `Memory`. Of a delivery: `crash`, and its
    handler raises before its first line or after its last. Of a write: `fail`, and nothing of it is written
    (`StoreUnavailable`); `unknown`, and it is written but nobody knows (`OutcomeUnknown`); `duplicate`, for one with an
    ack in it: nothing of it is written and nobody knows, so that what was handled is handed out again (who has sent
    what stood in the same write gets `OutcomeUnknown`); `slow`, and it takes up to `longest` seconds longer.

    `kill`: a numbered crash point at which the process is killed when it comes there for the `time`-th time. That is
    for a child process that asked for it: one in whose environment `KILLED_BY` holds the number of its parent.

    A system has to allow it, `ActorSystem(…, allows_chaos=True)`, and hears of each strike as `ChaosStruck`.

    >>> StoreChaos(seed=1, fail=-0.5)
    Traceback (most recent call last):
    ...
    ValueError: expected fail to be a probability from 0 to 1, got -0.5
    """

    seed: int
    crash: float = 0.01
    fail: float = 0.01
    unknown: float = 0.0
    duplicate: float = 0.01
    slow: float = 0.05
    longest: float = 1.0
    kill: Point | None = None
    time: int = 1

    def __post_init__(self) -> None:
        whole_seed(self.seed)
        for name in ("crash", *KINDS):
            odds(name, getattr(self, name))
        span("longest", self.longest)
        whole("time", self.time, 1)
        point: object = self.kill
        if point is not None and not isinstance(point, Point):
            raise TypeError(f"expected kill to be a crash point, such as Point.COMMITTED, got {point!r}")

    def on(self, system: ActorSystem, store: Store, *addresses: str) -> "StoreTrouble":
        """Chaos for the length of an `async with` block, which gives its `Strikes`: in all writes of that store, and at
        the actors with these addresses, or at all.
        """
        return StoreTrouble(self, system, store, addresses)


class StoreTrouble:
    """Chaos at work in one store. Made by `StoreChaos.on`."""

    def __init__(self, chaos: StoreChaos, system: ActorSystem, store: Store, addresses: tuple[str, ...]) -> None:
        self._chaos, self._system, self._addresses = chaos, system, addresses
        self._store: Any = store
        self.strikes = Strikes(chaos.seed, system.bus)
        self._fronts: list[Any] = []

    async def __aenter__(self) -> Strikes:
        allowed(self._system)
        store, engine = self._store, self._store._engine
        if "write" in vars(engine):
            raise ChaosNotAllowed(f"expected one chaos at a time: {store!r} is struck by another already")
        if store._journal is None:
            raise StoreUnavailable("expected an open store: its system is not running")
        if self._chaos.kill is not None:
            arm(self._chaos.kill, self._chaos.time)
        engine.write = functools.partial(self._write, engine.write)
        store.attach = functools.partial(self._attach, store.attach)
        for consumer in store._journal.consumers._known.values():
            self._strike(consumer)
        return self.strikes

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._store._engine.write, self._store.attach
        for front in self._fronts:
            del front._accept
        if self._chaos.kill is not None:
            crash_points.disarm()

    async def _write(self, write: Any, batch: Batch) -> Written:
        """What the engine does, or not."""
        chaos, dice = self._chaos, self.strikes.dice("write")
        struck = {kind for kind in KINDS if dice.random() < getattr(chaos, kind)}
        share = dice.random()
        if "slow" in struck:
            self._tell("slow")
            await asyncio.sleep(share * chaos.longest)
        if "fail" in struck:
            raise StoreUnavailable(self._tell("fail"))
        if "duplicate" in struck and any(step.outcome == "ack" for step in batch.steps):
            raise OutcomeUnknown(self._tell("duplicate"))
        written: Written = await write(batch)
        if "unknown" in struck:
            raise OutcomeUnknown(self._tell("unknown"))
        return written

    def _tell(self, what: str) -> str:
        return self.strikes.tell("/", what, "write")

    def _attach(self, attach: Any, consumer: Consumer) -> None:
        attach(consumer)
        self._strike(consumer)

    def _strike(self, consumer: Any) -> None:
        """Stand between the store and that mailbox."""
        if self._addresses and consumer.address not in self._addresses:
            return
        consumer._accept = functools.partial(self._accept, consumer, consumer._accept)
        # How long a retry is held back is drawn there too, and has to come again.
        consumer._judge._rng.seed(f"{self._chaos.seed} {consumer.address}")
        self._fronts.append(consumer)

    def _accept(self, front: Any, accept: Any, *given: Any) -> Handed | None:
        dice = self.strikes.dice(front.path)
        crashes, before = dice.random() < self._chaos.crash, dice.random() < 0.5
        envelope: Handed | None = accept(*given)
        if envelope is not None and crashes:
            where = f"{envelope.handler.name}, {'before' if before else 'after'} it"

            def told() -> ChaosCrash:
                return ChaosCrash(self.strikes.tell(front.path, "crash", where))

            run: Any = functools.partial(run_struck, told=told, before=before)
            envelope.handler = msgspec.structs.replace(envelope.handler, function=run)
        return envelope


def arm(point: Point, time: int) -> None:
    """Have this process kill itself there. Raises `ChaosNotAllowed` unless it is a child that asked for it."""
    mortal()
    crash_points.arm(point, time)
