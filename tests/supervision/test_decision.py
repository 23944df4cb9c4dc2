"""The laws of decision: what becomes of a child that ended, whom a restart touches, and when a supervisor ends."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import Crashed, Exit, Killed, NoActor, Normal, Shutdown
from upright.supervision.decision import (
    AUTO_SHUTDOWNS,
    RESTARTS,
    STRATEGIES,
    AutoShutdown,
    Group,
    Restart,
    Strategy,
    Verdict,
    group,
    judge,
    shuts_down,
)

CLEAN: tuple[Exit, ...] = (Normal(), Shutdown(), Shutdown("deploy"))
UNCLEAN: tuple[Exit, ...] = (
    Crashed(ValueError("no")),
    Crashed(asyncio.CancelledError("uninvited")),
    Killed(),
    Killed("by hand"),
    NoActor(),
)
TABLE: dict[Restart, tuple[Verdict, Verdict]] = {
    "permanent": (Verdict.RESTART, Verdict.RESTART),
    "transient": (Verdict.KEEP, Verdict.RESTART),
    "temporary": (Verdict.FORGET, Verdict.FORGET),
}
ORDERS = st.lists(st.text("abcdefghij", min_size=1, max_size=3), min_size=1, max_size=12, unique=True)


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("exit", CLEAN)
def test_a_clean_exit_is_judged_by_the_first_column(restart: Restart, exit: Exit) -> None:
    assert judge(restart, exit) is TABLE[restart][0]


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("exit", UNCLEAN)
def test_any_other_exit_is_judged_by_the_second_column(restart: Restart, exit: Exit) -> None:
    assert judge(restart, exit) is TABLE[restart][1]


def test_a_supervisor_that_gave_up_ended_cleanly_so_only_a_permanent_one_is_restarted() -> None:
    assert [judge(restart, Shutdown("too many restarts")) for restart in RESTARTS] == [
        Verdict.RESTART,
        Verdict.KEEP,
        Verdict.FORGET,
    ]


def naive(strategy: Strategy, order: list[str], failed: str) -> Group:
    """Walk through all children and ask of each whether it is touched."""
    start: list[str] = []
    stop: list[str] = []
    seen = False
    for child in order:
        seen = seen or child == failed
        touched = {"one_for_one": child == failed, "one_for_all": True, "rest_for_one": seen}[strategy]
        if touched:
            start.append(child)
            if child != failed:
                stop.insert(0, child)
    return Group(tuple(stop), tuple(start))


@given(st.sampled_from(STRATEGIES), ORDERS, st.data())
def test_a_group_is_what_the_strategy_touches(strategy: Strategy, order: list[str], data: st.DataObject) -> None:
    failed = data.draw(st.sampled_from(order))
    assert group(strategy, order, failed) == naive(strategy, order, failed)
    assert group(strategy, tuple(order), failed) == naive(strategy, order, failed)


@given(st.sampled_from(STRATEGIES), ORDERS, st.data())
def test_a_group_starts_in_order_stops_in_reverse_and_never_stops_the_one_that_failed(
    strategy: Strategy, order: list[str], data: st.DataObject
) -> None:
    failed = data.draw(st.sampled_from(order))
    before = list(order)
    touched = group(strategy, order, failed)
    assert list(touched.start) == [child for child in order if child in touched.start]
    assert touched.stop == tuple(child for child in reversed(touched.start) if child != failed)
    assert failed in touched.start
    assert order == before


@pytest.mark.parametrize(
    ("strategy", "failed", "stop", "start"),
    [
        ("one_for_one", "b", "", "b"),
        ("one_for_all", "a", "dcb", "abcd"),
        ("one_for_all", "b", "dca", "abcd"),
        ("one_for_all", "d", "cba", "abcd"),
        ("rest_for_one", "a", "dcb", "abcd"),
        ("rest_for_one", "b", "dc", "bcd"),
        ("rest_for_one", "d", "", "d"),
    ],
)
def test_of_four_children_a_to_d_these_are_touched(strategy: Strategy, failed: str, stop: str, start: str) -> None:
    assert group(strategy, "abcd", failed) == Group(tuple(stop), tuple(start))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_only_child_is_the_same_group_under_every_strategy(strategy: Strategy) -> None:
    assert group(strategy, ("only",), "only") == Group((), ("only",))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_can_fail_who_is_not_a_child(strategy: Strategy) -> None:
    with pytest.raises(ValueError, match="not in"):
        group(strategy, ("a", "b"), "stranger")


@given(st.sampled_from(AUTO_SHUTDOWNS), st.booleans(), st.lists(st.text()))
def test_a_supervisor_ends_by_its_policy_and_only_when_a_significant_child_has_ended(
    policy: AutoShutdown, significant: bool, left: list[str]
) -> None:
    expected = {
        "never": False,
        "any_significant": significant,
        "all_significant": significant and left == [],
    }[policy]
    assert shuts_down(policy, significant, left) is expected
    assert shuts_down(policy, significant, iter(left)) is expected


@pytest.mark.parametrize("left", ["", "x"])
def test_a_significant_child_whose_id_says_little_is_left_running_all_the_same(left: str) -> None:
    assert not shuts_down("all_significant", True, [left])
