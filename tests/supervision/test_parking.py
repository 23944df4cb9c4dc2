"""The laws of parking: ten different failures in a row stop a mailbox, a probe opens it, victims are paid back."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.supervision.backoff import Backoff
from upright.supervision.parking import PARKS, REMEMBERED, SUSPECTS, Opened, Parked, Parking

EXACT = Backoff(2.0, 300.0, jitter="none")
IDS = st.sampled_from("abcdefghijklmnop")
DICE = random.Random(0)
TEN = tuple("abcdefghij")


def parked(now: float = 0.0, ids: tuple[str, ...] = TEN, parking: Parking | None = None) -> tuple[Parking, Parked]:
    """A mailbox of which all these messages have just failed, and what the last failure brought."""
    parking = parking or Parking(len(ids), EXACT)
    *early, last = (parking.failed(id, now, DICE) for id in ids)
    assert early == [None] * len(early)
    assert last is not None
    return parking, last


def test_messages_of_one_lane_count_for_one_and_the_last_of_them_gets_its_attempt_back() -> None:
    parking = Parking(3, EXACT)
    assert [parking.failed(f"a{n}", 0.0, DICE, "a") for n in range(50)] == [None] * 50
    assert parking.failed("b0", 0.0, DICE, "b") is None
    assert parking.failed("a", 1.0, DICE) == Parked(3.0, ("a49", "b0", "a")), "one without a lane is none of lane a"


def test_a_lane_that_has_failed_is_a_suspect_until_it_succeeds_though_it_was_open_meanwhile() -> None:
    parking = Parking(2, EXACT)
    for id, lane in (("1", "a"), ("2", "b")):
        parking.failed(id, 0.0, DICE, lane)
    assert [*parking.suspects] == ["a", "b"]
    parking.claimed("3", 2.0)
    parking.failed("3", 2.0, DICE, "c")
    parking.claimed("4", 6.0)
    assert parking.succeeded("4", 6.0, "d") == Opened(2)
    assert [*parking.suspects] == ["a", "b", "c"]
    for lane in "abc":
        assert not parking.is_spotless
        parking.succeeded("5", 6.0, lane)
    assert not parking.suspects


def test_of_suspects_no_more_than_so_many_are_remembered() -> None:
    parking = Parking(SUSPECTS + 50, EXACT)
    for number in range(SUSPECTS + 50):
        parking.failed(str(number), 0.0, DICE, f"lane {number}")
    assert [*parking.suspects] == [f"lane {number}" for number in range(50, SUSPECTS + 50)], "the latest"


def probing(now: float, id: str = "p") -> Parking:
    """A mailbox that parked two seconds before and has just claimed its probe."""
    parking, _ = parked(now - 2.0)
    parking.claimed(id, now)
    return parking


class Plain:
    """The same in the plainest way: whole lists of what happened, searched anew each time."""

    def __init__(self, failures: int) -> None:
        self.most = failures
        self.story: list[tuple[str, str]] = []
        self.state, self.probe, self.until = "open", "", 0.0
        self.parks, self.opened_at = 0, 0.0
        self.paid: list[str] = []

    def row(self) -> list[str]:
        """The different ids that failed since the last success or park."""
        row: list[str] = []
        for verb, id in reversed(self.story):
            if verb != "failed":
                break
            row = [id, *(other for other in row if other != id)]
        return row

    def pay(self, ids: list[str]) -> tuple[str, ...]:
        new = [id for id in ids if id not in self.paid]
        self.paid += new
        return tuple(new)

    def park(self, now: float) -> float:
        self.story.append(("parked", ""))
        self.state, self.probe = "parked", ""
        self.parks += 1
        self.until = now + min(300.0, 2.0**self.parks)
        return self.until

    def may_claim(self, now: float) -> int | None:
        return {"open": None, "parked": int(now >= self.until), "probing": 0}[self.state]

    def claimed(self, id: str, now: float) -> None:
        if self.may_claim(now) == 1:
            self.state, self.probe = "probing", id

    def ended(self, verb: str, id: str, now: float) -> Parked | Opened | None:
        probed = self.state == "probing" and self.probe == id
        if verb == "succeeded":
            self.paid = [other for other in self.paid if other != id]
        match (self.state, verb):
            case ("open", "released"):
                return None
            case ("open", _):
                self.story.append((verb, id))
                if len(self.row()) < self.most:
                    return None
                if now - self.opened_at >= 600.0:
                    self.parks, self.paid = 0, []
                back = self.pay(self.row())
                return Parked(self.park(now), back)
            case (_, "failed"):
                return Parked(self.park(now), ()) if probed else Parked(self.until, self.pay([id]), begins=False)
            case (_, "succeeded") if probed:
                self.state, self.probe, self.opened_at = "open", "", now
                return Opened(self.parks)
            case (_, "released") if probed:
                self.state, self.probe = "parked", ""
                return None
            case _:
                return None


# An end names one of the messages in hand by its place, so that every drawn end finds one.
STEPS = st.one_of(
    st.tuples(st.just("claim"), st.integers(0, 7)),
    st.tuples(st.sampled_from(["failed", "failed", "failed", "succeeded", "released"]), st.integers(0, 7)),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 2.0, 8.0, 600.0])),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.lists(STEPS, min_size=20, max_size=150))
def test_a_mailbox_parks_probes_and_opens_as_the_plain_model_does(
    failures: int, steps: list[tuple[str, float]]
) -> None:
    parking, model, now = Parking(failures, EXACT), Plain(failures), 1_000.0
    in_hand: list[str] = []
    probes: list[str] = []
    for verb, number in steps:
        if verb == "wait":
            now += number
        elif verb == "claim":
            id = TEN[int(number)]
            if id in in_hand or parking.may_claim(now) == 0:
                continue
            if parking.is_parked:
                probes.append(id)
            in_hand.append(id)
            parking.claimed(id, now)
            model.claimed(id, now)
        elif in_hand:
            id = in_hand.pop(int(number) % len(in_hand))
            probes = [probe for probe in probes if probe != id]
            answer: Parked | Opened | None = None
            match verb:
                case "failed":
                    answer = parking.failed(id, now, DICE)
                case "succeeded":
                    answer = parking.succeeded(id, now)
                case _:
                    parking.released(id)
            assert answer == model.ended(verb, id, now)
        assert parking.may_claim(now) == model.may_claim(now)
        assert parking.is_parked is (model.state != "open")
        assert len(probes) <= 1
        assert not probes or parking.is_parked


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.lists(st.tuples(IDS, st.booleans()), max_size=200), st.integers())
def test_no_message_gets_an_attempt_back_twice_in_one_time_of_trouble_unless_it_succeeded(
    failures: int, ends: list[tuple[str, bool]], seed: int
) -> None:
    parking, rng, now = Parking(failures), random.Random(seed), 0.0
    back: set[str] = set()
    for id, well in ends:
        now += 1.0
        if well:
            parking.succeeded(id, now)
            back.discard(id)
        elif answer := parking.failed(id, now, rng):
            assert len(set(answer.give_back)) == len(answer.give_back)
            assert not back & set(answer.give_back)
            back |= set(answer.give_back)
        parking.claimed(id, now)


@given(st.integers(1, 30), st.integers())
def test_a_park_doubles_from_two_seconds_to_five_minutes_and_is_spread_over_its_upper_half(nth: int, seed: int) -> None:
    parking, rng, now = Parking(1), random.Random(seed), 0.0
    for park in range(1, nth + 1):
        answer = parking.failed("a", now, rng)
        assert answer is not None
        whole = min(300.0, 2.0**park)
        assert whole / 2 <= answer.until - now + 1e-9
        assert answer.until - now - 1e-9 <= whole
        now = answer.until
        parking.claimed("a", now)


def test_by_default_ten_different_failures_park_it_for_up_to_two_seconds() -> None:
    parking = Parking()
    assert (parking.failures, parking.backoff) == (10, PARKS)
    _, answer = parked(ids=TEN, parking=parking)
    assert 1.0 <= answer.until <= 2.0
    assert (answer.give_back, answer.begins) == (TEN, True)


def test_the_same_message_failing_again_does_not_count_twice() -> None:
    parking = Parking()
    assert [parking.failed(id, 0.0, DICE) for id in (*"abcdefghi" * 5,)] == [None] * 45
    assert parking.failed("j", 0.0, DICE) is not None


def test_a_success_in_between_begins_the_row_anew() -> None:
    parking = Parking(3, EXACT)
    for id in "ab":
        parking.failed(id, 0.0, DICE)
    assert parking.succeeded("x", 0.0) is None
    assert [parking.failed(id, 0.0, DICE) for id in "cd"] == [None, None]
    assert parking.failed("e", 0.0, DICE) == Parked(2.0, ("c", "d", "e"))


def test_a_probe_that_failed_makes_way_for_the_next_one() -> None:
    parking = probing(now=10.0)
    assert parking.failed("p", 10.0, DICE) == Parked(14.0, ())
    assert [parking.may_claim(now) for now in (13.9, 14.0)] == [0, 1]
    parking.claimed("q", 14.0)
    assert parking.succeeded("q", 15.0) == Opened(2)


def test_a_message_that_succeeded_in_between_may_fall_victim_again() -> None:
    parking = probing(now=10.0, id="a")
    assert parking.succeeded("a", 10.0) == Opened(1)
    assert parked(11.0, parking=parking)[1] == Parked(15.0, ("a",))


def test_a_message_released_while_open_neither_counts_nor_begins_the_row_anew() -> None:
    parking = Parking(2, EXACT)
    parking.failed("a", 0.0, DICE)
    parking.released("x")
    assert parking.failed("b", 0.0, DICE) == Parked(2.0, ("a", "b"))


@pytest.mark.parametrize(
    ("verb", "id", "answer", "claims"),
    [
        ("failed", "p", Parked(14.0, ()), 0),
        ("failed", "late", Parked(10.0, ("late",), begins=False), 0),
        ("failed", "a", Parked(10.0, (), begins=False), 0),
        ("succeeded", "p", Opened(1), None),
        ("succeeded", "late", None, 0),
        ("released", "p", None, 1),
        ("released", "late", None, 0),
    ],
)
def test_while_it_probes_only_the_probe_decides(verb: str, id: str, answer: Any, claims: int | None) -> None:
    parking = probing(now=10.0)
    rest: dict[str, tuple[Any, ...]] = {"failed": (10.0, DICE), "succeeded": (10.0,), "released": ()}
    assert getattr(parking, verb)(id, *rest[verb]) == answer
    assert parking.may_claim(10.0) == claims


def test_one_probe_is_allowed_when_the_park_is_over_and_no_second_beside_it() -> None:
    parking, answer = parked()
    assert [parking.may_claim(now) for now in (0.0, answer.until - 0.001, answer.until, 1e9)] == [0, 0, 1, 1]
    parking.claimed("p", answer.until)
    parking.claimed("q", answer.until)
    assert parking.may_claim(1e9) == 0
    assert parking.failed("q", 3.0, DICE) == Parked(2.0, ("q",), begins=False)
    assert parking.succeeded("p", 4.0) == Opened(1)


def test_what_is_claimed_too_early_is_no_probe() -> None:
    parking, _ = parked()
    parking.claimed("early", 1.0)
    assert parking.succeeded("early", 1.5) is None
    assert parking.may_claim(2.0) == 1


def test_an_open_mailbox_has_no_probe() -> None:
    parking = Parking(3, EXACT)
    parking.claimed("a", 0.0)
    parked(1.0, ("a", "b", "c"), parking)
    assert parking.may_claim(3.0) == 1


def reopened_after(quiet: float) -> Parked:
    """Parked twice, opened, and ten more failures so many seconds later."""
    parking = probing(now=10.0)
    parking.failed("p", 10.0, DICE)
    parking.claimed("p", 14.0)
    assert parking.succeeded("p", 20.0) == Opened(2)
    return parked(20.0 + quiet, parking=parking)[1]


def test_one_that_parks_again_before_a_quiet_time_parks_longer_and_pays_nobody_twice() -> None:
    assert reopened_after(599.0) == Parked(20.0 + 599.0 + 8.0, ())


def test_after_a_quiet_time_the_doubling_and_the_paying_begin_anew() -> None:
    assert reopened_after(600.0) == Parked(20.0 + 600.0 + 2.0, TEN)


def test_ten_bad_messages_and_now_and_then_a_good_one_do_not_go_round_for_ever() -> None:
    """Each round the bad ones fail, the park pays back, and a good probe opens it again."""
    parking, now, used = Parking(), 0.0, dict.fromkeys(TEN, 0)
    for parks in range(1, 7):
        _, answer = parked(now, TEN, parking)
        for id in TEN:
            used[id] += 0 if id in answer.give_back else 1
        now = answer.until
        parking.claimed("good", now)
        assert parking.succeeded("good", now) == Opened(parks)
    assert used == dict.fromkeys(TEN, 5)


def test_it_remembers_a_bounded_number_of_those_it_has_paid() -> None:
    parking, _ = parked()
    for number in range(3 * REMEMBERED):
        answer = parking.failed(f"late-{number}", 0.0, DICE)
        assert answer is not None
        assert answer.give_back == (f"late-{number}",)
    assert len(parking._given) == REMEMBERED


@pytest.mark.parametrize("failures", [0, -1, 2.5, True, "ten"])
def test_a_number_of_failures_that_cannot_be_is_refused(failures: Any) -> None:
    with pytest.raises(ValueError, match="expected failures to be 1 or more") as raised:
        Parking(failures)
    assert str(raised.value).endswith(f"got {failures!r}")


def test_its_repr_tells_where_it_stands() -> None:
    parking = Parking(3, EXACT)
    parking.failed("a", 0.0, DICE)
    assert repr(parking) == "<Parking open 1/3 failed>"
    assert repr(parked()[0]) == "<Parking parked until 2.000>"
    assert repr(probing(2.0, "m-7")) == "<Parking probing m-7>"
