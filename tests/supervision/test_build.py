"""The laws of the words in which trees are written."""

import math
from typing import Any

import pytest

from tests.actors.deeds import Deeds
from upright.actors import Actor
from upright.supervision import ChildSpec, Intensity, Plan, Supervisor, child, supervisor
from upright.supervision.decision import AUTO_SHUTDOWNS, STRATEGIES


class Bank(Supervisor):
    """Computes its children."""

    def plan(self) -> Plan:
        return Plan((child("ledger", Deeds),), "rest_for_one")


class Strict(Actor):
    """Its arguments are needed."""

    def __init__(self, currency: str, *, most: int = 3) -> None:
        self.currency, self.most = currency, most


def the_plan(spec: ChildSpec[Supervisor]) -> Plan:
    """What the supervisor of this spec will do."""
    return spec.actor(*spec.args, **spec.kwargs).plan()


def test_a_child_is_its_id_its_class_and_its_arguments_whose_types_the_checkers_know() -> None:
    spec: ChildSpec[Strict] = child("a", Strict, "EUR", most=4)
    assert (spec.id, spec.actor, spec.args, dict(spec.kwargs)) == ("a", Strict, ("EUR",), {"most": 4})


def test_each_start_makes_a_new_actor_from_the_same_arguments() -> None:
    spec = child("a", Strict, "EUR", most=4)
    first, second = (spec.actor(*spec.args, **spec.kwargs) for _ in range(2))
    assert first is not second
    assert (first.currency, first.most) == (second.currency, second.most) == ("EUR", 4)


def test_an_argument_may_bear_the_name_of_a_parameter_of_child() -> None:
    class Named(Actor):
        def __init__(self, id: int, actor: str) -> None:
            self.id, self.actor = id, actor

    assert dict(child("a", Named, id=1, actor="x").kwargs) == {"id": 1, "actor": "x"}


def test_a_worker_is_no_supervisor_and_a_subclass_of_supervisor_is_one() -> None:
    assert not child("a", Deeds).supervises
    assert child("b", Bank).supervises
    assert supervisor("c").supervises
    assert child("b", Bank).blueprint().shutdown == supervisor("c").blueprint().shutdown == math.inf


@pytest.mark.parametrize("actor", [dict, len, lambda: Deeds(), Deeds(), "Deeds", None])
def test_what_is_no_actor_class_is_refused_with_the_value(actor: Any) -> None:
    with pytest.raises(TypeError, match="expected a subclass of Actor") as raised:
        child("a", actor)
    assert repr(actor) in str(raised.value)


def test_a_supervisor_does_what_was_written() -> None:
    one, two = child("one", Deeds), child("two", Deeds)
    spec = supervisor(
        "bank", one, two, strategy="rest_for_one", max_restarts=7, within=1.5, auto_shutdown="all_significant"
    )
    assert spec.id == "bank"
    assert the_plan(spec) == Plan((one, two), "rest_for_one", Intensity(7, 1.5), "all_significant")


def test_a_supervisor_of_nobody_with_nothing_said_has_the_defaults() -> None:
    assert the_plan(supervisor("bank")) == Plan()


def test_a_supervisor_is_a_child_of_another() -> None:
    inner = supervisor("inner", child("a", Deeds)).options(restart="transient", shutdown=3.0)
    outer = the_plan(supervisor("outer", inner))
    assert outer.children == (inner,)
    assert (inner.restart, inner.blueprint().shutdown) == ("transient", 3.0)


def test_ids_are_unique_within_one_supervisor_only() -> None:
    tree = supervisor("a", supervisor("b", child("a", Deeds)), supervisor("c", child("a", Deeds)), child("a", Deeds))
    assert [spec.id for spec in the_plan(tree).children] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "all_for_one"}, f"expected strategy to be one of {', '.join(STRATEGIES)}, got 'all_for_one'"),
        ({"auto_shutdown": "always"}, f"expected auto_shutdown to be one of {', '.join(AUTO_SHUTDOWNS)}, got 'always'"),
        ({"max_restarts": -1}, "expected max_restarts to be 0 or more, got -1"),
        ({"within": 0}, "expected within to be more than 0 seconds, got 0"),
        ({"within": -2.5}, "expected within to be more than 0 seconds, got -2.5"),
    ],
)
def test_each_wrong_value_is_refused_where_it_is_written(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        supervisor("bank", child("a", Deeds), **options)
    assert str(raised.value) == words


def test_an_option_that_there_is_not_is_refused() -> None:
    options: Any = {"max_restart": 3}
    with pytest.raises(TypeError, match="max_restart"):
        supervisor("bank", **options)


def test_duplicate_ids_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="'a' twice"):
        supervisor("bank", child("a", Deeds), child("b", Deeds), child("a", Deeds))


def test_a_class_in_place_of_a_spec_is_refused_with_the_value() -> None:
    children: Any = [Deeds]
    with pytest.raises(TypeError, match="child spec") as raised:
        supervisor("bank", *children)
    assert repr(Deeds) in str(raised.value)


@pytest.mark.parametrize("id", ["", "a/b"])
def test_a_supervisors_id_is_checked_as_a_childs_is(id: str) -> None:
    with pytest.raises(ValueError, match="got") as raised:
        supervisor(id)
    assert repr(id) in str(raised.value)


def test_a_subclass_computes_its_children_at_every_start() -> None:
    spec = child("bank", Bank)
    assert spec.actor(*spec.args, **spec.kwargs).plan().strategy == "rest_for_one"
