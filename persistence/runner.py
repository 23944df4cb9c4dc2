"""The actor that runs the machines of one kind: each message moves one run on by one small step.

A run is no actor: it is a record in the store, and its messages stand in one mailbox under its id as their key, so
that those of one run are handled in their order, and many runs go on beside each other. The record, what the step told,
and the acknowledgement commit together. Which move comes next is decided in `moves`; how one is made stands in
`run_steps`.
"""

import types
from collections.abc import Callable
from typing import Any, ClassVar

from upright.actors.actor import Actor
from upright.actors.durable import WorkSeat
from upright.actors.handlers import concurrent
from upright.actors.seat import seat_now
from upright.supervision.checks import whole
from upright.supervision.retry import Retry
from upright.supervision.spec import ChildSpec

from .arrivals import Arrivals
from .durable import Durable
from .hand import Hand
from .records import Outgoing
from .run_joins import RunJoins
from .run_plan import RunPlan, is_last_life
from .run_record import ENDED, Parent, RunRecord
from .state_machine import StateMachine

KIND = "machine/"
ENTRIES = 20
"""Bits of the number of an entry: what is still under way for a forgotten run must not meet a new one of its id."""
FOR_EVER = Retry(max_attempts=1_000_000_000)
"""What counts for a message whose attempt was cut off: how many a step has is known when one of them fails."""


class MachineRunner(Actor):
    """Runs the machines of one class. Made by `machine(…)`; users have to do with `Run`s."""

    mailbox = Durable("machines", order="keyed")
    machine: type[StateMachine[Any]]
    made: ClassVar[tuple[Callable[[], StateMachine[Any]]]]
    at_once: ClassVar[int] = 1

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, bytes]] = {}
        """By run: the version and the bytes of a record that is on its way to the store."""
        self.is_first = True
        self.steps = RunJoins(self)

    async def begin(self, id: str, data: bytes, version: int, parent: Parent | None) -> None:
        """A new run, and its first step; nothing if there is such a run already."""
        plan = await self._plan_of(id)
        if plan.exists and (plan.record.seq or plan.record.birth != plan.hand.record.id):
            return
        if not plan.exists:
            birth = plan.hand.record.id
            plan.record = RunRecord(
                version, "", data, parent=parent, started=plan.now(), birth=birth, entry=birth << ENTRIES
            )  # fmt: skip
            plan.tell("started")
            self.steps.enter(plan, self.machine.definition.initial)
            plan.begin(plan.record)
            if is_last_life(plan.hand):
                await plan.save()
        await self.steps.advance(plan)

    async def go(self, id: str, seq: int) -> None:
        """The next step of a run that has moved on so many times."""
        plan = await self._plan_of(id)
        if plan.exists and plan.record.seq == seq and plan.record.status not in ENDED:
            await self.steps.advance(plan)

    async def signalled(self, id: str, name: str, payload: bytes) -> None:
        """Somebody has sent it that signal."""
        await self.steps.signalled(await self._plan_of(id), name, payload)

    async def timed_out(self, id: str, entry: int, name: str) -> None:
        """It has been in its state for as long as `after` says."""
        plan = await self._plan_of(id)
        record = plan.record
        if plan.exists and record.entry == entry and record.status in ("waiting", "retrying", "failed"):
            await self.steps.timed_out(plan, name)

    async def cancel(self, id: str, why: str) -> None:
        """Take back what was done, and end."""
        plan = await self._plan_of(id)
        if plan.exists and plan.record.status in ENDED and plan.record.cancel is None:
            plan.tell("cancelled", error=f"it is over, nothing came of it: {why}")
            plan.change()
        elif plan.exists and plan.record.cancel is None:
            plan.record.cancel = why
            plan.tell("cancelled", error=why)
            await self.steps.stirred(plan)

    async def branch(self, id: str, entry: int, name: str, index: int) -> None:
        """One of what runs beside each other."""
        await self.steps.branch(await self._plan_of(id, fresh=True), entry, name, index)

    async def joined(
        self, id: str, entry: int, name: str, index: int, result: bytes, rejected: str, failed: str, letter: int = 0,
        version: int = 0,
    ) -> None:  # fmt: skip
        """A branch has ended, or a run that is waited for, whose data are of that version."""
        plan = await self._plan_of(id)
        joining = plan.record.joining
        if plan.exists and plan.record.entry == entry and joining is not None and joining.step == name:
            await self.steps.joined(plan, index, result, rejected, failed, letter, version)

    async def died(self, id: str, letter: int) -> None:
        """A message in hand of which its process has died twice, and then once more, perhaps."""
        plan = await self._plan_of(id)
        story = [event.name for event in await plan.hand.front.store.story(letter)]
        if plan.exists and plan.record.letter != letter and story and story[-1] == "quarantined":
            self.steps.lost(plan, letter)

    async def rewind(self, id: str, step: str) -> None:
        """Go on from an earlier step, by hand."""
        plan = await self._plan_of(id)
        if plan.exists:
            await self.steps.rewind(plan, step)

    async def _plan_of(self, id: str, fresh: bool = False) -> RunPlan:
        """What this delivery does to that run. `fresh`: as it is stored, and none of its record."""
        hand = self.hand
        self.arrivals: Arrivals = hand.front.store.arrivals
        known = None if fresh else self.known.get(id)
        if self.is_first:  # what the instance before it did may not be written yet
            await hand.front.store.flushed()
            self.is_first = False
        if known is None:  # another process may have moved it on: what is stored counts
            record = await hand.front.store.read(id, self.kind)
            known = (record.version, record.body) if record is not None else (0, b"")
        plan = RunPlan(self, hand, id, *known, self.locate)
        if not fresh:
            hand.plan = plan
            if is_last_life(hand):  # if it dies of this too, nobody else will tell the run
                await hand.front.store.put([self.message("died", id, id, hand.record.id)])
        return plan

    def make(self) -> StateMachine[Any]:
        """An instance for one step."""
        return self.made[0]()

    @property
    def hand(self) -> Hand:
        """The delivery in hand."""
        seat = seat_now()
        work = seat.work if isinstance(seat, WorkSeat) else None
        assert isinstance(work, Hand), "a handler of a runner is always called for a delivery"
        return work

    @property
    def kind(self) -> str:
        """Of the records of its runs."""
        return kind_of(type(self).mailbox)

    @property
    def owner(self) -> str:
        """The session that it runs in, for the history; the path, where the engine has no such names."""
        session = getattr(self.hand.front.store._engine, "_session", None)
        return getattr(session, "name", self.ctx.path)

    def locate(self, path: str, actor: type[Any]) -> Any:
        """The ref of a path, for data that has some."""
        return self.ctx.ref(path, actor)

    def message(self, handler: str, key: str, *args: Any, due: float = 0.0, address: str = "") -> Outgoing:
        """A message to itself, or to the runner of that address."""
        codec: Any = type(self)
        found = codec.__codec__.methods[handler]
        return Outgoing(address or type(self).mailbox.address, found.wire_name, found.encode(args), due, key=key)

    def wrote(self, id: str, version: int, body: bytes) -> None:
        """That record is about to be written: what comes next builds on it."""
        self.known[id] = version, body

    def settled(self, id: str, version: int) -> None:
        """It is stored, or was refused: what is stored counts, unless what comes next is on its way there."""
        if self.known.get(id, (0, b""))[0] == version:
            del self.known[id]

    def told(self, id: str) -> None:
        """It has ended, or failed: those who wait in this process may look."""
        self.arrivals.tell((self.kind, id))


