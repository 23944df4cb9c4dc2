"""The errors of those who look into a service, and act on it:

ActorError
├── NotFound       what was asked for is not there; says what is
├── Wrong          it was asked in a way that makes no sense (also a ValueError)
├── Failed         the service tried, and could not; says why
├── Unreachable    no service answers there
└── SocketRefused  the admin socket cannot be opened at that path

The first three go over the admin socket, and are raised again on the other side.
"""

from upright.actors.errors import ActorError


class NotFound(ActorError):
    """There is no such actor, address, message, machine or run."""


class Wrong(ActorError, ValueError):
    """An operation that does not exist, or arguments that do not fit it."""


class Failed(ActorError):
    """The operation was tried, and failed on the side of the service."""


class Unreachable(ActorError):
    """No service answers at that socket, or it went away before it had answered."""


class SocketRefused(ActorError):
    """The admin socket cannot be opened: another service has it, something else is there, or the path is too long."""
