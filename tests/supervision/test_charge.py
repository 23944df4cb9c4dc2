"""The laws of a charge: how long its restart is held back, and what an administrator is told of it."""

import random
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds
from upright.actors import Exit, Normal, Ref
from upright.supervision import Backoff, Counts, child, supervisor
from upright.supervision.charge import Charge, Standing, count

STANDINGS: tuple[Standing, ...] = get_args(Standing)
RNG = random.Random(0)


class Stub:
    """A child that is only looked at."""

    def __init__(self, ref: Any) -> None:
        self.self_ref: Ref[Any] = ref

    path, state, incarnation = "/bank/a", "running", 1

    async def restart(self, held_back: float = 0.0) -> None: ...
    async def halt(self, why: str) -> None: ...
    async def end(self, why: str) -> Exit:
        return Normal()


def charged(standing: Standing, supervises: bool = False) -> Charge:
    charge = Charge(supervisor("s") if supervises else child("a", Deeds))
    charge.child, charge.standing = Stub(object()), standing
    return charge


def delays(backoff: Backoff, *pauses: float) -> list[float]:
    """The delays of failures, each so many seconds after the delay of the one before it had passed."""
    charge = Charge(child("a", Deeds).options(backoff=backoff))
    now, held = 100.0, list[float]()
    for pause in pauses:
        now += pause
        held.append(charge.delay(now, RNG))
        now += held[-1]
    return held


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_without_back_off_a_restart_comes_at_once_however_often(times: list[float]) -> None:
    charge = Charge(child("a", Deeds))
    assert [charge.delay(time, RNG) for time in sorted(times)] == [0.0] * len(times)


def test_the_nth_restart_in_a_row_is_held_back_by_the_nth_delay() -> None:
    assert delays(Backoff(1.0, 8.0, jitter="none"), *[0.0] * 6) == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.mark.parametrize("begin", [0.0, 1e9])
def test_the_first_failure_waits_the_first_delay_whatever_the_clock_says(begin: float) -> None:
    charge = Charge(child("a", Deeds).options(backoff=Backoff(1.0, 8.0, jitter="none")))
    assert charge.delay(begin, RNG) == 1.0
    assert charge.delay(begin, RNG) == 2.0


def test_after_a_quiet_time_the_delays_begin_anew() -> None:
    assert delays(Backoff(1.0, 8.0, jitter="none", quiet=30.0), 0, 0, 0, 30.0, 0) == [1.0, 2.0, 4.0, 1.0, 2.0]


def test_a_shorter_pause_than_the_quiet_time_leaves_the_count_as_it_was() -> None:
    assert delays(Backoff(1.0, 8.0, jitter="none", quiet=30.0), 0, 10.0, 10.0, 10.0) == [1.0, 2.0, 4.0, 8.0]


def test_the_quiet_time_is_counted_from_the_last_failure_and_not_from_the_first() -> None:
    assert delays(Backoff(1.0, 64.0, jitter="none", quiet=20.0), *[9.0] * 4) == [1.0, 2.0, 4.0, 8.0]


def test_the_time_that_a_child_is_held_back_is_no_quiet_time() -> None:
    assert delays(Backoff(1.0, 64.0, jitter="none", quiet=3.0), *[0.0] * 7) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


@given(st.sampled_from(["none", "equal", "full"]), st.integers(1, 30))
def test_a_delay_is_never_beyond_the_cap(jitter: Literal["none", "equal", "full"], times: int) -> None:
    assert all(0 <= delay <= 4.0 for delay in delays(Backoff(1.0, 4.0, jitter=jitter), *[0.0] * times))


def test_a_new_charge_is_down_and_has_no_actor() -> None:
    charge = Charge(child("a", Deeds))
    assert (charge.standing, charge.child, charge.info().ref) == ("down", None, None)


def test_a_running_child_is_told_with_its_ref() -> None:
    charge = charged("running")
    assert charge.child is not None
    assert charge.info().ref is charge.child.self_ref


def test_a_child_that_is_restarting_is_told_by_that_word() -> None:
    assert charged("restarting").info().ref == "restarting"


def test_a_child_that_is_down_is_told_without_a_ref() -> None:
    assert charged("down").info().ref is None


@pytest.mark.parametrize(("supervises", "kind"), [(False, "worker"), (True, "supervisor")])
def test_info_tells_the_id_the_kind_and_the_spec(supervises: bool, kind: str) -> None:
    charge = charged("running", supervises)
    info = charge.info()
    assert (info.id, info.kind, info.spec) == (charge.spec.id, kind, charge.spec)


@given(st.lists(st.tuples(st.sampled_from(STANDINGS), st.booleans())))
def test_counts_are_of_specs_of_those_that_run_and_of_each_kind(children: list[tuple[Standing, bool]]) -> None:
    counts = count([charged(standing, supervises) for standing, supervises in children])
    assert counts == Counts(
        specs=len(children),
        active=len([1 for standing, _ in children if standing == "running"]),
        supervisors=len([1 for _, supervises in children if supervises]),
        workers=len([1 for _, supervises in children if not supervises]),
    )
