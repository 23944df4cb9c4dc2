"""What a user may have to catch, or to listen to, stands on the face of its wing."""

import importlib
from types import ModuleType

import pytest

from tests.house.rooms import House
from upright import actors, persistence, supervision
from upright.actors.errors import ActorError
from upright.actors.events import Event

WINGS = [actors, supervision, persistence]


def made_in(wing: ModuleType, kind: type) -> set[str]:
    """The classes of that kind that the rooms of a wing define."""
    names: set[str] = set()
    for room in House.read().wings:
        if room.module.startswith(wing.__name__) and ".testing" not in room.module:
            found = vars(importlib.import_module(room.module)).values()
            own = [one for one in found if isinstance(one, type) and one.__module__ == room.module]
            names |= {one.__name__ for one in own if issubclass(one, kind)}
    return names


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.__name__)
def test_every_error_of_the_library_stands_on_the_face_of_its_wing(wing: ModuleType) -> None:
    names = made_in(wing, ActorError)
    assert names
    assert names <= {*wing.__all__}


def test_every_event_of_persistence_stands_on_its_face() -> None:
    names = made_in(persistence, Event)
    assert names
    assert names <= {*persistence.__all__}


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.__name__)
def test_a_face_hands_on_what_it_lists_and_no_room_of_that_name(wing: ModuleType) -> None:
    assert [name for name in wing.__all__ if isinstance(getattr(wing, name, wing), ModuleType)] == []
