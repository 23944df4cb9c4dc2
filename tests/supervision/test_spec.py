"""The laws of child specs: values, with OTP's defaults, checked where they are written."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds
from upright.supervision import Backoff, ChildSpec, child, supervisor
from upright.supervision.decision import RESTARTS, Restart

WORKER = child("ledger", Deeds)


def refused(**changes: Any) -> str:
    """The words with which a child with these options is refused."""
    with pytest.raises((TypeError, ValueError)) as raised:
        WORKER.options(**changes)
    return str(raised.value)


def test_the_defaults_of_a_worker_are_otps() -> None:
    assert (WORKER.restart, WORKER.significant, WORKER.backoff) == ("permanent", False, None)
    made = WORKER.blueprint()
    assert (made.name, made.actor, made.args, made.shutdown) == ("ledger", Deeds, (), 5.0)
    assert made.start_timeout == math.inf


def test_a_supervisor_has_all_the_time_it_needs_to_end() -> None:
    assert supervisor("bank").blueprint().shutdown == math.inf


@pytest.mark.parametrize("spec", [WORKER, supervisor("bank")])
@pytest.mark.parametrize("shutdown", [0, 0.0, 0.5, 60.0, math.inf, "brutal"])
def test_every_legal_shutdown_is_kept_by_workers_and_supervisors(spec: ChildSpec[Any], shutdown: Any) -> None:
    assert spec.options(shutdown=shutdown).blueprint().shutdown == shutdown


@pytest.mark.parametrize("shutdown", [-1, -0.001, -math.inf, math.nan, "gentle", "", "BRUTAL", "5"])
def test_a_wrong_shutdown_is_refused_with_the_value(shutdown: Any) -> None:
    words = refused(shutdown=shutdown)
    assert words.startswith("expected shutdown ")
    assert "0 or more seconds" in words
    assert "brutal" in words
    assert words.endswith(f"got {shutdown!r}")


@pytest.mark.parametrize("restart", ["always", "Permanent", "", None, 1])
def test_a_wrong_restart_is_refused_with_the_value_and_the_child(restart: Any) -> None:
    words = refused(restart=restart)
    assert words.startswith("expected restart of 'ledger' to be one of permanent, transient, temporary")
    assert words.endswith(f"got {restart!r}")


@pytest.mark.parametrize("restart", RESTARTS)
def test_only_a_transient_or_temporary_child_can_be_significant(restart: Restart) -> None:
    if restart != "permanent":
        spec = WORKER.options(restart=restart, significant=True)
        assert (spec.restart, spec.significant) == (restart, True)
        return
    words = refused(restart=restart, significant=True)
    assert "'ledger'" in words
    assert "significant" in words
    assert "got permanent" in words.replace("'", "")


def test_significance_and_restart_are_checked_together_in_whatever_order_they_are_given() -> None:
    assert WORKER.options(restart="transient").options(significant=True).significant
    assert "significant" in refused(significant=True)
    vip = WORKER.options(restart="transient", significant=True)
    with pytest.raises(ValueError, match="significant"):
        vip.options(restart="permanent")


@pytest.mark.parametrize("start_timeout", [0, 0.0, -1.0, math.nan])
def test_a_wrong_start_timeout_is_refused_with_the_value(start_timeout: float) -> None:
    words = refused(start_timeout=start_timeout)
    assert words.startswith("expected start_timeout ")
    assert "more than 0 seconds" in words
    assert words.endswith(f"got {start_timeout!r}")


@pytest.mark.parametrize("backoff", [1.0, 0, "none", (1.0, 2.0)])
def test_a_wrong_backoff_is_refused_with_the_value_and_the_child(backoff: Any) -> None:
    words = refused(backoff=backoff)
    assert words.startswith("expected backoff of 'ledger' to be a Backoff")
    assert words.endswith(f"got {backoff!r}")


@pytest.mark.parametrize(
    ("field", "value"),
    [("significant", "yes"), ("shutdown", [1.0]), ("start_timeout", "5"), ("start_timeout", None)],
)
def test_a_field_of_a_wrong_type_is_refused_by_name_with_the_value(field: str, value: Any) -> None:
    words = refused(restart="transient", **{field: value})
    assert field in words
    assert repr(value) in words


@pytest.mark.parametrize("id", ["", "/", "a/b", "/a", "a/"])
def test_an_id_that_can_be_no_part_of_a_path_is_refused_as_an_id_with_the_value(id: str) -> None:
    with pytest.raises(ValueError, match=r"^expected id ") as raised:
        child(id, Deeds)
    assert str(raised.value).endswith(f"got {id!r}")


@pytest.mark.parametrize("id", [3, None, ("a",), b"a"])
def test_an_id_is_a_string_and_anything_else_is_refused_with_the_value(id: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^expected id ") as raised:
        child(id, Deeds)
    assert repr(id) in str(raised.value)


@pytest.mark.parametrize("name", ["max_restarts", "strategy", "id", "actor", "args", "supervises", "shutdwon"])
def test_an_option_that_there_is_not_is_refused_by_name_with_those_there_are(name: str) -> None:
    words = refused(**{name: 1})
    assert words.endswith(f"got {name}")
    for option in ("restart", "shutdown", "significant", "backoff", "start_timeout"):
        assert option in words


def test_all_unknown_options_are_named_at_once() -> None:
    assert refused(zeal=1, age=2, shutdown=3.0).endswith("got age, zeal")


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "restart": st.sampled_from(RESTARTS),
        "shutdown": st.one_of(st.just("brutal"), st.floats(0, allow_nan=False)),
        "backoff": st.one_of(st.none(), st.just(Backoff(1.0, 2.0))),
        "start_timeout": st.floats(0.1, allow_nan=False),
    },
)


@given(OPTIONS, OPTIONS)
def test_options_change_what_they_name_and_nothing_else_and_the_last_word_counts(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    spec = child("a", Deeds, [1])
    changed = spec.options(**first).options(**second)
    assert changed == spec.options(**(first | second))
    for field in ChildSpec.__struct_fields__:
        assert getattr(changed, field) == (first | second).get(field, getattr(spec, field))
    assert spec == child("a", Deeds, [1])


def test_no_options_change_nothing() -> None:
    assert WORKER.options() == WORKER


def test_it_is_a_value_that_nobody_changes() -> None:
    spec: Any = child("a", Deeds)
    with pytest.raises(AttributeError):
        spec.id = "b"


def test_arguments_reach_the_blueprint_as_they_were_given() -> None:
    journal: list[Any] = []
    positional, named = child("a", Deeds, journal).blueprint(), child("a", Deeds, journal=journal).blueprint()
    assert positional.args[0] is journal
    assert named.kwargs["journal"] is journal
    assert (positional.kwargs, named.args) == ({}, ())
