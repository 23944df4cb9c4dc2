"""The laws of a plan: all of it is checked before any child starts, each wrong field by its own error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds
from upright.supervision import ChildSpec, Intensity, Plan, child
from upright.supervision.decision import AUTO_SHUTDOWNS, STRATEGIES, AutoShutdown, Strategy

IDS = st.lists(st.sampled_from("abcdef"), max_size=8)


def test_the_defaults_are_one_for_one_three_in_five_seconds_and_no_auto_shutdown() -> None:
    assert Plan() == Plan((), "one_for_one", Intensity(3, 5.0), "never")


@given(IDS, st.sampled_from(STRATEGIES))
def test_ids_are_unique_and_the_error_names_the_first_that_is_not(ids: list[str], strategy: Strategy) -> None:
    twice = next((id for place, id in enumerate(ids) if id in ids[:place]), None)
    children = tuple(child(id, Deeds) for id in ids)
    if twice is None:
        assert Plan(children, strategy).children == children
        return
    with pytest.raises(ValueError, match="unique") as raised:
        Plan(children, strategy)
    assert repr(twice) in str(raised.value)


def test_two_children_of_one_class_and_different_ids_stand_beside_each_other() -> None:
    assert [spec.id for spec in Plan((child("a", Deeds), child("b", Deeds))).children] == ["a", "b"]


@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("policy", AUTO_SHUTDOWNS)
def test_a_significant_child_stands_only_where_auto_shutdown_is_not_never(policy: AutoShutdown, restart: Any) -> None:
    spec = child("vip", Deeds).options(restart=restart, significant=True)
    if policy != "never":
        assert Plan((spec,), auto_shutdown=policy).children == (spec,)
        return
    with pytest.raises(ValueError, match="auto_shutdown") as raised:
        Plan((child("a", Deeds), spec), auto_shutdown=policy)
    assert "'vip'" in str(raised.value)
    assert "never" in str(raised.value)


@pytest.mark.parametrize("policy", AUTO_SHUTDOWNS)
def test_children_that_are_not_significant_stand_under_every_policy(policy: AutoShutdown) -> None:
    assert Plan((child("a", Deeds),), auto_shutdown=policy).auto_shutdown == policy


@pytest.mark.parametrize("field", ["strategy", "auto_shutdown"])
@pytest.mark.parametrize("value", ["sometimes", "ONE_FOR_ONE", "", None, 1, ["never"]])
def test_each_wrong_field_is_refused_by_name_with_the_value_and_what_is_legal(field: str, value: Any) -> None:
    legal = STRATEGIES if field == "strategy" else AUTO_SHUTDOWNS
    with pytest.raises(ValueError, match=rf"^expected {field} to be one of {', '.join(legal)}") as raised:
        Plan(**{field: value})
    assert str(raised.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("value", [3, (3, 5.0), None])
def test_a_wrong_intensity_is_refused_by_name_with_the_value(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="intensity") as raised:
        Plan(intensity=value)
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("value", [Deeds, "ledger", None, ("ledger", Deeds)])
def test_what_is_no_child_spec_is_refused_with_the_value(value: Any) -> None:
    with pytest.raises(TypeError, match="child spec") as raised:
        Plan((child("a", Deeds), value))
    assert ("unpack it with *" if isinstance(value, tuple) else repr(value)) in str(raised.value)


def test_one_more_child_is_checked_beside_those_that_are_known() -> None:
    plan = Plan()
    plan.check(child("a", Deeds), ["b", "c"])
    with pytest.raises(ValueError, match="'b'"):
        plan.check(child("b", Deeds), ["b", "c"])
    late: ChildSpec[Deeds] = child("d", Deeds).options(restart="temporary", significant=True)
    with pytest.raises(ValueError, match="auto_shutdown"):
        plan.check(late, ())
    Plan(auto_shutdown="any_significant").check(late, ())


def test_it_is_a_value_that_nobody_changes() -> None:
    plan: Any = Plan()
    with pytest.raises(AttributeError):
        plan.strategy = "one_for_all"
