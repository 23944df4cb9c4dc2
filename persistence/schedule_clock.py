"""The actor that fires schedules: it looks what is due, and has the messages stored.

What makes a tick come once is in the store, not here. Of each schedule there is a record of the time up to which all
ticks are settled; the messages of a tick and the record that they are fired are one write, which is refused if another
node has written meanwhile. So any number of these actors may look at once, and each looks into the store every time.

The wall clock may be set while it waits. So it waits on the loop's, a minute at most, and then looks again.
"""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import msgspec

from upright.actors.actor import Actor
from upright.actors.durable import PLAINLY
from upright.actors.envelope import Envelope
from upright.actors.errors import ActorGone, NotDurable, Refuse
from upright.actors.events import Event
from upright.supervision.backoff import Backoff
from upright.supervision.spec import ChildSpec

from .door import Door
from .errors import StoreError
from .events import ScheduleFired, ScheduleLate, StoreFailing
from .records import NOBODYS, Outgoing, StateRecord, StateWrite, Step, Verdict
from .schedule import BACKWARDS, LATE, Due, Schedule, due
from .schedule_records import CODEC, PREFIX, Settled, date_of

LONGEST = 60.0
"""Seconds between two looks, at most."""
SHORTEST = 0.001
"""Seconds between two looks, at least."""
AGAIN = 0.1
"""Seconds until the next look when another node was faster, or nobody knows what became of a write."""
RETRY = Backoff(0.1, 10.0)
"""Between looks into a store that fails."""
LOOK = "look"


class ScheduleRecord(msgspec.Struct, frozen=True):
    """A schedule as it stands: when it was fired `last`, and when it comes `next`; None for never. Both in UTC."""

    name: str
    last: datetime | None
    next: datetime | None


class Entry(msgspec.Struct, frozen=True):
    """A schedule with the message that is stored at each tick, and the address of its record."""

    schedule: Schedule
    message: Outgoing
    address: str

    def read(self, record: StateRecord | None, now: float) -> tuple[int, Settled | None]:
        """What was stored of it, and how often that was written; None if it begins now."""
        if record is None:
            return 0, None
        settled = CODEC.decode(record.body)
        return record.version, settled if settled.until <= now + BACKWARDS else None

    def step(self, version: int, settled: Settled, ticks: tuple[float, ...] = ()) -> Step:
        """Store its messages for these ticks, and what is settled by that."""
        write = StateWrite(self.address, version, CODEC.encode(settled))
        return Step(NOBODYS, "save", state=write, outgoing=tuple(map(self._message, ticks)))

    def _message(self, tick: float) -> Outgoing:
        once = f"{self.address}/{datetime.fromtimestamp(tick, UTC).isoformat()}"
        return msgspec.structs.replace(self.message, once=once)


