"""The page of events and the code say the same."""

import logging
import re
from types import ModuleType

from tests.house.rooms import ROOT
from upright.actors import events
from upright.actors.testing import strikes
from upright.operations import events as of_operations
from upright.persistence import events as of_persistence
from upright.supervision import events as of_supervision

PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")
ROW = re.compile(r"^\| `(?P<name>[\w.]+)` \| `(?P<kind>\w+)` \| (?P<level>\w+) \| (?P<fields>[^|]*) \| [^|]+ \|$", re.M)


def kinds_in(room: ModuleType) -> set[type[events.Event]]:
    found = {kind for kind in vars(room).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    return found - {events.Event}


KINDS = kinds_in(events)
KEPT = kinds_in(of_persistence)
OF_POLICIES = kinds_in(of_supervision)
OF_SERVICES = kinds_in(of_operations)
IN_TESTS = kinds_in(strikes)
EVERY = KINDS | KEPT | OF_POLICIES | OF_SERVICES | IN_TESTS


def test_the_page_lists_every_event_with_its_name_its_fields_and_its_level() -> None:
    told = [
        (row["name"], row["kind"], row["level"], re.findall(r"`(\w+)`", row["fields"])) for row in ROW.finditer(PAGE)
    ]
    made = [
        (
            kind.name,
            kind.__name__,
            logging.getLevelName(kind.level).lower(),
            [*kind.__struct_fields__[1:]],
        )
        for kind in EVERY
    ]
    assert sorted(told, key=str) == sorted(made, key=str)


def test_every_event_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in EVERY}) == len(EVERY)


def test_every_event_says_of_which_level_it_is() -> None:
    assert [kind.__name__ for kind in EVERY if "level" not in vars(kind)] == []
