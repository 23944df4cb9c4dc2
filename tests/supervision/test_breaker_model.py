"""The laws of a circuit breaker whatever the order of events: calls, results, time and an operator, in any mixture."""

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.supervision.circuits import DOWN, PlainHouse, Trial
from upright.actors.errors import GuardRefused, Refuse
from upright.supervision.breaker import MODES, Mode
from upright.supervision.errors import IllegalTransition
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerMoved, BreakerOpened
from upright.supervision.retry import RetryAfter

ENDS: list[tuple[BaseException | None, float]] = [
    (None, 0.0), (None, 9.0), (DOWN, 0.0), (DOWN, 9.0), (RetryAfter(2.0), 0.0),
    (asyncio.CancelledError(), 9.0), (Refuse("no"), 0.0), (GuardRefused("no", "db", 1.0), 0.0), (GeneratorExit(), 0.0),
]  # fmt: skip
LEGAL = {
    ("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("half-open", "closed"),
    *((state, "moved") for state in ("closed", "open", "half-open")),
}  # fmt: skip


class Interleaving(RuleBasedStateMachine):
    """`inside`: the tokens of calls under way, each with the phase in which it began: phases end with a move of the
    circuit. `counted`: how many calls of this phase have told something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trial = Trial()
        self.inside: list[tuple[int, int]] = []
        self.counted = self.heard = self.phase = 0
        self.states = ["closed"]

    @initialize(
        permits=st.integers(1, 4), least=st.integers(1, 4), row=st.none() | st.integers(1, 3), calls=st.booleans(),
        longest=st.sampled_from((3.0, float("inf"))), gentle=st.sampled_from((0.0, 4.0)),
    )  # fmt: skip
    def begin(self, permits: int, least: int, row: int | None, calls: bool, longest: float, gentle: float) -> None:
        self.trial = Trial(
            PlainHouse(), permits=permits, minimum_calls=least, consecutive=row, window_calls=4 if calls else None,
            half_open_max_wait=longest, slow_start=gentle, slow_call=5.0, window=10.0,
        )  # fmt: skip

    def listen(self) -> None:
        """Take note of the moves that were told since."""
        told = self.trial.house.told[self.heard :]
        self.heard += len(told)
        for event in told:
            match event:
                case BreakerMoved(mode="half-open"):
                    continue  # its wait is over, and it is still open
                case BreakerMoved():
                    state = "moved"
                case BreakerOpened():
                    state = "open"
                case BreakerHalfOpened():
                    state = "half-open"
                case _:
                    assert isinstance(event, BreakerClosed)
                    state = "closed"
            self.states += [state] if state != "moved" else [state, "closed"]
            self.phase += 1
            self.counted = 0

    @property
    def under_way(self) -> int:
        """Calls of this phase that are inside."""
        return sum(phase == self.phase for _, phase in self.inside)

    @rule(patient=st.booleans())
    def enter(self, patient: bool) -> None:
        trial = self.trial
        room, closed = trial.room, trial.state == "closed"
        token = trial.enter(patient)
        self.listen()
        if patient or not closed:
            assert (token is not None) == (room >= 1)
        else:
            assert (token is not None) == (trial.breaker.mode != "forced-open")
        if token is not None:
            self.inside.append((token, self.phase))

    @precondition(lambda self: bool(self.inside))
    @rule(data=st.data(), end=st.sampled_from(ENDS))
    def leave(self, data: Any, end: tuple[BaseException | None, float]) -> None:
        trial, (error, took) = self.trial, end
        token, phase = self.inside.pop(data.draw(st.integers(0, len(self.inside) - 1)))
        _ = trial.room  # time alone may have moved it
        self.listen()
        before, inside, tally = trial.state, self.under_way, trial.breaker.tally()
        if phase == self.phase and (error is None or trial.breaker.tells(error)):
            self.counted += 1
        trial.end(token, error, took)
        told = len(trial.house.told) > self.heard
        if phase != self.phase:
            assert (told, trial.state, self.under_way, trial.breaker.tally()) == (False, before, inside, tally)
        elif error is not None and not trial.breaker.tells(error):
            assert (told, trial.breaker.tally()) == (False, tally)
        self.listen()

    @precondition(lambda self: bool(self.inside))
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        token, _ = self.inside.pop(data.draw(st.integers(0, len(self.inside) - 1)))
        tally = self.trial.breaker.tally()
        self.trial.breaker.give_back(token, self.trial.now)
        assert self.trial.breaker.tally() == tally

    @rule(seconds=st.sampled_from((0.0, 0.5, 3.0, 5.0, 60.0, 400.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.trial.after(seconds)

    @rule(mode=st.sampled_from(MODES))
    def move_by_hand(self, mode: Mode) -> None:
        breaker = self.trial.breaker
        _ = self.trial.room
        self.listen()
        legal = mode != breaker.mode or (mode == "automatic" and breaker.state != "closed")
        try:
            breaker.set_mode(mode, "ada", "as she likes")
        except IllegalTransition:
            assert not legal
        else:
            assert legal
            assert (breaker.mode, breaker.state) == (mode, "closed")

    @precondition(lambda self: (self.trial.state, self.trial.breaker.mode) == ("open", "automatic"))
    @rule()
    def end_the_wait_by_hand(self) -> None:
        self.trial.breaker.probe("ada", "as she likes")
        assert self.trial.room == self.trial.policy.permits

    @rule()
    def restart(self) -> None:
        """The program ends, with all its calls, and begins again."""
        before = self.trial
        standing = (before.state == "closed", before.breaker.mode)
        house = PlainHouse(before.house.records, epoch=before.house.epoch)
        house.clock = before.house.clock
        numbers = {name: getattr(before.policy, name) for name in before.policy.__struct_fields__ if name != "name"}
        self.trial = Trial(house, **numbers)
        assert (self.trial.state == "closed", self.trial.breaker.mode) == standing
        self.inside, self.heard, self.counted = [], 0, 0
        self.phase += 1
        self.states = [self.trial.state]

    @invariant()
    def never_more_than_its_permits(self) -> None:
        trial = self.trial
        room, permits = trial.room, trial.policy.permits
        self.listen()
        if trial.breaker.mode == "forced-open":
            assert room == 0
        elif trial.breaker.mode != "automatic":
            assert room == float("inf")
        elif trial.state == "half-open":
            assert self.counted < permits, "it is judged when all have told"
            assert trial.breaker.tally().calls == self.counted
            assert room == permits - self.under_way - self.counted
            assert self.under_way or room > 0, "a permit was lost"
        elif trial.state == "open":
            assert room in (0, permits)

    @invariant()
    def only_legal_moves(self) -> None:
        for before, after in pairwise(self.states):
            assert (before, after) in LEGAL or (before == "moved" and after == "closed")
        assert self.states[-1] == self.trial.state

    def teardown(self) -> None:
        """From wherever it was left, once the dependency works and nobody interferes, it closes."""
        trial = self.trial
        if trial.breaker.mode != "automatic":
            trial.breaker.set_mode("automatic", "ada", "enough")
        if trial.policy.half_open_max_wait == float("inf"):
            for token, _ in self.inside:
                trial.end(token, asyncio.CancelledError())
        for _ in range(3):  # half-open with probes that have failed or are lost, open, half-open
            trial.after(1000.0)
            if trial.room < float("inf"):
                trial.calls("o" * int(trial.room))
        assert trial.state == "closed"


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
