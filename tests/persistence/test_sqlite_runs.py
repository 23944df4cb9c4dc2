"""The laws of runs: they say of each claim what it says itself, and of no other."""

from hypothesis import given
from hypothesis import strategies as st

from upright.persistence.sqlite_runs import SPREAD, Claimed, Run, runs

CLAIMS = st.lists(
    st.builds(
        Claimed,
        id=st.integers(1, 30),
        token=st.integers(1, 40),
        attempt=st.integers(1, 2),
        started=st.sampled_from((0.0, 5.0, 5.0 + SPREAD / 2, 5.0 + 2 * SPREAD)),
    ),
    unique_by=lambda one: one.id,
    max_size=20,
)


def spread_out(found: list[Run]) -> list[tuple[int, int, int]]:
    return [(id, id + run.offset, run.attempt) for run in found for id in range(run.first, run.last + 1)]


@given(CLAIMS)
def test_runs_are_the_claims_no_more_and_no_less(claims: list[Claimed]) -> None:
    assert spread_out(runs(claims)) == sorted((one.id, one.token, one.attempt) for one in claims)


@given(CLAIMS)
def test_the_time_of_a_run_is_that_of_each_of_its_claims_to_a_hundredth_of_a_second(claims: list[Claimed]) -> None:
    started = {one.id: one.started for one in claims}
    for run in runs(claims):
        for id in range(run.first, run.last + 1):
            assert abs(started[id] - run.started) <= SPREAD


def test_what_follows_each_other_is_one_run_in_whatever_order_it_comes() -> None:
    assert runs(Claimed(id, id + 1_000, 1) for id in (4, 2, 3, 1)) == [Run(1, 4, 1_000, 1, 0.0)]
    assert runs([]) == []
