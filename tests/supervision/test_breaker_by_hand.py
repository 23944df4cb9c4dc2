"""The laws of a circuit that an operator moves, and of one that goes on where an earlier run of the program was."""

import asyncio
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.supervision.circuits import DOWN, PlainHouse, Trial
from upright.actors.events import Event
from upright.supervision.breaker import MODES, Mode, Saved
from upright.supervision.errors import CircuitOpen, IllegalTransition
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerMoved
from upright.supervision.window import Tally

INF = float("inf")
PLACE = "breaker smtp"
BY_HAND: tuple[Mode, ...] = ("forced-open", "disabled", "metrics-only")


def moved(trial: Trial, mode: Mode) -> Trial:
    trial.breaker.set_mode(mode, "ada", f"to be {mode}")
    return trial


def again(trial: Trial, *, down: float = 0.0, **numbers: object) -> Trial:
    """The same in the next run of the program, which was down for so many seconds by the wall clock."""
    house = PlainHouse(trial.house.records, epoch=trial.house.epoch + down)
    house.clock = 7.0  # another clock altogether
    return Trial(house, **numbers)


class Obedient(PlainHouse):
    """Somebody listens, who wants no probes."""

    trial: Trial

    def tell(self, event: Event) -> None:
        super().tell(event)
        if isinstance(event, BreakerHalfOpened):
            moved(self.trial, "forced-open")


class TestModes:
    def test_forced_open_lets_nobody_through_and_time_changes_nothing(self) -> None:
        trial = moved(Trial(), "forced-open").after(1e9)
        assert (trial.enter(), trial.enter(patient=True), trial.room) == (None, None, 0)
        assert (trial.breaker.is_shut, trial.breaker.opens_at(trial.now), trial.breaker.setback()) == (True, INF, 0.0)

    def test_forced_open_says_by_whom_and_why(self) -> None:
        refusal = moved(Trial(), "forced-open").breaker.refusal(0.0)
        assert isinstance(refusal, CircuitOpen)
        assert str(refusal) == "circuit smtp was opened by ada: to be forced-open"
        assert 0 < refusal.retry_after < INF

    def test_disabled_lets_all_through_and_counts_nothing(self) -> None:
        trial = moved(Trial(consecutive=1), "disabled").calls("x" * 100)
        assert (trial.state, trial.breaker.tally(), trial.room) == ("closed", Tally(), INF)

    def test_disabled_counts_no_success_and_no_slow_call_either(self) -> None:
        trial = moved(Trial(slow_call=1.0), "disabled")
        trial.call(took=0.0)
        trial.call(took=2.0)
        assert trial.breaker.tally() == Tally()

    def test_metrics_only_lets_all_through_and_counts(self) -> None:
        trial = moved(Trial(consecutive=1), "metrics-only").calls("x" * 99 + "o")
        assert (trial.state, trial.breaker.tally(), trial.room) == ("closed", Tally(100, 99, 0), INF)
        assert trial.breaker.rates() == (0.99, 0.0)
        assert trial.openings == []

    @pytest.mark.parametrize("mode", BY_HAND)
    def test_back_to_automatic_it_is_closed_and_knows_of_no_call(self, mode: Mode) -> None:
        trial = moved(moved(Trial(consecutive=2), mode), "automatic")
        assert (trial.state, trial.room, trial.breaker.tally()) == ("closed", INF, Tally())
        assert (trial.calls("x").state, trial.calls("x").state) == ("closed", "open")

    def test_a_row_of_failures_under_metrics_only_is_forgotten_after_it(self) -> None:
        trial = moved(moved(Trial(consecutive=2), "metrics-only").calls("xxxx"), "automatic")
        assert trial.calls("x").state == "closed"

    def test_an_open_circuit_is_closed_by_hand_and_its_wait_begins_anew(self) -> None:
        trial = moved(Trial().half_opened().half_opened().trip(), "automatic")
        assert (trial.state, trial.room) == ("closed", INF)
        assert trial.trip().waits == [5.0, 10.0, 20.0, 5.0]

    def test_a_half_open_circuit_is_closed_by_hand_and_its_probes_change_nothing(self) -> None:
        trial = Trial(minimum_calls=1).half_opened()
        tokens = trial.begin(3)
        moved(trial, "automatic")
        for token in tokens:
            trial.end(token, DOWN)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally())

    @pytest.mark.parametrize("mode", BY_HAND)
    def test_what_began_before_a_move_changes_nothing_after_it(self, mode: Mode) -> None:
        trial = Trial(minimum_calls=1)
        (early,) = trial.begin()
        moved(trial, mode)
        trial.end(early, DOWN)
        assert trial.breaker.tally() == Tally()
        moved(trial, "automatic")
        trial.end(early, DOWN)
        assert (trial.state, trial.breaker.tally()) == ("closed", Tally())

    @pytest.mark.parametrize("mode", [mode for mode in BY_HAND if mode != "forced-open"])
    def test_what_began_under_a_mode_changes_nothing_after_it(self, mode: Mode) -> None:
        trial = moved(Trial(minimum_calls=1), mode)
        early = trial.begin(3)
        moved(trial, "automatic").half_opened().begin(1)
        for token, error in zip(early, (None, DOWN, asyncio.CancelledError()), strict=True):
            trial.end(token, error)
        assert (trial.room, trial.breaker.tally()) == (2, Tally())

    def test_there_are_four(self) -> None:
        assert get_args(Mode) == MODES


