"""The page of events and the code say the same."""

import logging
import re

from tests.house.rooms import ROOT
from upright.actors import events
from upright.actors.event_log import LEVELS

ROW = re.compile(r"^\| `(?P<name>[\w.]+)` \| `(?P<kind>\w+)` \| (?P<level>\w+) \| (?P<fields>[^|]*) \| [^|]+ \|$", re.M)
KINDS = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}


def test_the_page_lists_every_event_with_its_name_its_fields_and_its_level() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    told = [
        (row["name"], row["kind"], row["level"], re.findall(r"`(\w+)`", row["fields"])) for row in ROW.finditer(text)
    ]
    made = [
        (kind.name, kind.__name__, logging.getLevelName(LEVELS[kind]).lower(), [*kind.__struct_fields__[1:]])
        for kind in KINDS - {events.Event}
    ]
    assert sorted(told) == sorted(made)


def test_every_event_has_a_name_of_its_own_and_a_level() -> None:
    kinds = KINDS - {events.Event}
    assert len({kind.name for kind in kinds}) == len(kinds) == len(LEVELS)
    assert set(LEVELS) == kinds
