"""One delivery's part in a run: the record as it was, as it becomes, and what goes into the store with either."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from upright.supervision.retry import MAX_CRASHES, Retry, quarantine

from .codec import Undecodable
from .errors import StoreUnavailable
from .hand import Hand
from .judge import storable
from .plan import NotYet, Plan
from .reading import UNREADABLE_FOR
from .records import NOBODYS, Failure, Outgoing, RecordWrite, Step, Verdict
from .run_record import ENDED, HistoryEvent, RunRecord, decoded, encoded
from .state_machine import StateMachine

PLAIN = Retry()
DEFINITION = Retry(classify=lambda _: quarantine("definition"))
"""For a run whose definition knows nothing of it any more: it waits in quarantine until that is mended."""
REJECTED = Retry(classify=lambda _: quarantine("rejected"))
NO_RUN = Retry(classify=lambda _: quarantine("no_run"))
USED_UP = Retry(classify=lambda _: quarantine("attempts"))
LATE = Retry(classify=lambda _: quarantine("deadline"))


class DefinitionChanged(Exception):
    """The definition does not know any more where this run is."""


class House(Protocol):
    """What a plan needs of its runner."""

    machine: type[StateMachine[Any]]

    @property
    def kind(self) -> str: ...
    @property
    def owner(self) -> str: ...
    def wrote(self, id: str, version: int, body: bytes) -> None: ...
    def settled(self, id: str, version: int) -> None: ...
    def told(self, id: str) -> None: ...


class RunPlan:
    """What a delivery does to the run of that id. `before`: its record, as it was stored, empty for none."""

    def __init__(self, house: House, hand: Hand, id: str, version: int, before: bytes, locate: Any) -> None:
        self._house, self.hand, self.id, self._version, self._before = house, hand, id, version, before
        self._locate = locate
        self.record = decoded(before) if before else RunRecord(house.machine.version, "", b"")
        self._data: Any = None
        self._is_read = False
        self._read_from, self._told = b"", (0, 0)
        self._changed = False
        self.step = ""
        self.retry: Retry = PLAIN
        self._written: RecordWrite | None = None

    @property
    def exists(self) -> bool:
        """Whether there is such a run."""
        return self._version > 0

    def now(self) -> float:
        """The time on the store's clock."""
        return self.hand.front.now()

    def check_version(self, plan: Plan | None = None) -> None:
        """Raise `NotYet` where a newer version of the machine has written it: it is theirs who know that. `plan`: that
        of the delivery, if this is not.
        """
        machine, version = self._house.machine, self.record.version
        if version > machine.version:
            why = f"run {self.id} is of version {version} of {machine.__name__}, and this is version {machine.version}"
            raise not_yet(plan or self, self.hand, why)

    def data(self) -> Any:
        """The data, which the steps may change. Raises `DefinitionChanged` where it cannot be read."""
        if not self._is_read:
            machine, record = self._house.machine, self.record
            try:
                self._data = machine.read_data(record.data, record.version, self._locate)
            except Undecodable as error:
                self.retry = DEFINITION
                raise DefinitionChanged(str(error)) from error
            self._read_from = record.data
            if record.version != machine.version:
                record.version, self._read_from = machine.version, machine.form.encode(self._data)
                self.tell("upgraded", error=f"to version {machine.version}")
            self._is_read = True
        return self._data

    def begin(self, record: RunRecord) -> None:
        """There is a run from now on: this is how it is should its first step fail."""
        self.record, self._before = record, encoded(record)

    async def save(self) -> None:
        """Write the record as it is now, whatever becomes of this delivery. Raises `StoreUnavailable`."""
        record, saved = self.record, asyncio.get_running_loop().create_future()
        write = RecordWrite(self._house.kind, self.id, self._version, self._before, record.status, record.state)
        self.hand.front.store.settle(Step(NOBODYS, "save", records=(write,)), saved.set_result)
        verdict: Verdict = await saved
        if verdict != "ok":
            raise StoreUnavailable(f"the record of run {self.id} was not written: {verdict}")
        self._version += 1

    def undo_changes(self) -> None:
        """The step has failed: the data is as it was, and what it told is not sent."""
        staged, later = self.hand.staged, self.hand.later
        if isinstance(staged, list):
            del staged[self._told[0] :]
        if isinstance(later, list):
            del later[self._told[1] :]
        if self._is_read:
            self._data = self._house.machine.read_data(self._read_from, self.record.version, self._locate)

    def to_call(self) -> Any:
        """The data, for a step that is to be called now: `undo_changes` leads back to here."""
        self._told = len(self.hand.staged), len(self.hand.later)
        return self.data()

    def tell(self, name: str, step: str = "", attempt: int = 0, error: str = "") -> None:
        """Add a line to the run's history."""
        began = self.hand.started if attempt else 0.0
        record = self.record
        record.tell(
            HistoryEvent(name, self.now(), step, record.state, attempt, began, self._house.owner,
                         storable(error), self.hand.record.trace)
        )  # fmt: skip

    def change(self) -> None:
        """The record is to be written with the end of this delivery."""
        self._changed = True

    def records(self, outcome: str, failure: Failure | None) -> tuple[RecordWrite, ...]:
        """See `Plan.records`."""
        if outcome == "ack":
            if not self._changed:
                return ()
            if self._is_read:
                self.record.data = self._house.machine.form.encode(self._data)
        elif outcome in ("retry", "quarantine", "discard") and failure is not None and self._before:
            record = decoded(self._before)
            self.record, self._is_read = record, False
            self.tell("failed", self.step, self.hand.record.attempt, failure.error)
            # It may be over, whatever becomes of what came too late; or it waits for that which failed first.
            if record.status not in ENDED and record.letter in (0, self.hand.record.id):
                record.error = failure.error
                if record.status != "compensating":
                    record.status = "retrying" if outcome == "retry" else "failed"
                record.letter = self.hand.record.id if outcome != "retry" else 0
        else:
            return ()
        body = encoded(self.record)
        status = "failed" if self.record.letter else self.record.status
        written = RecordWrite(self._house.kind, self.id, self._version, body, status, self.record.state)
        self._written = written
        self._house.wrote(self.id, self._version + 1, body)
        return (written,)

    def outgoing(self, outcome: str) -> tuple[Outgoing, ...]:
        """See `Plan.outgoing`."""
        return ()

    def settled(self, verdict: Verdict) -> None:
        """See `Plan.settled`."""
        self.hand.plan = None  # no collector looks at a hand, so that a circle with one would stay for ever
        written = self._written
        if written is None:
            return
        self._house.settled(self.id, written.expected + 1)
        if verdict == "ok" and (written.status in ENDED or written.status == "failed"):
            self._house.told(self.id)