def kind_of(mailbox: Durable) -> str:
    """The kind of the records of the runs whose messages come through that mailbox."""
    return mailbox.address


def machine(
    id: str, cls: Callable[[], StateMachine[Any]], /, *, at_once: int = 100, address: str | None = None
) -> ChildSpec[MachineRunner]:  # fmt: skip
    """A child that runs the machines of a class, `at_once` of them at a time: `machine("orders", ProcessOrder)`.

    `cls`: the class, or a `functools.partial` of it with the arguments of its constructor, for what its steps need, a
    client say; it is called for each step. `address`: under which messages and runs are stored, by default that of
    the id. Raises `ValueError` and `TypeError` for what cannot be.
    """
    whole("at_once", at_once, 1)
    found: Any = getattr(cls, "func", cls)
    if not isinstance(found, type) or StateMachine not in found.__mro__ or getattr(found, "definition", None) is None:
        raise TypeError(f"expected a subclass of StateMachine with states and steps, got {found!r}")
    kind: Any = found
    return ChildSpec(id, runner_of(kind, cls, address or f"{KIND}{id}", at_once))


HANDLERS = ("begin", "go", "signalled", "timed_out", "cancel", "branch", "joined", "rewind", "died")


def runner_of(
    found: type[StateMachine[Any]], make: Callable[[], StateMachine[Any]], address: str, at_once: int
) -> type[MachineRunner]:  # fmt: skip
    """The class of a runner: its handlers overlap, as many as may."""
    namespace: dict[str, Any] = {
        "__module__": MachineRunner.__module__,
        "mailbox": Durable(address, FOR_EVER, "keyed", window=max(256, 2 * at_once)),
        "machine": found,
        "at_once": at_once,
        "made": (make,),  # in a tuple, so that it does not become a method
        "uses": found.uses,
    }
    for name in HANDLERS:
        plain: Any = vars(MachineRunner)[name]
        copied = types.FunctionType(plain.__code__, plain.__globals__, name, plain.__defaults__, plain.__closure__)
        copied.__annotations__, copied.__qualname__ = plain.__annotations__, plain.__qualname__
        copied.__module__, copied.__doc__ = plain.__module__, plain.__doc__
        namespace[name] = concurrent(at_once)(copied)
    return type(f"{found.__name__}Runner", (MachineRunner,), namespace)
