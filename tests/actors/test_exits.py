"""The laws of exits: values that say why an actor ended, and which of them are clean."""

from typing import get_args

import pytest

from upright.actors.exits import Crashed, Exit, Killed, NoActor, Normal, Shutdown, is_clean

EXITS: dict[Exit, bool] = {
    Normal(): True,
    Shutdown("deploy"): True,
    Killed("too slow"): False,
    NoActor(): False,
    Crashed(ValueError("x")): False,
}


@pytest.mark.parametrize(("exit", "clean"), EXITS.items())
def test_only_normal_and_shutdown_are_clean(exit: Exit, clean: bool) -> None:
    assert is_clean(exit) is clean


def test_every_kind_of_exit_is_judged_here() -> None:
    assert {type(exit) for exit in EXITS} == set(get_args(Exit))


def test_exits_are_values_equal_when_their_fields_are() -> None:
    assert Shutdown("deploy") == Shutdown("deploy") != Shutdown("end of day")
    assert Normal() == Normal()
    exits: list[Exit] = [Killed("late"), Shutdown("late"), Normal(), NoActor()]
    assert all(exits.count(exit) == 1 for exit in exits)


@pytest.mark.parametrize("exit", [Shutdown("a"), Killed("a")])
def test_exits_are_frozen(exit: Shutdown | Killed) -> None:
    with pytest.raises(AttributeError):
        exit.why = "b"  # type: ignore[misc]  # what the test forbids


def test_a_crash_carries_its_error_itself() -> None:
    error = ValueError("x")
    assert Crashed(error).error is error