class TestMoves:
    @pytest.mark.parametrize("to", MODES)
    @pytest.mark.parametrize("start", MODES)
    def test_from_each_mode_to_each_other_one_and_not_to_itself(self, start: Mode, to: Mode) -> None:
        trial = moved(Trial(), start) if start != "automatic" else Trial()
        before = len(trial.house.told)
        if start == to:
            with pytest.raises(IllegalTransition, match=f"^expected another mode for circuit smtp: it is {to} already"):
                moved(trial, to)
            assert len(trial.house.told) == before
        else:
            assert moved(trial, to).house.told[before:] == [BreakerMoved("/", "smtp", to, "ada", f"to be {to}")]
        assert trial.breaker.mode == to

    def test_the_wait_of_an_open_circuit_is_ended_by_hand(self) -> None:
        trial = Trial().trip()
        trial.breaker.probe("ada", "they say it works")
        assert trial.house.told[-1] == BreakerMoved("/", "smtp", "half-open", "ada", "they say it works")
        assert trial.room == 3
        assert trial.calls("ooo").state == "closed"

    @pytest.mark.parametrize("standing", ["closed", "half-open", *BY_HAND])
    def test_there_is_no_wait_to_end_unless_it_is_open(self, standing: str) -> None:
        trial = Trial()
        if standing == "half-open":
            trial.half_opened()
        for mode in BY_HAND:
            if mode == standing:
                moved(trial, mode)
        with pytest.raises(IllegalTransition, match=f"^expected circuit smtp to be open, it is {standing}$"):
            trial.breaker.probe("ada", "in vain")
        assert trial.breaker.why != "in vain"

    def test_who_moves_it_on_hearing_that_it_is_half_open_is_obeyed_by_the_call_that_made_it_so(self) -> None:
        house = Obedient()
        trial = house.trial = Trial(house).trip().after(5.0)
        assert (trial.enter(), trial.breaker.mode) == (None, "forced-open")


