"""The log:

a subscriber that writes events as structlog lines. It is only a subscriber; any other could take its place.
"""

import logging
import traceback
from typing import Any

import structlog

from . import events
from .bus import EventBus
from .exits import Crashed, Killed
from .message import told


class EventLog:
    """Writes each event as one line: its name, and its fields as keys. Payloads and local variables are never written.

    `level`: the least level that is written, a number of `logging` (default INFO). Events below it are not even made,
    so that messages cost nothing. A library never configures structlog: how the lines look is the application's
    choice.
    """

    def __init__(self, level: int = logging.INFO) -> None:
        self.level = level
        self.lost = 0
        """How many events could not be written."""
        self._log = structlog.get_logger("upright")

    def subscribe(self, bus: EventBus) -> None:
        """Listen to all events of this level and above."""
        kinds = [kind for kind in kinds_of(events.Event) if kind.level >= self.level]
        if kinds:
            bus.subscribe(self.write, *kinds)

    def write(self, event: events.Event) -> None:
        """Write one event. Raises nothing: a line that cannot be written is dropped, and the next one is tried."""
        try:
            self._log.log(event.level, event.name, **fields(event))
        except Exception as error:  # the disk is full, or a processor of the application cannot take what is in it
            self._write_less(event, error)

    def _write_less(self, event: events.Event, error: Exception) -> None:
        try:
            self._log.log(event.level, event.name, unwritten=type(error).__name__)
        except Exception:
            self.lost += 1


def fields(event: events.Event) -> dict[str, Any]:
    """The keys of an event's line: simple values only, seconds end in `_s`.

    >>> fields(events.ActorStarted("/bank/ledger", "Ledger", 1))
    {'actor': '/bank/ledger', 'kind': 'Ledger', 'incarnation': 1}
    """
    line: dict[str, Any] = {"actor": event.path}
    for name in event.__struct_fields__[1:]:
        value = getattr(event, name)
        match name:
            case "error" if isinstance(value, str):
                line["error_text"] = value
            case "error":
                line |= {"error": type(value).__name__, "error_text": told(value), "stack": trace(value)}
            case "exit":
                line["exit"] = type(value).__name__.lower()
                if isinstance(value, Crashed):
                    line["error"] = type(value.error).__name__
                elif isinstance(value, Killed):
                    line["why"] = value.why
            case "letter":
                line |= {"handler": value.message.handler, "reason": value.reason, "sender": value.sender}
            case _:
                line[name] = value
    return line


def kinds_of(kind: type[events.Event]) -> list[type[events.Event]]:
    """All classes of events below one, those of other wings too, as far as they were imported."""
    return [one for below in kind.__subclasses__() for one in (below, *kinds_of(below))]


def trace(error: BaseException) -> str:
    """The traceback as text, without local variables."""
    return "".join(traceback.format_exception(error)).rstrip()