class BranchPlan:
    """A branch's part in a run: it writes no record, but has the run told of its end. `said`: makes that message."""

    def __init__(self, retry: Retry, hand: Hand, said: Callable[[bytes, str, str], Outgoing]) -> None:
        self.retry, self._hand, self._said = retry, hand, said
        self._failure = ""
        self.result: bytes | None = None
        self.rejected = ""

    def records(self, outcome: str, failure: Failure | None) -> tuple[RecordWrite, ...]:
        """See `Plan.records`."""
        self._failure = failure.error if failure is not None else ""
        return ()

    def outgoing(self, outcome: str) -> tuple[Outgoing, ...]:
        """See `Plan.outgoing`."""
        if outcome in ("quarantine", "discard"):
            return (self._said(b"", "", self._failure or outcome),)
        if outcome == "ack" and (self.result is not None or self.rejected):
            return (self._said(self.result or b"", self.rejected, ""),)
        return ()

    def settled(self, verdict: Verdict) -> None:
        """See `Plan.settled`."""
        self._hand.plan = None  # as above


def is_last_life(hand: Hand) -> bool:
    """Whether its process has died with that message in hand so often that once more would be the last time."""
    return hand.record.crashes == MAX_CRASHES - 1


def not_yet(plan: Plan, hand: Hand, why: str) -> Exception:
    """The error for what only a newer program can read. When none has come for long enough, that of a definition."""
    if hand.record.delay > UNREADABLE_FOR:
        plan.retry = DEFINITION
        return DefinitionChanged(why)
    return NotYet(why)