class ScheduleClock(Actor):
    """Fires schedules. Put it into a tree with `schedules(…)`, behind the actors that it tells."""

    def __init__(self, given: tuple[Schedule, ...]) -> None:
        self._given = given
        self._entries: list[Entry] = []
        self._store: Any = None
        self._failures = 0
        self._rng = random.Random()

    async def started(self) -> None:
        """Find whom to tell, and look. Raises `NotDurable`, `ActorGone`, `UnknownHandler`, `WrongArguments`, and
        `ValueError` for a name that is another one's here.
        """
        self._entries = [self._entry(schedule) for schedule in self._given]
        self._enter_names()
        self.ctx.background(self._look())

    def _entry(self, schedule: Schedule) -> Entry:
        ref = self.ctx.ref(schedule.path, Actor)
        recipient = ref.recipient
        if recipient is None:
            raise ActorGone(
                f"the schedule {schedule.name!r} tells {ref.path}, where nobody lives: put schedules(…) behind it",
                ref.path,
                handled=False,
            )
        door = recipient.mailbox.keeper
        if not isinstance(door, Door):
            raise NotDurable(
                f"the schedule {schedule.name!r} tells {ref.path}, which has its mailbox in memory: make it durable"
            )
        self._store = door.store
        envelope = Envelope(recipient.handlers[schedule.handler], schedule.args, dict(schedule.kwargs) or None, None)
        message = msgspec.structs.replace(door.outgoing(envelope, PLAINLY, asked=False), sender=self.ctx.path)
        return Entry(schedule, message, f"{PREFIX}{schedule.name}")

    def _enter_names(self) -> None:
        """Say which schedules it fires: of one name in two places of a system only one would ever be fired."""
        me: Any = self.ctx.self_ref.recipient
        for schedule in self._given:
            other = self._store.timetable.get(schedule.name, me)
            if other is not me and not other.gone:
                raise ValueError(
                    f"expected each schedule of a system to have a name of its own, got {schedule.name!r} in"
                    f" {self.ctx.path} and in {other.path}"
                )
        for schedule in self._given:
            self._store.timetable[schedule.name] = me

    async def look(self) -> None:
        """Fire what is due, and look again when there may be more."""
        self.ctx.timer(LOOK).cancel()  # the next one is set at the end, however long that takes
        self.ctx.background(self._look())

    async def records(self) -> list[ScheduleRecord]:
        """All schedules as they stand in the store."""
        found: list[ScheduleRecord] = []
        now = self._now()
        for entry in self._entries:
            try:
                _, settled = entry.read(await self._store.read(entry.address), now)
            except StoreError as error:
                raise Refuse(f"the store could not be read: {error}") from error
            last, until = (settled.last, settled.until) if settled is not None else (None, now)
            found.append(
                ScheduleRecord(entry.schedule.name, date_of(last), date_of(entry.schedule.rule.next_after(until)))
            )
        return found

    async def _look(self) -> None:
        try:
            wait = await self._fire()
        except StoreError as error:
            self._failures += 1
            self._emit(StoreFailing(self.ctx.path, str(error)))
            wait = RETRY.delay(self._failures, self._rng)
        else:
            self._failures = 0
        self._look_in(wait)

    async def _fire(self) -> float:
        """Fire what is due now; the result is how long to wait for more."""
        now, soonest = self._now(), float("inf")
        writes: list[asyncio.Future[Verdict]] = []
        for entry in self._entries:
            rule = entry.schedule.rule
            version, settled = entry.read(await self._store.read(entry.address), now)
            until = settled.until if settled is not None else now
            if settled is None:  # from now on what it misses is known
                writes.append(self._write(entry.step(version, Settled(now))))
            elif (found := due(rule, until, now)) is not None:
                last = found.ticks[-1] if found.ticks else settled.last
                until = found.until
                writes.append(self._write(entry.step(version, Settled(until, last), found.ticks)))
                self._tell_when_written(writes[-1], entry, found, now)
            soonest = min(soonest, rule.next_after(until))
        if any(verdict != "ok" for verdict in await asyncio.gather(*writes)):
            return AGAIN
        return soonest - self._now()

    def _write(self, step: Step) -> "asyncio.Future[Verdict]":
        """Have it written; a store that fails tries again by itself."""
        written: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def settled(verdict: Verdict) -> None:
            if not written.done():
                written.set_result(verdict)

        self._store.settle(step, settled)
        return written

    def _tell_when_written(self, written: "asyncio.Future[Verdict]", entry: Entry, found: Due, now: float) -> None:
        name, missed = entry.schedule.name, entry.schedule.rule.missed

        def tell(_: object) -> None:
            if written.cancelled() or written.result() != "ok":
                return
            if now - found.first > LATE:
                self._emit(ScheduleLate(self.ctx.path, name, missed, now - found.first))
            if found.ticks:
                self._emit(ScheduleFired(self.ctx.path, name, len(found.ticks)))

        written.add_done_callback(tell)

    def _look_in(self, wait: float) -> None:
        # A repeating timer, though it repeats nothing: one that ticks once would keep the system from being idle.
        self.ctx.timer(LOOK).every(min(max(wait, SHORTEST), LONGEST), ScheduleClock.look)

    def _now(self) -> float:
        now: float = self._store.now()
        return now

    def _emit(self, event: Event) -> None:
        if self.ctx.bus.wants(type(event)):
            self.ctx.bus.emit(event)


def schedules(id: str, /, *given: Schedule) -> ChildSpec[ScheduleClock]:
    """A child that fires these schedules: `schedules("clock", every(60.0, name="poll").tell("/shop/mailer",
    Mailer.poll))`. It stands behind the actors that it tells, which have durable mailboxes; any number of processes may
    have it in their trees. Raises `ValueError` for names that are not unique, `TypeError` for what is no schedule.
    """
    known: set[str] = set()
    for schedule in given:
        value: object = schedule
        if not isinstance(value, Schedule):
            raise TypeError(f"expected a schedule, such as every(60.0, name='poll').tell(…), got {value!r}")
        if schedule.name in known:
            raise ValueError(f"expected names that are unique among schedules, got {schedule.name!r} twice")
        known.add(schedule.name)
    if not given:
        raise ValueError(f"expected at least one schedule for {id!r}, got none")
    return ChildSpec(id, ScheduleClock, (given,))
