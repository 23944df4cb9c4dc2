"""What becomes of the deliveries of one mailbox: the policy's word, and that of the parking.

It stands apart because it only decides. The room between store and mailbox carries it out.
"""

import random
from typing import NamedTuple

from upright.supervision.parking import Parked, Parking
from upright.supervision.retry import (
    Again,
    Discarded,
    Failed,
    Quarantined,
    Retry,
    after_interrupt,
    decide,
)

from .records import Delivery, Failure, Step
from .replies import no_reply


class Judged(NamedTuple):
    """What is to be done after a failure. `parked`: the mailbox is, from now on or still; None if it is open."""

    step: Step
    parked: Parked | None


class Judge:
    """Judges by that policy. `parking` knows how many have failed in a row."""

    def __init__(self, policy: Retry) -> None:
        self._policy, self._rng = policy, random.Random()
        self.parking = Parking()

    def failed(
        self,
        record: Delivery,
        error: BaseException,
        failure: Failure,
        *,
        holds: bool,
        now: float,
        clock: float,
        parks: bool = True,
        policy: Retry | None = None,
        lane: str = "",
    ) -> Judged:
        """The handler raised. `holds`: whether those behind it wait for its retry. `now`: on the store's clock,
        `clock`: on that of the loop. `parks`: whether it counts among the failures in a row that park the mailbox.
        `policy`: in place of the mailbox's. `lane`: of those that count for one there.
        """
        raised = Failed(error, record.attempt, record.accepted, record.delay)
        verdict = decide(policy or self._policy, raised, now, self._rng)
        parked = None
        if parks and not isinstance(verdict, Discarded) and not (isinstance(verdict, Quarantined) and verdict.ruled):
            parked = self.parking.failed(str(record.id), clock, self._rng, lane)
            if parked is not None and str(record.id) in parked.give_back:  # the fault is not its own
                pause = max(parked.until - clock, 0.0)
                verdict = Again(now + pause, record.delay, record.attempt - 1)
        started = failure.started
        match verdict:
            case Again(at, delay, used):
                step = Step(
                    record, "retry", used, at=at, delay=delay, holds=holds, started=started, failure=failure
                )  # fmt: skip
            case Quarantined(reason):
                word = storable(reason)
                step = Step(
                    record, "quarantine", record.attempt, started=started, reason=word, failure=failure,
                    reply=no_answer(record, word, error),
                )  # fmt: skip
            case Discarded():
                reply = no_answer(record, "discarded", error)
                step = Step(record, "discard", record.attempt, started=started, failure=failure, reply=reply)
        return Judged(step, parked)

    def interrupted(self, record: Delivery, started: float, now: float) -> Step:
        """Our own shutdown cut the handler off."""
        interrupts = record.interrupts + 1
        verdict = after_interrupt(
            self._policy, attempt=record.attempt, interrupts=interrupts, stored_at=record.accepted, now=now
        )
        if isinstance(verdict, Quarantined):
            return Step(
                record, "quarantine", record.attempt, started=started, reason=verdict.reason, interrupts=interrupts,
                reply=no_answer(record, verdict.reason, None),
            )  # fmt: skip
        return Step(record, "release", verdict.used, started=started, interrupts=interrupts)


def no_answer(record: Delivery, reason: str, error: BaseException | None) -> bytes | None:
    """What whoever asked gets, or may yet ask with its idempotency key; None if nobody can."""
    return no_reply(reason, error) if record.asked or record.once else None


def storable(text: str) -> str:
    """The text without what no encoding has: names of files, say, that were no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
