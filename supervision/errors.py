"""Every error of the supervision wing. Nearly all are answers, subclasses of `Refuse`, which never crash a supervisor.

Refuse (upright.actors)
└── SupervisionRefused
    ├── AlreadyStarted   that id runs; `ref` is it
    ├── AlreadyPresent   that id is known, but does not run
    ├── Running          the call is for a child that does not run
    ├── Restarting       the call is for a child that does not run, and is not about to
    ├── InvalidSpec      what was to be started may not stand there (also a ValueError)
    ├── NotFound         no child of that id
    ├── TooManyChildren  a dynamic supervisor is full
    └── NotStarted       the child's start failed (also a StartFailed)
GuardRefused (upright.actors)
├── CircuitOpen          a circuit breaker lets no call through now
├── RateLimited          a rate limit has no token in the time that the call may wait
└── BulkheadFull         as many calls run and wait as may
ActorError (upright.actors)
├── Unroutable           a message that a pool cannot route; raised at its sender (also a ValueError)
└── IllegalTransition    a circuit breaker cannot go there from where it is
"""

from typing import Any

from upright.actors.errors import ActorError, GuardRefused, Refuse, StartFailed
from upright.actors.message import Message, told
from upright.actors.refs import Ref


class SupervisionRefused(Refuse):
    """A supervisor answers no; `id` is the child's."""

    def __init__(self, text: str, id: str) -> None:
        super().__init__(text)
        self.id = id


class AlreadyStarted(SupervisionRefused):
    """A child of that id is there already: it runs, or is about to be restarted."""

    def __init__(self, id: str, ref: Ref[Any]) -> None:
        super().__init__(f"expected a new id, but there is a child {id!r} already", id)
        self.ref = ref


class AlreadyPresent(SupervisionRefused):
    """A child of that id is known but does not run: restart it, or delete it first."""


class Running(SupervisionRefused):
    """The child runs; terminate it first."""


class Restarting(SupervisionRefused):
    """The child is about to be restarted; terminate it first."""


class InvalidSpec(SupervisionRefused, ValueError):
    """What was to be started is no child spec, or one that may not stand there."""


class NotFound(SupervisionRefused):
    """No child of that id."""


class TooManyChildren(SupervisionRefused):
    """The supervisor has as many children as it may; those that are restarting count."""


class NotStarted(SupervisionRefused, StartFailed):
    """The child did not start; `path` says which, `__cause__` why. The supervisor goes on."""

    def __init__(self, failure: StartFailed, id: str) -> None:
        Exception.__init__(self, str(failure))
        self.path, self.id = failure.path, id


class Unroutable(ActorError, ValueError):
    """The routing of a pool found no key in a message. `path` is the pool's, `message` what was not delivered."""

    def __init__(self, path: str, message: Message, error: BaseException) -> None:
        super().__init__(f"{path} cannot route {message.handler}: {told(error)}")
        self.path, self.message = path, message


class CircuitOpen(GuardRefused):
    """The circuit breaker of the dependency lets no call through now; nothing was called."""


class RateLimited(GuardRefused):
    """The rate limit has no token within the time that the call may wait; nothing was called."""


class BulkheadFull(GuardRefused):
    """As many calls of the dependency run and wait as may; nothing was called."""


class IllegalTransition(ActorError):
    """An operator asked a circuit breaker for a move that makes no sense from where it is; it stays as it was."""
