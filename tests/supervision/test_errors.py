"""The laws of this wing's errors: they are answers of a supervisor, and never crash it."""

from typing import Any

import pytest

from tests.actors.deeds import Deeds, Oops, raised_by
from tests.actors.lives import Systems, quiet
from upright.actors import GuardRefused, Refuse, StartFailed
from upright.actors.events import ActorRestarting, Event
from upright.supervision import (
    AlreadyPresent,
    AlreadyStarted,
    IllegalTransition,
    NotFound,
    NotStarted,
    Restarting,
    Running,
    SupervisionRefused,
    Supervisor,
    Unroutable,
    child,
    errors,
    supervisor,
)

MISTAKES = (Unroutable, IllegalTransition)
"""What no handler answers with: they are raised where a mistake was made."""
PLAIN: tuple[type[SupervisionRefused], ...] = (AlreadyPresent, NotFound, Restarting, Running)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


ERRORS = [found for found in vars(errors).values() if isinstance(found, type) and found.__module__ == errors.__name__]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_but_the_senders_is_a_refusal_and_stands_in_the_drawn_tree(error: type[Exception]) -> None:
    of_policies = issubclass(error, GuardRefused)
    assert issubclass(error, SupervisionRefused) is (error not in MISTAKES and not of_policies)
    assert issubclass(error, Refuse) is (error not in MISTAKES)
    assert errors.__doc__ is not None
    assert f"─ {error.__name__}" in errors.__doc__


@pytest.mark.parametrize("error", PLAIN)
def test_each_says_its_words_and_which_child(error: type[SupervisionRefused]) -> None:
    refusal = error("expected something else", "ledger")
    assert (str(refusal), refusal.id) == ("expected something else", "ledger")


def test_already_started_gives_the_ref_of_the_one_that_runs() -> None:
    ref: Any = object()
    refusal = AlreadyStarted("ledger", ref)
    assert (refusal.id, refusal.ref) == ("ledger", ref)
    assert "'ledger'" in str(refusal)


def test_not_started_is_both_a_refusal_and_a_failed_start_and_says_which_path() -> None:
    refusal = NotStarted(StartFailed("/bank/ledger", "no disk"), "ledger")
    assert isinstance(refusal, StartFailed)
    assert (refusal.id, refusal.path) == ("ledger", "/bank/ledger")
    assert str(refusal) == "/bank/ledger did not start: no disk"


class Unable(Deeds):
    async def started(self) -> None:
        raise Oops("no disk")


@pytest.mark.anyio
async def test_a_supervisor_that_refuses_answers_with_that_very_error_and_stays_as_it_was(system: Systems) -> None:
    async with quiet(system, tree=supervisor("bank", child("a", Deeds))) as s:
        restarts: list[Event] = []
        s.subscribe(restarts.append, ActorRestarting)
        bank = s.ref("/bank", Supervisor)
        started = await raised_by(bank.ask(Supervisor.start_child, child("a", Deeds)))
        assert isinstance(started, AlreadyStarted)
        assert started.ref == s.ref("/bank/a", Deeds)
        for asking in (
            bank.ask(Supervisor.terminate_child, "x"),
            bank.ask(Supervisor.restart_child, "x"),
            bank.ask(Supervisor.delete_child, "x"),
        ):
            missing = await raised_by(asking)
            assert isinstance(missing, NotFound)
            assert missing.id == "x"
        assert isinstance(await raised_by(bank.ask(Supervisor.restart_child, "a")), Running)
        assert isinstance(await raised_by(bank.ask(Supervisor.delete_child, "a")), Running)
        failed = await raised_by(bank.ask(Supervisor.start_child, child("b", Unable)))
        assert isinstance(failed, NotStarted)
        assert (failed.path, failed.id) == ("/bank/b", "b")
        assert isinstance(failed.__cause__, Oops)
        await bank.ask(Supervisor.terminate_child, "a")
        assert isinstance(await raised_by(bank.ask(Supervisor.start_child, child("a", Deeds))), AlreadyPresent)
        assert restarts == []
        assert (await bank.ask(Supervisor.count_children)).specs == 1
