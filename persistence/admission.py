"""What a durable mailbox asks the policies of its actor before it claims: as many as are let through are claimed.

So a refusal costs no write and no attempt. What was claimed, and is not begun when a circuit opens, goes back: its wait
may be long, and another process may do better. But where others take the room before it can claim, or stand in line
for it, one message is claimed all the same, and stands in line for the mailbox.
"""

import random
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from upright.actors.passage import Passage
from upright.supervision.retry import Retry

from .records import Delivery, Step

SOON = 0.1
"""Seconds for which a message is put off, at least: a policy may say that it has room at once, and be asked by many."""
REMEMBERED = 1_000
PARDONS = 20
"""For how many openings of a circuit the attempts of one message that failed through it are given back."""
TURNS = 4
"""For so many openings, at most, others are tried before one that has failed often."""
SELDOM = 30.0
"""Seconds between two times that a message is put off, at most, unless the policy says that it is longer."""
SPREAD = 0.2
"""By up to this share of its wait it comes later, so that not all come back in one wave."""


class Claimed(Protocol):
    """A delivery in hand."""

    @property
    def started(self) -> float: ...


class Admission:
    """The policies of one durable mailbox. `stir`: called when there may be something to claim again, and `let_go` when
    a circuit has opened. `told`: with the guard that lets nobody through, or "" and the seconds for which that was so.
    """

    def __init__(
        self,
        passage: Passage,
        stir: Callable[[], object],
        let_go: Callable[[], object],
        told: Callable[[str, float], None],
    ) -> None:
        self._passage, self._told = passage, told
        self._paused_at: float | None = None
        self._is_called = False  # since it paused: there was room, or a line
        self._pardoned: dict[int, tuple[int, float]] = {}  # how often, and until when that counts as once; oldest first
        self._stir, self._let_go = stir, let_go

    def open(self) -> None:
        """Its actor is there."""
        self._passage.watch(self._let_go)

    def close(self) -> None:
        """Its actor has ended."""
        self._passage.unwatch(self._let_go, self._called)

    def most(self, free: int, hands: Iterable[Claimed]) -> int:
        """How many of so many may be claimed now, beside those in hand; if none, `stir` comes when that may change."""
        room = self._passage.room()
        if room < 1:
            self._passage.when_room(self._called)
            if self._paused_at is None:
                self._paused_at = self._passage.house.now()
                self._told(self._passage.refused_by(), 0.0)
            return min(free, self._one_in_line(hands))
        self._is_called = False
        if self._paused_at is not None:
            paused, self._paused_at = self._passage.house.now() - self._paused_at, None
            self._told("", paused)
        if room == float("inf") or free <= 0:
            return free
        # If all that is let through is claimed already, the next look comes when one of these has ended.
        return max(0, min(free, int(room) - sum(not hand.started for hand in hands)))

    def _one_in_line(self, hands: Iterable[Claimed]) -> int:
        """One, if a message is to stand in line, and none does: there is one, or the room that there was is gone."""
        passage = self._passage
        if passage.is_shut or not (self._is_called or any(gate.line for gate in passage.gates)):
            return 0
        return int(not any(not hand.started for hand in hands))

    def _called(self) -> None:
        """There is room: claim, if it still is there by then. Or there is a line now."""
        self._is_called = True
        self._stir()

    @property
    def is_paused(self) -> bool:
        """Whether nothing was let through when it was asked last."""
        return self._paused_at is not None

    @property
    def is_well(self) -> bool:
        """Whether no circuit is open or tries anew: if one does, a failure is rather the dependency's."""
        return all(gate.machine.setback() == 0 for gate in self._passage.gates)

    def failed(self, step: Step, policy: Retry, now: float, holds: bool) -> Step:
        """What follows a failure; a retry is put off until the budgets have room for it, but never beyond the last
        moment at which it may begin.

        Where it has failed through a circuit that is not closed, or is not any more, the attempt is given back, also if
        it was the last one: others would have failed as well. Not for ever, for it may be the message after all, and
        stand in front of all others. Where the order allows it, others are the next to be tried.
        """
        clock, record = self._passage.house.now(), step.delivery
        setback = max((gate.machine.setback() for gate in self._passage.gates), default=0.0)
        times = self._pardon(record.id, clock, setback) if setback else 0
        if 0 < times <= PARDONS:
            step = _given_back(step, policy, now, holds, self._passage.house.rng)
        if step.outcome != "retry":
            return step
        at = step.at
        if times and not step.holds:
            at = max(at, now + setback * min(times, TURNS) + step.delay)
        for gate in self._passage.budgets:
            machine: Any = gate.machine
            at = max(at, now + machine.put_off(clock))
        return msgspec.structs.replace(step, at=max(step.at, min(at, policy.last_start(record.accepted))))

    def _pardon(self, id: int, clock: float, setback: float) -> int:
        """How often it has failed through a circuit that was not closed; the probes of one opening count as one."""
        times, until = self._pardoned.pop(id, (0, 0.0))
        if clock >= until:
            times, until = times + 1, clock + setback
        self._pardoned[id] = times, until
        if len(self._pardoned) > REMEMBERED:
            del self._pardoned[next(iter(self._pardoned))]
        return times


def _given_back(step: Step, policy: Retry, now: float, holds: bool, rng: random.Random) -> Step:
    """The same without the attempt; another one in place of a quarantine because all are used up."""
    record = step.delivery
    if step.outcome == "retry":
        return msgspec.structs.replace(step, attempt=record.attempt - 1)
    if step.outcome != "quarantine" or step.reason != "attempts":
        return step
    delay = policy.delay(record.attempt, record.delay, rng)
    if now + delay > policy.last_start(record.accepted):
        return step
    return Step(
        record, "retry", record.attempt - 1, at=now + delay, delay=delay, holds=holds, started=step.started,
        failure=step.failure,
    )  # fmt: skip


def put_off(record: Delivery, started: float, seconds: float, share: float, holds: bool, now: float, why: str) -> Step:
    """A guard around a call has refused it: again when there may be room, and this attempt is not used. `share`: from 0
    to 1, by dice. Who is refused again and again asks less and less often: each time costs a write.
    """
    wait = max(seconds, SOON, min(2 * record.delay, SELDOM)) * (1 + SPREAD * share)
    return Step(
        record, "retry", record.attempt - 1, at=now + wait, delay=wait, holds=holds, started=started, reason=why
    )  # fmt: skip
