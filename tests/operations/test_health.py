"""What each probe asks, and what it must not: a restart heals nothing but what `live` asks for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.operations import Check, HealthLimits
from upright.operations.health import PROBES, Findings, Probe, judged

WELL = Findings(started=True)
LIMITS = HealthLimits(high_water=100)
ALL: tuple[Probe | None, ...] = (*PROBES, None)
TROUBLE: dict[str, tuple[Findings, set[Probe]]] = {
    "it has not started": (Findings(), {"startup", "ready"}),
    "it drains": (Findings(started=True, draining=True), {"ready"}),
    "its tree gave up": (Findings(started=True, gave_up="too many"), {"startup", "live", "ready"}),
    "its loop is held up": (Findings(started=True, silent_s=10.0), {"startup", "live", "ready"}),
    "its store was asked long ago": (Findings(started=True, store_s=5.0), {"ready"}),
    "its store was asked very long ago": (Findings(started=True, store_s=60.0), {"startup", "live", "ready"}),
    "its store is full": (Findings(started=True, trouble="full"), {"ready"}),
    "too much waits": (Findings(started=True, depth=100), {"ready"}),
    "a part of its own is not well": (
        Findings(started=True, more=(Check("workers", "failed", "none is ready"),)),
        {"ready"},
    ),
    "a circuit is open": (Findings(started=True, open_guards=("smtp open",)), set()),
    "a mailbox is parked": (Findings(started=True, parked=("jobs",)), set()),
    "an actor became a zombie": (Findings(started=True, zombies=1), set()),
}


@pytest.mark.parametrize("probe", ALL)
def test_a_service_that_is_well_passes_each_probe_without_a_word(probe: Probe | None) -> None:
    report = judged(probe, WELL, LIMITS)
    assert (report.ok, report.status, report.why) == (True, "ok", "")


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_probe_fails_for_its_own_reasons_alone(probe: Probe, trouble: str) -> None:
    found, failing = TROUBLE[trouble]
    assert judged(probe, found, LIMITS).ok is (probe not in failing)


@pytest.mark.parametrize("trouble", TROUBLE)
def test_the_whole_report_tells_of_every_trouble(trouble: str) -> None:
    report = judged(None, TROUBLE[trouble][0], LIMITS)
    assert report.status == ("failed" if TROUBLE[trouble][1] else "degraded")
    assert report.why


@pytest.mark.parametrize(
    "found",
    [
        Findings(started=True, silent_s=9.99),
        Findings(started=True, store_s=4.99),
        Findings(started=True, depth=99),
    ],
)
def test_what_is_just_below_a_limit_is_well(found: Findings) -> None:
    assert judged(None, found, LIMITS).status == "ok"


def test_without_a_high_water_mark_any_number_may_wait() -> None:
    assert judged("ready", Findings(started=True, depth=10**9), HealthLimits()).ok


def test_a_loop_that_is_held_up_is_reported_with_where_it_stands() -> None:
    report = judged("live", Findings(started=True, silent_s=12.0, stack="File app.py, line 3"), LIMITS)
    assert report.why == "loop: it has not answered for 12.0 s; it stands in\nFile app.py, line 3"


@given(
    st.builds(
        Findings,
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "x"]),
        st.floats(0, 99),
        st.just(""),
        st.floats(0, 99),
        st.sampled_from(["", "x"]),
        st.integers(0, 200),
        st.just(()),
        st.just(()),
        st.integers(0, 2),
    )
)
def test_what_is_ready_has_started_and_lives(found: Findings) -> None:
    if judged("ready", found, LIMITS).ok:
        assert judged("startup", found, LIMITS).ok
    if judged("startup", found, LIMITS).ok:
        assert judged("live", found, LIMITS).ok


def test_a_report_is_plain_values_for_json() -> None:
    plain: dict[str, Any] = judged("live", TROUBLE["its tree gave up"][0], LIMITS).plain()
    assert (plain["ok"], plain["status"]) == (False, "failed")
    assert plain["checks"][0] == {"name": "tree", "status": "failed", "why": "it gave up: too many"}
