"""The laws of messages as values: they keep what was said, and show sizes and types only."""

import pytest

from upright.actors import DeadLetter, Message
from upright.actors.events import DeadLettered
from upright.actors.message import REASONS, told

SECRET = "4111-1111-1111-1111"


def test_a_message_keeps_its_arguments_as_they_were_given() -> None:
    entry = [1, 2]
    message = Message("append", (entry,), {"when": "now"}, asked=True)
    assert message.args[0] is entry
    assert message.kwargs == {"when": "now"}
    assert message.asked


def test_the_repr_of_a_message_shows_types_and_never_a_payload() -> None:
    message = Message("append", (SECRET, 7), {"card": SECRET}, asked=True)
    assert repr(message) == "<Message append(str, int, card=str) asked>"


def test_the_repr_of_a_dead_letter_shows_no_payload_and_no_text_of_its_error() -> None:
    letter = DeadLetter("/bank", Message("append", (SECRET,)), "crashed", ValueError(SECRET), "/shop")
    assert repr(letter) == "<DeadLetter /bank append crashed: ValueError>"


def test_the_repr_of_an_event_that_holds_a_letter_shows_no_payload() -> None:
    assert SECRET not in repr(DeadLettered("/bank", DeadLetter("/bank", Message("append", (SECRET,)), "stopped")))


def test_messages_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Message("append").handler = "other"  # type: ignore[misc]  # what the test forbids


def test_two_messages_never_share_their_default_arguments() -> None:
    assert Message("a").kwargs is not Message("b").kwargs


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    dropped = {"dropped_new", "dropped_old"}
    assert set(REASONS) == {"crashed", "killed", "rejected", "stopped", "no_actor", "no_worker", "no_room", *dropped}
    assert all(REASONS.values())


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text today")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (KeyError(), "KeyError"),
        (Unreadable(), "Unreadable: (its text cannot be read: RuntimeError)"),
    ],
)
def test_an_error_can_be_told_whatever_its_text_does(error: Exception, text: str) -> None:
    assert told(error) == text
