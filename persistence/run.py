"""A run of a state machine, as those see it who started it or look for it."""

import asyncio
import enum
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import msgspec

from upright.actors.durable import text
from upright.actors.refs import Ref

from .errors import RunFailed, RunNotFound
from .judge import storable
from .machine_records import MachineRecords
from .run_record import ENDED, HistoryEvent, RunRecord, Status
from .signals import signal_form
from .store import Store

D = TypeVar("D")
P = ParamSpec("P")
POLL = 1.0
"""Seconds between two looks for the end of a run that another process may run."""
MANY = 500
"""Of more than so many who wait each looks less often: all of them together look so often a second."""


class Place(Protocol):
    """A system, or a context: where runs are looked for."""

    def find(self, wanted: Callable[[type[Any]], object]) -> list[tuple[str, type[Any]]]: ...
    def ref(self, path: str, actor: type[Any]) -> Ref[Any]: ...


class RunInfo(msgspec.Struct, frozen=True):
    """A run in a list. `state`: by its value. `started`, `changed`: seconds since the epoch."""

    id: str
    status: Status
    state: str
    started: float
    changed: float


class Machines(MachineRecords):
    """The machines of one class in one system: where its runs are. Raises `LookupError` unless there is one of them, or
    one of that `name`, `TypeError` for a place that is no system.
    """

    def __init__(self, place: Place, machine: Any, name: str | None) -> None:
        self._place = place
        if not callable(getattr(place, "find", None)):
            raise TypeError(f"expected a system, or self.ctx, got {place!r}: a store alone is there to be looked at")
        found = place.find(lambda kind: getattr(kind, "machine", None) is machine)
        if name is not None:
            found = [(path, kind) for path, kind in found if path.rpartition("/")[2] == name]
        if len(found) != 1:
            there = ", ".join(path for path, _ in found) or "none"
            raise LookupError(
                f"expected one machine of {machine.__name__} in this system, got {there}: "
                f'put machine("…", {machine.__name__}) into its tree, or name one of several'
            )
        ((path, self.runner),) = found
        self.ref: Ref[Any] = place.ref(path, self.runner)
        recipient: Any = self.ref.recipient
        super().__init__(recipient.mailbox.keeper.store, machine, name)
        self.kind = self.runner.mailbox.address
        self.locate = place.ref

    async def tell(self, handler: str, id: str, *args: Any, once: str = "") -> Any:
        """Send the runner a message about a run."""
        ref = self.ref.keyed(text("id", id))
        return await (ref.once(once) if once else ref).tell(getattr(self.runner, handler), id, *args)

    async def was_forgotten(self, id: str, begin: int) -> bool:
        """Whether there is no such run any more, though that message has begun it: its key is kept for longer."""
        if await self.read(id) is not None:
            return False
        return any(event.name == "acked" for event in await self.store.story(begin))


def machines_in(place: Place | Store, machine: Any, name: str | None) -> MachineRecords:
    """Those of a system, or of a store."""
    if isinstance(place, Store):
        return MachineRecords(place, machine, name)
    return Machines(place, machine, name)


