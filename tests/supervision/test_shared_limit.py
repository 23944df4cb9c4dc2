"""The laws of the borrower's side of a shared rate limit, without a loop."""

import random
from typing import Any

import pytest

from upright.actors.events import Event
from upright.supervision.rate_limit import Gcra, RateLimit
from upright.supervision.shared_limit import FRESH, Answer, SharedBucket, Terms


class House:
    """Its store answers when the test says so."""

    rng = random.Random(1)
    allows_chaos = False

    def __init__(self) -> None:
        self.time = 0.0
        self.lender: House | None = self
        self.asked: list[tuple[str, Terms, int, int]] = []
        self.answers: list[Answer] = []

    def lend(self, name: str, terms: Terms, least: int, wanted: int, answer: Answer) -> None:
        self.asked.append((name, terms, least, wanted))
        self.answers.append(answer)

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    def tell(self, event: Event) -> None: ...

    def recall(self, name: str) -> bytes | None:
        return None

    def remember(self, name: str, record: bytes) -> None: ...


API = RateLimit("api", 50, burst=5, shared=True)


def bucket(house: House) -> SharedBucket:
    opened = API.open(house)
    assert isinstance(opened, SharedBucket)
    return opened


def test_tokens_are_lent_for_a_tenth_of_a_second_and_asked_for_once() -> None:
    house = House()
    shared = bucket(house)
    assert [shared.enter(0.0, True, 1) for _ in range(3)] == [None] * 3
    assert house.asked == [("api", Terms(0.02, 5), 1, 5)]
    assert shared.opens_at(0.0) == float("inf"), "the answer tells"
    heard: list[float] = []
    shared.listen(lambda: heard.append(shared.room(0.0)))
    house.answers[0](5, 0.0)
    assert heard == [5]
    assert [shared.enter(0.0, True, 1) is not None for _ in range(6)] == [True] * 5 + [False]


def test_a_token_that_is_not_used_soon_is_not_used_at_all() -> None:
    house = House()
    shared = bucket(house)
    shared.room(0.0)
    house.answers[0](5, 0.0)
    assert shared.room(FRESH) == 5
    assert shared.enter(FRESH + 0.001, True, 1) is None
    assert len(house.asked) == 2


def test_where_none_is_to_be_had_it_asks_again_when_it_was_told_to() -> None:
    house = House()
    shared = bucket(house)
    shared.room(0.0)
    house.answers[0](0, 0.5)
    assert (shared.room(0.4), len(house.asked), shared.opens_at(0.4)) == (0, 1, 0.5)
    assert (shared.room(0.5), len(house.asked)) == (0, 2)


def test_a_call_that_did_not_happen_leaves_its_token_to_another() -> None:
    house = House()
    shared = bucket(house)
    shared.room(0.0)
    house.answers[0](1, 0.0)
    token = shared.enter(0.0, True, 1)
    assert token is not None
    assert shared.room(0.0) == 0
    shared.give_back(token, 0.0)
    assert shared.room(0.0) == 1


def test_a_token_that_is_given_back_is_good_for_no_longer_than_it_was() -> None:
    """Or whoever takes tokens for seconds, and gives all back, would have saved them up."""
    house = House()
    shared = bucket(house)
    taken: list[Any] = []
    for number in range(4):
        house.time = number * 0.9
        shared.room(house.time)
        house.answers[-1](1, 0.0)
        taken.append(shared.enter(house.time, True, 1))
    for token in taken:
        assert token is not None
        shared.give_back(token, house.time)
    assert shared.room(house.time) == 2, "the last one, and the one 0.9 s before it"
    assert shared.room(2 * 0.9 + FRESH + 0.001) == 1
    assert shared.room(3 * 0.9 + FRESH + 0.001) == 0


def test_a_call_that_counts_for_much_asks_for_all_of_it_at_once() -> None:
    house = House()
    shared = bucket(house)
    shared.room(0.0)
    house.answers[0](2, 0.0)
    assert shared.enter(0.0, True, 5) is None
    assert house.asked[-1][2:] == (5, 5)
    house.answers[1](5, 0.0)
    assert shared.enter(0.0, True, 5) is not None
    assert shared.room(0.0) == 2


def test_tokens_to_come_are_used_when_they_have_come() -> None:
    house = House()
    shared = bucket(house)
    shared.wanted(0.0, 3)
    assert house.asked[-1][2:] == (3, 5)
    house.answers[0](3, 0.5)
    assert shared.enter(0.4, True, 3) is None
    assert (len(house.asked), shared.opens_at(0.4)) == (1, 0.5), "it has a claim, and waits"
    assert shared.enter(0.5, True, 3) is not None


def test_where_the_store_has_gone_it_does_not_look_all_the_time() -> None:
    house = House()
    shared = bucket(house)
    house.lender = None
    assert (shared.room(0.0), shared.opens_at(0.0)) == (0, 1.0)


def test_without_a_store_it_is_a_limit_for_one_system() -> None:
    house = House()
    house.lender = None
    assert isinstance(API.open(house), Gcra)


def test_one_that_refuses_at_once_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match=r"^expected longest_wait to be more than 0 seconds"):
        RateLimit("api", 50, longest_wait=0, shared=True)
