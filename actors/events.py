"""What happens in a system, as frozen values with their fields always present.

Nothing here knows who listens. Logs, metrics, traces, alerts and tests subscribe to the system's `EventBus`.
Durations are seconds and end in `_s`; no event carries a payload.
"""

import logging
from typing import ClassVar

import msgspec

from .exits import Exit
from .message import DeadLetter


class Event(msgspec.Struct, frozen=True):
    """What all events share: `name`, dotted and past tense, constant per class; `path`, the actor it is about.

    `level`: how the log weighs it, a number of `logging`.
    """

    name: ClassVar[str] = "event"
    level: ClassVar[int] = logging.INFO
    path: str


class ActorSpawned(Event, frozen=True):
    """An actor was given its path; it has not run yet. `kind`: its class."""

    name: ClassVar[str] = "actor.spawned"
    level: ClassVar[int] = logging.DEBUG
    kind: str


class ActorStarted(Event, frozen=True):
    """`started()` returned. `incarnation`: 1 for the first."""

    name: ClassVar[str] = "actor.started"
    level: ClassVar[int] = logging.DEBUG
    kind: str
    incarnation: int


class ActorStartFailed(Event, frozen=True):
    """`__init__` or `started()` raised, or took too long."""

    name: ClassVar[str] = "actor.start_failed"
    level: ClassVar[int] = logging.ERROR
    kind: str
    incarnation: int
    error: BaseException


class ActorPaused(Event, frozen=True):
    """It takes no message: a policy that its class uses, `guard`, lets nobody through. What comes waits."""

    name: ClassVar[str] = "actor.paused"
    level: ClassVar[int] = logging.DEBUG
    kind: str
    guard: str


class ActorResumed(Event, frozen=True):
    """It takes messages again, after `paused_s` seconds, or none is left."""

    name: ClassVar[str] = "actor.resumed"
    level: ClassVar[int] = logging.DEBUG
    kind: str
    paused_s: float


class ActorCrashed(Event, frozen=True):
    """An error escaped. `handler`: where, the method's name."""

    name: ClassVar[str] = "actor.crashed"
    level: ClassVar[int] = logging.ERROR
    kind: str
    incarnation: int
    handler: str
    error: BaseException


class ActorRestarting(Event, frozen=True):
    """A new incarnation is about to start. `incarnation`: its number. `delay_s`: how long it was held back."""

    name: ClassVar[str] = "actor.restarting"
    level: ClassVar[int] = logging.DEBUG
    kind: str
    incarnation: int
    delay_s: float


class ActorRestarted(Event, frozen=True):
    """The new incarnation is up. `waiting`: how many messages it found in the mailbox."""

    name: ClassVar[str] = "actor.restarted"
    level: ClassVar[int] = logging.INFO
    kind: str
    incarnation: int
    waiting: int


class ActorStopped(Event, frozen=True):
    """The actor ended for good; its name is free. `undelivered`: how many messages were still waiting."""

    name: ClassVar[str] = "actor.stopped"
    level: ClassVar[int] = logging.DEBUG
    kind: str
    incarnation: int
    exit: Exit
    undelivered: int


class ZombieDetached(Event, frozen=True):
    """An incarnation swallowed its cancellation and was left behind. `stack`: where it stands; no local variables."""

    name: ClassVar[str] = "actor.zombie_detached"
    level: ClassVar[int] = logging.ERROR
    kind: str
    incarnation: int
    stack: str


class LoopBlocked(Event, frozen=True):
    """The loop has not turned for `blocked_s` seconds. Emitted from the watchdog's thread, while it lasts."""

    name: ClassVar[str] = "loop.blocked"
    level: ClassVar[int] = logging.ERROR
    handler: str
    blocked_s: float
    stack: str


class MessageProcessed(Event, frozen=True):
    """A handler ended. `outcome`: ok, refused, crashed or killed. `duration_s`: how long it ran."""

    name: ClassVar[str] = "message.processed"
    level: ClassVar[int] = logging.DEBUG
    handler: str
    outcome: str
    duration_s: float


class MessageDropped(Event, frozen=True):
    """A full mailbox dropped a message by its policy. `reason`: dropped_new or dropped_old."""

    name: ClassVar[str] = "message.dropped"
    level: ClassVar[int] = logging.DEBUG
    handler: str
    reason: str


class AskExpired(Event, frozen=True):
    """An ask was found in the mailbox after its asker had stopped waiting.

    It was not run. `late_s`: by how long, 0 if withdrawn.
    """

    name: ClassVar[str] = "ask.expired"
    level: ClassVar[int] = logging.INFO
    handler: str
    late_s: float


class DeadLettered(Event, frozen=True):
    """A message went to the dead-letter actor. `letter` holds its payload: do not log it whole."""

    name: ClassVar[str] = "message.dead_lettered"
    level: ClassVar[int] = logging.WARNING
    letter: DeadLetter


class DeadLetterLost(Event, frozen=True):
    """The dead-letter actor could not take a letter (full, gone, or the letter was its own).

    `lost`: how many so far.
    """

    name: ClassVar[str] = "dead_letter.lost"
    level: ClassVar[int] = logging.ERROR
    letter: DeadLetter
    lost: int


class HookFailed(Event, frozen=True):
    """`stopping()` or `undelivered()` raised while the actor was ending anyway. `hook`: its name."""

    name: ClassVar[str] = "actor.hook_failed"
    level: ClassVar[int] = logging.ERROR
    kind: str
    hook: str
    error: BaseException


class SupervisorGaveUp(Event, frozen=True):
    """A supervisor ends, for its children needed too many restarts; its own supervisor judges that.

    `why`: which child, how often, and the last error.
    """

    name: ClassVar[str] = "supervisor.gave_up"
    level: ClassVar[int] = logging.ERROR
    why: str


class SystemGaveUp(Event, frozen=True):
    """The tree needed too many restarts; the system ends. `why`: which child, how often, and the last error."""

    name: ClassVar[str] = "system.gave_up"
    level: ClassVar[int] = logging.CRITICAL
    why: str


class SubscriberRemoved(Event, frozen=True):
    """A subscriber raised, and gets no more events. `subscriber`: its name. `path` is the event's that it raised on."""

    name: ClassVar[str] = "subscriber.removed"
    level: ClassVar[int] = logging.ERROR
    subscriber: str
    error: BaseException
