"""The laws of the errors: one root, flat, as drawn; they give the message back and show no payload."""

import inspect

import pytest

from upright import actors
from upright.actors import errors
from upright.actors.errors import (
    ActorError,
    ActorFailed,
    ActorGone,
    ActorRestarting,
    AskCycle,
    AskFailed,
    AskTimedOut,
    MailboxFull,
    NameTaken,
    StartFailed,
    UnknownHandler,
    WrongClass,
)
from upright.actors.message import Message

ALL = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}


def drawn() -> dict[str, str]:
    """Each error of the tree in the module's docstring, with its parent."""
    parents: dict[str, str] = {}
    above = [""]
    for line in (errors.__doc__ or "").splitlines():
        name = line.replace("│   ", "").lstrip("├└─ ").split(" ")[0]
        if name in ALL:
            depth = line.index(name) // 4
            parents[name] = above[depth]
            above[depth + 1 :] = [name]
    return parents


def test_the_tree_that_the_docstring_draws_is_the_tree_of_the_classes() -> None:
    assert drawn() == {name: "" if kind is ActorError else kind.__bases__[0].__name__ for name, kind in ALL.items()}


def test_every_error_stands_on_the_face_of_the_wing() -> None:
    assert set(ALL) <= set(actors.__all__)


def test_a_timed_out_ask_is_a_time_out_like_any_other() -> None:
    assert issubclass(AskTimedOut, TimeoutError)


@pytest.mark.parametrize("kind", [WrongClass, UnknownHandler])
def test_a_mistake_of_the_program_is_a_type_error(kind: type[Exception]) -> None:
    assert issubclass(kind, TypeError)


@pytest.mark.parametrize("kind", [AskTimedOut, ActorFailed, ActorGone, ActorRestarting])
@pytest.mark.parametrize("handled", [True, False])
def test_a_failed_ask_says_whom_it_asked_and_whether_the_message_was_handled(
    kind: type[AskFailed], handled: bool
) -> None:
    error = kind("text", "/bank", handled)
    assert (str(error), error.path, error.handled) == ("text", "/bank", handled)


def test_a_cycle_names_its_chain_in_order_and_was_not_handled() -> None:
    error = AskCycle(("/a", "/b", "/a"))
    assert error.chain == ("/a", "/b", "/a")
    assert "/a asks /b asks /a" in str(error)
    assert not error.handled


def test_a_full_mailbox_gives_the_message_back_and_shows_no_payload() -> None:
    message = Message("append", ("secret",))
    error = MailboxFull("/bank", message)
    assert error.message is message
    assert error.path == "/bank"
    assert "append" in str(error)
    assert "secret" not in str(error)


def test_a_name_taken_and_a_failed_start_say_where() -> None:
    assert NameTaken("/bank").path == StartFailed("/bank", "why").path == "/bank"
