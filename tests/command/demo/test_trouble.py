"""The schedule of a service's trouble, as a function of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.command.demo.trouble import FULL, KINDS, NONE, SERVICES, SHORT, Kind, Phase, schedule_of, trouble_at


def phase(since: float, length: float, kind: Kind) -> Phase:
    return Phase(since, since + length, kind)


PHASES = st.builds(
    phase,
    st.floats(0, 100),
    st.floats(0.5, 10),
    st.sampled_from(KINDS),
)


@given(st.lists(PHASES, max_size=6).map(tuple), st.floats(0, 150))
def test_it_is_the_first_phase_that_the_time_is_in(schedule: tuple[Phase, ...], elapsed: float) -> None:
    found = [phase.kind for phase in schedule if phase.since <= elapsed < phase.until]
    assert trouble_at(schedule, elapsed) == (found[0] if found else None)


@given(st.lists(PHASES, max_size=6).map(tuple))
def test_there_is_none_before_the_first_request_and_none_in_the_end(schedule: tuple[Phase, ...]) -> None:
    assert trouble_at(schedule, None) is None
    assert trouble_at(schedule, 1_000.0) is None


@pytest.mark.parametrize(("since", "until"), [(2.0, 2.0), (2.0, 1.0), (-1.0, 1.0)])
def test_a_phase_that_ends_before_it_begins_is_refused(since: float, until: float) -> None:
    with pytest.raises(ValueError, match="expected a phase to end after it began"):
        Phase(since, until, "slow")


def test_every_kind_happens_in_the_full_plan_and_services_are_well_at_the_end() -> None:
    assert {phase.kind for phases in FULL.values() for phase in phases} == {*KINDS}
    assert set(SHORT) == set(NONE) == set(FULL)
    assert all(trouble_at(schedule_of(name, "full"), 30.0) is None for name in SERVICES)
    assert all(schedule_of(name, "none") == () for name in SERVICES)