class Run(Generic[D]):
    """One run, by its `id`. Made by `ProcessOrder.start` and `ProcessOrder.run`; it costs nothing to hold."""

    def __init__(self, machines: MachineRecords, id: str) -> None:
        self._machines, self.id = machines, id

    async def result(self) -> D:
        """Wait until it is over, completed or not, and return its data.

        Raises `RunFailed` when it has failed and waits in quarantine for somebody to mend it. After that it may be
        asked again.
        """
        machines, arrivals = self._machines, self._machines.store.arrivals
        kind = await machines.find_kind()
        while True:
            news = arrivals.wait((kind, self.id))
            try:
                record = await machines.read(self.id)
                if record is not None and record.status in ENDED:
                    await machines.store.lasts()
                    return self._data(record)
                if record is not None and await self._has_failed(record):
                    if await machines.read(self.id) != record:
                        continue  # it was redriven, and has failed again, while we looked
                    raise RunFailed(self.id, record.state, record.error, next(iter(record.letters), 0))
                await asyncio.wait({news}, timeout=POLL * max(1.0, arrivals.waiting / MANY))
            finally:
                news.cancel()

    async def state(self) -> Any:
        """The state in which it is; the initial one before its first step is done."""
        record = await self._machines.read(self.id)
        definition = self._machines.machine.definition
        if record is None:
            return definition.initial
        found: enum.Enum | None = definition.state(record.state)
        return record.state if found is None else found

    async def status(self) -> Status:
        """How it stands: `running`, `retrying`, `waiting`, `compensating`, `failed`, `completed`, `rejected` or
        `cancelled`.
        """
        record = await self._machines.read(self.id)
        if record is None:
            return "running"
        return "failed" if record.letter else record.status

    async def data(self) -> D:
        """Its data as they are now. Raises `RunNotFound` before its first step has been tried."""
        return self._data(await self._read())

    async def query(self, function: Callable[Concatenate[Any, D, P], Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """What a plain method of the machine makes of its data, which it must not change."""
        machine = self._machines.machine
        return function(machine.__new__(machine), await self.data(), *args, **kwargs)

    async def history(self) -> list[HistoryEvent]:
        """What has happened to it, the oldest first."""
        record = await self._machines.read(self.id)
        return list(record.history) if record is not None else []

    async def signal(
        self, handler: Callable[Concatenate[Any, D, P], Awaitable[Any]], *args: P.args, **kwargs: P.kwargs
    ) -> None:  # fmt: skip
        """Send it a signal, by the method that is to be called; returns when it is stored. One that comes before the
        run waits for it is kept. Raises `WrongArguments`.
        """
        name = getattr(handler, "__name__", "")
        transition = self._machines.machine.definition.transitions.get(name)
        if transition is None or transition.kind != "signal":
            title = self._machines.machine.__name__
            raise LookupError(f"expected a method of {title} that is marked with @signal, got {name or handler!r}")
        payload = signal_form(transition.function).encode(handler, args, kwargs)
        await self._machines.tell("signalled", self.id, name, payload)

    async def cancel(self, why: str = "") -> None:
        """Have it take back what was done, the latest first, and end as `cancelled`; returns when that is stored. A
        step that is in hand comes to its end before, and so does one that waits for its next attempt.
        """
        await self._machines.tell("cancel", self.id, storable(why) or "cancelled by hand")

    async def redrive(self, step: Callable[..., Any] | None = None) -> None:
        """Go on with the step that failed, with new attempts; or from an earlier `step`, whatever was done since.
        Raises `RunNotFound` if there is nothing to redrive, `LookupError` for what is no step of the machine.
        """
        record, machines = await self._read(), self._machines
        if step is not None:
            name = getattr(step, "__name__", "")
            if name not in machines.machine.definition.transitions:
                raise LookupError(f"expected a step of {machines.machine.__name__}, got {name or step!r}")
            await machines.tell("rewind", self.id, name)
        elif not record.letters or not await machines.store.quarantine.redrive(*record.letters):
            raise RunNotFound(f"expected run {self.id!r} to wait in quarantine, it is {record.status}")

    async def mermaid(self) -> str:
        """Its way through the states, as a Mermaid diagram."""
        return str(self._machines.machine.mermaid(await self._machines.read(self.id)))

    async def svg(self) -> str:
        """Its way through the states, as an SVG picture."""
        return str(self._machines.machine.svg(await self._machines.read(self.id)))

    async def _has_failed(self, record: RunRecord) -> bool:
        """Whether it waits for somebody; not, if what was in quarantine is on its way again."""
        if not record.letter and record.status != "failed":
            return False
        for letter in record.letters:
            said = [event.name for event in await self._machines.store.story(letter)]
            last = [name for name in said if name in ("quarantined", "redriven", "pardoned", "discarded")]
            if not last or last[-1] in ("redriven", "pardoned"):
                return False
        return True

    async def _read(self) -> RunRecord:
        record = await self._machines.read(self.id)
        if record is None:
            raise RunNotFound(f"expected a run {self.id!r} of {self._machines.kind}: there is none yet")
        return record

    def _data(self, record: RunRecord) -> D:
        data: D = self._machines.machine.read_data(record.data, record.version, self._machines.locate)
        return data

    def __repr__(self) -> str:
        return f"<Run {self._machines.kind or self._machines.machine.__name__} {self.id}>"
