"""What the upper wings fulfil for this one, as protocols."""

from typing import Protocol

from .options import Blueprint


class Startable(Protocol):
    """What a system can be given to start: a child spec, a supervisor's."""

    def blueprint(self) -> Blueprint:
        """How to make it."""
        ...
