"""What a store in memory holds, and what a batch does to it.

It stands apart from `MemoryEngine`, which is one session's door to it: several sessions may share the tables, as
processes share a file. Nothing here waits, and every step is decided before anything is changed, so that it happens as
a whole or not at all without being undone.
"""

import itertools
import math
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from upright.actors.durable import Receipt

from .memory_rows import Box, Row, State
from .port import Stirred
from .records import Batch, Delivery, Outgoing, RecordWrite, StateRecord, Step, Verdict, Want, Written, steps_of
from .reports import Record

NAMES = {"release": "released", "quarantine": "quarantined", "discard": "discarded"}
"""How a story calls those outcomes of a step that it tells besides a failure."""


@dataclass(slots=True, eq=False)
class MemorySession:
    """One who has the tables open. `running`: message, attempt and start of what was begun and not ended, by slot."""

    number: int
    name: str
    stirred: Stirred
    lives: bool = True
    running: dict[int, tuple[int, int, float]] = field(default_factory=dict[int, tuple[int, int, float]])


class MemoryTables:
    """The messages, mailboxes, states and sessions of one store.

    `keep`: of so many finished messages the story, the reply and the idempotency key are kept; the oldest go first.
    """

    def __init__(self, keep: int) -> None:
        self._gained: list[str] = []
        self.name = os.urandom(6).hex()
        self.rows: dict[int, Row] = {}
        self.boxes: dict[str, Box] = {}
        self.states: dict[str, StateRecord] = {}
        self.records: dict[str, dict[str, Record]] = {}  # by kind and name
        self.sessions: dict[int, MemorySession] = {}
        self._keep = keep
        self._finished: deque[Row] = deque()
        self._ids, self._tokens, self._numbers = itertools.count(1), itertools.count(1), itertools.count(1)

    def enrol(self, stirred: Stirred) -> MemorySession:
        """One more has the tables open."""
        number = next(self._numbers)
        session = MemorySession(number, f"{os.getpid():x}-memory-{number}", stirred)
        self.sessions[number] = session
        return session

    def recover(self, now: float) -> None:
        """Take back what dead sessions had claimed; what they ran used up an attempt."""
        for session in [one for one in self.sessions.values() if not one.lives]:
            for id, attempt, started in session.running.values():
                row = self.rows.get(id)
                held = row is not None and row.state == "claimed" and row.owner == session.number
                if row is not None and held and row.attempt < attempt:
                    row.attempt, row.claimed = attempt, started
                    row.crashes += 1
                    row.tell("crashed", now, attempt, session.name, "its process died")
            self.dismiss(session)

    def dismiss(self, session: MemorySession) -> None:
        """It has them open no more, and holds nothing."""
        del self.sessions[session.number]
        for box in self.boxes.values():
            for row in [one for one in box.claimed.values() if one.owner == session.number]:
                box.leave(row, "waiting")
                box.wait(row, row.next)
            if box.owner == session.number:
                box.owner = 0
        self.stir_others(session, None)

    def stir_others(self, session: MemorySession, addresses: Iterable[str] | None) -> None:
        """Tell the other sessions that there may be something for those addresses; None: for any."""
        for other in self.sessions.values():
            if other is not session and other.lives:
                for address in (None,) if addresses is None else addresses:
                    other.stirred(address)

    def box(self, address: str) -> Box:
        """The mailbox of an address, made when it is first needed."""
        box = self.boxes.get(address)
        if box is None:
            box = self.boxes[address] = Box(self.rows)
        return box

    def write(self, batch: Batch, session: MemorySession, now: float) -> Written:
        """First the steps, then the pardons, the new messages, and the claims."""
        touched = {want.address for want in batch.wants}
        verdicts: list[Verdict] = [self._settle(step, session, now, touched) for step in batch.steps]
        for id in batch.pardons:
            row = self.rows.get(id)
            if row is not None:
                self._pardon(row, now, touched)
        for address in batch.left:
            box = self.box(address)
            box.owner = 0 if box.owner == session.number else box.owner
        receipts = self._put(batch.puts, now, touched)
        deliveries: list[Delivery] = []
        next_due: dict[str, float] = {}
        for want in batch.wants:
            claimed = self._claim(want, session, now)
            deliveries += claimed
            due = self.box(want.address).next_due(now) if len(claimed) < want.room else None
            if due is not None:
                next_due[want.address] = due
        depths = {address: self.box(address).depth for address in touched}
        gained, self._gained = self._gained, []
        return Written(verdicts, receipts, deliveries, next_due, depths, gained)

    def _pardon(self, row: Row, now: float, touched: set[str]) -> None:
        """Give it one attempt back, if it waits, or waits no more because it was its last. (Whoever asked was told.)"""
        last = row.state == "quarantined" and row.reason == "attempts" and row.reply is None
        if last or row.state in ("waiting", "delayed"):
            row.attempt = max(row.attempt - 1, 0)
        if last:
            row.reason = ""
            row.tell("pardoned", now, row.attempt)
            box = self.box(row.message.address)
            box.wait(row)
            box.depth += 1
            touched.add(row.message.address)

    def _settle(self, step: Step, session: MemorySession, now: float, touched: set[str]) -> Verdict:
        delivery, write, saves = step.delivery, step.state, step.outcome == "save"
        row = self.rows.get(delivery.id)
        nobodys = saves and not delivery.id
        if not nobodys and (row is None or row.state != "claimed" or row.token != delivery.token):
            return "lost"
        if write is not None:
            box = self.box(write.address)
            if write.owned and box.owner not in (0, session.number):
                return "lost"
            stored = self.states.get(write.address)
            if write.expected != (stored.version if stored is not None else 0):
                return "conflict"
            if not self._follow(step.records):
                return "conflict"
            if write.owned:
                self._own(write.address, box, session)
            self.states[write.address] = StateRecord(write.expected + 1, write.body)
        elif not self._follow(step.records):
            return "conflict"
        for one in step.records:
            self._record(one, now)
        if row is not None and not saves:
            self._end_claim(row, step, session.name, now, touched)
        self._put(step.outgoing, now, touched)
        return "ok"

    def _follow(self, records: Iterable[RecordWrite]) -> bool:
        """Whether the records are those that are to be replaced."""
        for one in records:
            known = self.record(one.kind, one.name)
            if one.body is not None and one.expected != (known.version if known is not None else 0):
                return False
        return True

    def record(self, kind: str, name: str) -> Record | None:
        """What is recorded of one of that kind."""
        return self.records.get(kind, {}).get(name)

    def forget(self, kind: str, name: str = "") -> bool:
        """Drop that record, or all of the kind; whether there was any."""
        of = self.records.get(kind, {})
        found = bool(of) if not name else of.pop(name, None) is not None
        if not name or not of:
            self.records.pop(kind, None)
        return found

    def _record(self, one: RecordWrite, now: float) -> None:
        if one.body is None:
            self.forget(one.kind, one.name)
            return
        before = self.record(one.kind, one.name)
        made = before.made if before is not None else now
        self.records.setdefault(one.kind, {})[one.name] = Record(
            one.kind, one.name, one.expected + 1, one.status, one.position, made, now, one.body
        )  # fmt: skip

    def _end_claim(self, row: Row, step: Step, owner: str, now: float, touched: set[str]) -> None:
        self._tell(row, step, owner, now)
        row.attempt, row.interrupts = step.attempt, max(row.interrupts, step.interrupts)
        row.crashes = row.crashes if step.outcome == "release" else 0
        box = self.box(row.message.address)
        match step.outcome:
            case "ack" | "discard":
                self._finish(row, "finished", step, now, touched)
            case "retry":
                box.leave(row, "waiting")
                row.delay = step.delay
                box.wait(row, step.at, delayed=step.at > now and not step.holds)
            case "release":
                box.leave(row, "waiting")
                box.wait(row, row.next)  # a retry goes first again
            case "quarantine":
                self._finish(row, "quarantined", step, now, touched)
            case "save":
                raise ValueError("expected an outcome of a delivery, got save")

    def _tell(self, row: Row, step: Step, owner: str, now: float) -> None:
        failure, started = step.failure, step.started or row.claimed
        if failure is not None:
            failure = msgspec.structs.replace(failure, owner=owner)
            row.failures.append(failure)
            row.tell("claimed", failure.started, failure.attempt, owner)
            row.tell("failed", failure.ended, failure.attempt, owner, failure.error)
        if step.outcome == "ack":
            row.tell("claimed", started, step.attempt, owner)
            row.tell("acked", now, step.attempt, owner)
        elif step.outcome in ("quarantine", "discard") or (step.outcome == "release" and step.started):
            row.tell(NAMES[step.outcome], now, step.attempt, owner, step.reason)

    def _finish(self, row: Row, state: State, step: Step, now: float, touched: set[str]) -> None:
        address = row.message.address
        touched.add(address)
        box = self.box(address)
        box.depth -= 1
        box.leave(row, state)
        row.finished, row.reason, row.reply = now, step.reason, step.reply
        if state != "quarantined":
            self._retire(row)

    def _retire(self, row: Row) -> None:
        """It is over and done with: of its content nothing is needed any more, of its story not for ever."""
        row.body, row.progress = b"", None
        self.forget(steps_of(row.id))
        self._finished.append(row)
        if len(self._finished) > self._keep:
            oldest = self._finished.popleft()
            del self.rows[oldest.id]
            once = self.box(oldest.message.address).once
            if once.get(oldest.message.once) == oldest.id:
                del once[oldest.message.once]

    def _put(self, messages: Sequence[Outgoing], now: float, touched: set[str]) -> list[Receipt]:
        """Store new messages; one whose idempotency key is known gets the receipt of the first."""
        receipts: list[Receipt] = []
        for message in messages:
            box = self.box(message.address)
            known = box.once.get(message.once) if message.once else None
            if known is not None:
                receipts.append(Receipt(known, duplicate=True))
                continue
            id, later, tail = next(self._ids), message.due > now, box.at_tail(now)
            row = Row(id, message, now, message.due or tail, expires=message.expires, body=message.body)
            self.rows[id] = row
            if message.once:
                box.once[message.once] = id
            box.wait(row, message.due if later else 0.0, delayed=later)
            box.depth += 1
            touched.add(message.address)
            receipts.append(Receipt(id))
        return receipts

    def _claim(self, want: Want, session: MemorySession, now: float) -> list[Delivery]:
        """Claim what that mailbox may have now, in its order."""
        box = self.box(want.address)
        box.ripen(now)
        if want.order == "strict":
            if box.owner not in (0, session.number):
                return []
            self._own(want.address, box, session)
        picked = box.pick(want, session.number, now)
        for row in picked:
            row.token, row.claimed = next(self._tokens), now
        return [row.delivery() for row in picked]

    def _own(self, address: str, box: Box, session: MemorySession) -> None:
        if not box.owner:
            self._gained.append(address)
        box.owner = session.number

    def redrive(self, id: int, now: float) -> str | None:
        """Put it back at the tail of its mailbox, as if new; its address, or None if it is not in quarantine."""
        row = self.rows.get(id)
        if row is None or row.state != "quarantined":
            return None
        address = row.message.address
        box = self.box(address)
        # Behind those too that came at this very instant, though their ids are higher than its own.
        box.tail = row.due = math.nextafter(box.at_tail(now), math.inf)
        row.attempt = row.crashes = row.interrupts = 0
        row.delay, row.expires, row.reason, row.reply = 0.0, math.inf, "", None
        row.tell("redriven", now, note="by hand")
        box.wait(row)
        box.depth += 1
        return address

    def edit(self, id: int, handler: str, body: bytes, now: float) -> bool:
        """Give a message in quarantine another content; whether it was there."""
        row = self.rows.get(id)
        if row is None or row.state != "quarantined":
            return False
        row.message, row.body = msgspec.structs.replace(row.message, handler=handler, body=body), body
        row.tell("edited", now, note="by hand")
        return True

    def drop(self, id: int, now: float, name: str) -> bool:
        """End it by hand: `discarded` out of quarantine, or `cancelled` while it waits; whether it was there."""
        row = self.rows.get(id)
        if row is None or row.state not in (("quarantined",) if name == "discarded" else ("waiting", "delayed")):
            return False
        box = self.box(row.message.address)
        if name == "cancelled":
            box.depth -= 1
            if box.once.get(row.message.once) == id:
                del box.once[row.message.once]
        box.leave(row, "finished")
        row.finished = now
        row.tell(name, now, note="by hand")
        self._retire(row)
        return True
