"""What happens in this wing, for the event bus of the system; see `upright.actors.events`."""

import logging
from typing import ClassVar

from upright.actors.events import Event


class DeliveryFailed(Event, frozen=True):
    """The handler of a durable message raised. What follows is the policy's to say."""

    name: ClassVar[str] = "delivery.failed"
    level: ClassVar[int] = logging.WARNING
    address: str
    message: int
    attempt: int
    error: str


class DeliveryLost(Event, frozen=True):
    """The outcome of a delivery was refused: its claim had ended (`lost`), or another state was there (`conflict`)."""

    name: ClassVar[str] = "delivery.lost"
    level: ClassVar[int] = logging.ERROR
    address: str
    message: int
    attempt: int
    verdict: str


class StateRefused(Event, frozen=True):
    """What a timer, or another message to itself, did to the durable state of an actor was refused: another process has
    the address (`lost`), or another state was there (`conflict`). The actor is made new, with the state that is stored.
    """

    name: ClassVar[str] = "state.refused"
    level: ClassVar[int] = logging.ERROR
    address: str
    verdict: str


class Quarantining(Event, frozen=True):
    """A durable message goes to quarantine. `reason`: a code from `upright.persistence.REASONS`."""

    name: ClassVar[str] = "message.quarantined"
    level: ClassVar[int] = logging.ERROR
    address: str
    message: int
    reason: str


class MailboxParked(Event, frozen=True):
    """Ten different messages in a row have failed: nothing more is handled for `pause_s` seconds, then one is tried."""

    name: ClassVar[str] = "mailbox.parked"
    level: ClassVar[int] = logging.ERROR
    address: str
    pause_s: float


class MailboxOpened(Event, frozen=True):
    """The message that was tried after a park succeeded: all of them are handled again."""

    name: ClassVar[str] = "mailbox.opened"
    level: ClassVar[int] = logging.INFO
    address: str


class ScheduleFired(Event, frozen=True):
    """Messages for so many ticks of a schedule were stored: one, or more if some were missed."""

    name: ClassVar[str] = "schedule.fired"
    level: ClassVar[int] = 10
    schedule: str
    ticks: int


class ScheduleLate(Event, frozen=True):
    """The first tick that was due is `late_s` seconds old: nobody was there to fire it, or the clock was set. `missed`:
    what becomes of such ticks.
    """

    name: ClassVar[str] = "schedule.late"
    level: ClassVar[int] = 30
    schedule: str
    missed: str
    late_s: float


class StoreSwept(Event, frozen=True):
    """The store has deleted what its retention lets go: messages that were finished, letters that were quarantined, and
    the records of runs that were over.
    """

    name: ClassVar[str] = "store.swept"
    level: ClassVar[int] = logging.INFO
    finished: int
    quarantined: int
    runs: int


class StoreFailing(Event, frozen=True):
    """The store did not take what was to be written; it is tried again."""

    name: ClassVar[str] = "store.failing"
    level: ClassVar[int] = logging.ERROR
    error: str


class MailboxPaused(Event, frozen=True):
    """Nothing is claimed for a durable mailbox: a policy that its actor uses, `guard`, lets nothing through."""

    name: ClassVar[str] = "mailbox.paused"
    level: ClassVar[int] = logging.DEBUG
    address: str
    guard: str


class MailboxResumed(Event, frozen=True):
    """A durable mailbox is served again, after `paused_s` seconds."""

    name: ClassVar[str] = "mailbox.resumed"
    level: ClassVar[int] = logging.DEBUG
    address: str
    paused_s: float
