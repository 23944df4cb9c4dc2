"""Why an incarnation of an actor ended, as values.

They stand apart because everybody reads them: watchers in `Down`, `stopping()`, events, and the pure rules of
supervision, which must not import anything that runs.
"""

import msgspec


class Normal(msgspec.Struct, frozen=True):
    """The actor stopped itself (`ctx.stop()`). A clean exit."""


class Shutdown(msgspec.Struct, frozen=True):
    """The actor was asked to stop and ended in time. A clean exit.

    `why`: who asked, in a few words for people. `gave_up`: whether it is a supervisor that ended itself because its
    children needed too many restarts.
    """

    why: str = ""
    gave_up: bool = False


class Crashed(msgspec.Struct, frozen=True):
    """An error escaped from a handler, from `started()` or `stopping()`, or from a task of the actor."""

    error: BaseException


class Failed(Crashed, frozen=True):
    """A durable delivery failed by this `error`. A fresh instance follows at once; no supervisor hears of it."""


class Killed(msgspec.Struct, frozen=True):
    """The actor was cancelled: it did not end within its `shutdown` time, or somebody killed it.

    `why`: who cancelled it, in a few words for people.
    """

    why: str = ""


class NoActor(msgspec.Struct, frozen=True):
    """Nobody lives at that path (OTP's `noproc`): the answer to a watch that came too late."""


NOBODY = NoActor()
"""The one that all actors share which have not ended."""


Exit = Normal | Shutdown | Crashed | Killed | NoActor


def is_clean(exit: Exit) -> bool:
    """Whether a `transient` actor that ended so stays down.

    >>> is_clean(Shutdown("deploy")), is_clean(Killed())
    (True, False)
    """
    return isinstance(exit, Normal | Shutdown)