class TestMemory:
    def test_an_open_circuit_is_open_for_the_rest_of_its_wait_and_the_back_off_goes_on(self) -> None:
        later = again(Trial().half_opened().trip().after(4.0), down=1.0)
        assert (later.state, later.breaker.opens_at(7.0), later.enter()) == ("open", 12.0, None)
        assert later.after(5.0).half_opened().waits == []
        assert later.trip().waits == [20.0]

    def test_one_whose_wait_ended_while_the_program_was_down_is_tried_with_its_permits(self) -> None:
        later = again(Trial().trip(), down=1e6)
        assert (later.state, later.room) == ("open", 3)
        later.begin(3)
        assert (later.state, later.enter()) == ("half-open", None)

    def test_one_that_was_half_open_is_tried_anew(self) -> None:
        later = again(Trial().half_opened().calls("oo"))
        assert (later.state, later.room) == ("open", 3)

    def test_one_that_had_closed_is_closed(self) -> None:
        later = again(Trial().closed_again())
        assert (later.state, later.breaker.openings, later.trip().waits) == ("closed", 0, [5.0])

    @pytest.mark.parametrize(("hours", "left"), [(-24.0, 5.0), (24.0, 0.0)])
    def test_a_wall_clock_that_was_set_makes_no_wait_longer_than_it_was(self, hours: float, left: float) -> None:
        later = again(Trial().trip(), down=hours * 3600)
        assert later.breaker.opens_at(7.0) == 7.0 + left

    @pytest.mark.parametrize("mode", BY_HAND)
    def test_one_that_was_moved_by_hand_stays_where_it_was_put(self, mode: Mode) -> None:
        later = again(moved(Trial(), mode), down=1e6)
        assert (later.breaker.mode, later.breaker.who, later.breaker.why) == (mode, "ada", f"to be {mode}")
        with pytest.raises(IllegalTransition):
            moved(later, mode)

    def test_one_that_was_to_be_tried_by_hand_is_tried_after_a_restart(self) -> None:
        trial = Trial().trip()
        trial.breaker.probe("ada", "they say it works")
        later = again(trial)
        assert (later.room, later.breaker.who) == (3, "ada")

    def test_the_time_that_it_was_open_goes_on_over_a_restart(self) -> None:
        later = again(Trial().trip().after(2.0), down=100.0)
        later.calls("ooo")
        assert later.house.told[-1] == BreakerClosed("/", "smtp", 102.0)

    def test_a_policy_of_other_numbers_goes_on_with_it(self) -> None:
        later = again(Trial().trip(), permits=1, minimum_calls=1)
        assert later.after(5.0).room == 1
        assert later.calls("o").state == "closed"

    @given(st.binary(max_size=200))
    def test_a_record_that_cannot_be_read_is_as_none(self, garbage: bytes) -> None:
        assert Trial(PlainHouse({PLACE: garbage})).state == "closed"

    @settings(max_examples=300)
    @given(st.data())
    def test_a_damaged_record_breaks_nothing(self, data: st.DataObject) -> None:
        record = bytearray(Trial().trip().house.records[PLACE])
        for _ in range(data.draw(st.integers(1, 3))):
            record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
        usable(Trial(PlainHouse({PLACE: bytes(record)})))

    @given(
        state=st.sampled_from(("closed", "open", "half-open")), mode=st.sampled_from(MODES),
        openings=st.integers(-5, 2**63), times=st.tuples(st.floats(), st.floats(), st.floats()),
    )  # fmt: skip
    def test_numbers_that_cannot_be_break_nothing(
        self, state: Any, mode: Mode, openings: int, times: tuple[float, float, float]
    ) -> None:
        saved = Saved(state, mode, openings, *times)
        usable(Trial(PlainHouse({PLACE: msgspec.msgpack.encode(saved)})))


def usable(trial: Trial) -> None:
    """It can be asked everything, and an operator brings it back to work."""
    breaker = trial.breaker
    assert breaker.room(0.0) >= 0
    assert breaker.opens_at(0.0) >= 0
    assert breaker.setback() >= 0
    assert breaker.refusal(0.0).retry_after >= 0
    if breaker.mode == "automatic" and breaker.opens_at(0.0) < 1e9:
        trial.after(breaker.opens_at(0.0))
        while trial.room >= 1:
            trial.call(DOWN)
        assert trial.state == "open"
    if (breaker.mode, breaker.state) != ("automatic", "closed"):
        moved(trial, "automatic")
    assert trial.trip().openings[-1].openings == 1
