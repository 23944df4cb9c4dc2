"""What becomes of deliveries, on the SQLite tables; new messages and claims have rooms of their own. All of it is plain
`sqlite3` inside a transaction that `SqliteEngine` has begun.

Steps are tried the fast way first, all of a kind with one statement; the number of rows that changed tells whether
every claim still held. Only if one did not, they are done one by one, to find out which.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from .records import RecordWrite, Step, Verdict
from .sqlite_puts import Puts, Stale
from .sqlite_runs import ACK_RUN, Claimed, runs
from .sqlite_schema import DELAYED, DONE, DROPPED, QUARANTINED, WAITING

ACK = (
    "UPDATE message SET state = ?, owner = NULL, finished = ?, attempt = ?, claimed = coalesce(?, claimed),"
    " crashes = 0, reply = ?, body = NULL, progress = NULL WHERE id = ? AND token = ? AND state = 1"
)
MOVE = (
    "UPDATE message SET state = ?, owner = NULL, token = NULL, next = coalesce(?, next), delay = ?, attempt = ?,"
    " interrupts = ?, claimed = ?, crashes = crashes * ?, reason = ?, finished = ?, reply = ?"
    " WHERE id = ? AND token = ? AND state = 1"
)
PARDON = "UPDATE message SET attempt = max(attempt - 1, 0) WHERE id = ? AND state IN (0, 5)"
# Whoever asked was told already that there is no answer.
PARDON_LAST = (
    "UPDATE message SET state = 0, attempt = max(attempt - 1, 0), next = 0, reason = NULL, finished = NULL"
    " WHERE id = ? AND state = 3 AND reason = 'attempts' AND reply IS NULL"
    " RETURNING (SELECT address FROM mailbox WHERE mailbox.id = mailbox), attempt, trace"
)
FAIL = "INSERT INTO failure VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)"
NEW_RECORD = (
    "INSERT OR IGNORE INTO record(kind, name, version, status, position, made, changed, body)"
    " VALUES (?, ?, 1, ?, ?, ?, ?, ?)"
)
RECORD = (
    "UPDATE record SET version = version + 1, status = ?, position = ?, changed = ?, body = ?"
    " WHERE kind = ? AND name = ? AND version = ?"
)
DELETE_RECORD = "DELETE FROM record WHERE kind = ?"
HELD = "SELECT 1 FROM message WHERE id = ? AND token = ? AND state = 1"
NEW_STATE = "INSERT OR IGNORE INTO state(version, body, mailbox) VALUES (?, ?, ?)"
STATE = "UPDATE state SET version = ?, body = ? WHERE mailbox = ? AND version = ?"


class Rows(Puts):
    """What one session does to the tables: what it stores, and its steps."""

    def settle_all(self, steps: Sequence[Step], now: float) -> list[Verdict]:
        """Do all steps, the fast way. Raises `Stale` if one of them has no effect; then nothing may be kept."""
        acks: list[Claimed] = []
        replied: list[tuple[Any, ...]] = []
        moves: list[tuple[Any, ...]] = []
        for step in steps:
            outcome, delivery = step.outcome, step.delivery
            if outcome == "ack" and step.reply is None:
                acks.append(Claimed(delivery.id, delivery.token, step.attempt, step.started))
            elif outcome == "ack":
                replied.append(self._ack(step, now))
            elif outcome != "save":
                moves.append(self._move(step, now))
        execute, executemany = self.connection.execute, self.connection.executemany
        changed = sum(
            execute(ACK_RUN, (now, run.attempt, run.started or None, run.first, run.last, run.offset)).rowcount
            for run in runs(acks)
        )
        if replied:
            changed += executemany(ACK, replied).rowcount
        if moves:
            changed += executemany(MOVE, moves).rowcount
        if changed != len(acks) + len(replied) + len(moves):
            raise Stale("a claim had ended")
        for step in steps:
            if step.outcome == "save" and step.delivery.id and not self._is_held(step):
                raise Stale("a claim had ended")
        self._write_states(steps)
        for step in steps:
            if step.records:
                self._write_records(step.records, now)
        self._tell(steps, now)
        changes = self.changes
        for step in steps:
            if step.outcome in ("ack", "quarantine", "discard"):
                address = step.delivery.address
                changes[address] = changes.get(address, 0) - 1
            elif step.outcome != "save":  # it waits again, in front of what comes now
                self.known.quiet.discard(self.mailbox(step.delivery.address))
                self._rooms.pop(step.delivery.address, None)
        self.put([message for step in steps for message in step.outgoing], now)
        return ["ok"] * len(steps)

    def settle_each(self, steps: Sequence[Step], now: float) -> list[Verdict]:
        """Do the steps one by one; one that has no effect leaves the others alone."""
        self._rooms = {}  # what is undone with a step must not be claimed
        verdicts: list[Verdict] = []
        execute = self.connection.execute
        for step in steps:
            before = dict(self.changes), list(self.gained)
            execute("SAVEPOINT step")
            try:
                self.settle_all((step,), now)
            except Stale:
                execute("ROLLBACK TO step")
                self.changes, self.gained = before
                self.forget()
                verdicts.append("conflict" if self._holds(step) else "lost")
            else:
                verdicts.append("ok")
            execute("RELEASE step")
        return verdicts

    def _holds(self, step: Step) -> bool:
        """Whether this session could do the step, if another state were there."""
        execute, delivery, write = self.connection.execute, step.delivery, step.state
        if write is not None and write.owned:
            owned = "SELECT 1 FROM mailbox WHERE address = ? AND owner <> ?"
            return execute(owned, (write.address, self.me)).fetchone() is None
        return (step.outcome == "save" and not delivery.id) or self._is_held(step)

    def _is_held(self, step: Step) -> bool:
        return self.connection.execute(HELD, (step.delivery.id, step.delivery.token)).fetchone() is not None

    def _ack(self, step: Step, now: float) -> tuple[Any, ...]:
        delivery = step.delivery
        return (DONE, now, step.attempt, step.started or None, step.reply, delivery.id, delivery.token)

    def _move(self, step: Step, now: float) -> tuple[Any, ...]:
        delivery, at, delay, finished = step.delivery, cast("float | None", step.at), step.delay, None
        match step.outcome:
            case "retry":
                state = DELAYED if step.at > now and not step.holds else WAITING
            case "quarantine":
                state, finished = QUARANTINED, now
            case "discard":
                state, finished = DROPPED, now
            case _:  # a retry goes first again
                state, at, delay = WAITING, None, delivery.delay
        return (
            state, at, delay, step.attempt, max(step.interrupts, delivery.interrupts), step.started or None,
            step.outcome == "release", step.reason or None, finished, step.reply, delivery.id, delivery.token,
        )  # fmt: skip

    def _tell(self, steps: Iterable[Step], now: float) -> None:
        failures: list[tuple[Any, ...]] = []
        events: list[tuple[Any, ...]] = []
        for step in steps:
            id, failed = step.delivery.id, step.failure
            if failed is not None:
                failures.append((
                    id, failed.attempt, failed.started, failed.ended, failed.error, failed.traceback, self.name,
                    failed.trace,
                ))  # fmt: skip
            if step.outcome in ("quarantine", "discard") or (step.outcome == "release" and step.started):
                name = {"release": "released", "quarantine": "quarantined"}.get(step.outcome, "discarded")
                events.append((id, now, name, step.attempt, self.name, step.reason, step.delivery.trace))
        if failures:
            self.connection.executemany(FAIL, failures)
        if events:
            self.connection.executemany(EVENT, events)

    def _write_states(self, steps: Iterable[Step]) -> None:
        writes: dict[str, tuple[int, int, bytes]] = {}
        for step in steps:
            write = step.state
            if write is not None:
                first, last, _ = writes.get(write.address, (write.expected, write.expected, b""))
                if last != write.expected:
                    raise Stale("the states do not follow each other")
                writes[write.address] = (first, write.expected + 1, write.body)
                if write.owned and not self.own(self.mailbox(write.address), write.address):
                    raise Stale("another session has the address")
        for address, (first, last, body) in writes.items():
            number = self.mailbox(address)
            values = (last, body, number)
            execute = self.connection.execute
            written = execute(STATE, (*values, first)) if first else execute(NEW_STATE, values)
            if written.rowcount != 1:
                raise Stale("another state was there")

    def _write_records(self, records: Iterable[RecordWrite], now: float) -> None:
        execute = self.connection.execute
        for one in records:
            if one.body is None:
                named = (one.kind, one.name) if one.name else (one.kind,)
                execute(f"{DELETE_RECORD}{' AND name = ?' if one.name else ''}", named)  # words only
                continue
            if one.expected:
                values = (one.status, one.position, now, one.body, one.kind, one.name, one.expected)
                written = execute(RECORD, values)
            else:
                written = execute(NEW_RECORD, (one.kind, one.name, one.status, one.position, now, now, one.body))
            if written.rowcount != 1:
                raise Stale("another record was there")

    def extend(self, id: int, token: int, progress: bytes | None, now: float) -> bool:
        """Tell how far a delivery got; False: its claim has ended. Of each attempt the story keeps the last word."""
        execute = self.connection.execute
        found = execute(
            "UPDATE message SET progress = coalesce(?, progress) WHERE id = ? AND token = ? AND state = 1"
            " RETURNING attempt + 1, trace",
            (progress, id, token),
        ).fetchone()
        if found is None:
            return False
        attempt, trace = found
        execute("DELETE FROM event WHERE message = ? AND name = 'heartbeat' AND attempt = ?", (id, attempt))
        execute(EVENT, (id, now, "heartbeat", attempt, self.name, "", trace or ""))
        return True

    def pardon(self, ids: Sequence[int], now: float) -> None:
        """Give these messages one attempt back, if they wait, or wait no more because it was their last."""
        if not ids:
            return
        marks = [(id,) for id in ids]
        self.connection.executemany(PARDON, marks)
        for id in ids:
            found = self.connection.execute(PARDON_LAST, (id,)).fetchone()
            if found is not None:
                address = found[0]
                self.connection.execute(EVENT, (id, now, "pardoned", found[1], self.name, "", found[2] or ""))
                self.changes[address] = self.changes.get(address, 0) + 1
                self.known.quiet.discard(self.mailbox(address))
                self._rooms.pop(address, None)
