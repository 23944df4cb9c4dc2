"""Durable mailboxes: at least once, retries, idempotency keys, delays, quarantine; state that is saved with the ack."""

from .codec import Undecodable, Unencodable, handler, local
from .durable import Durable
from .errors import (
    AddressTaken,
    NoStore,
    NotStaged,
    OutcomeUnknown,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
)
from .events import (
    DeliveryFailed,
    DeliveryLost,
    MailboxOpened,
    MailboxParked,
    Quarantining,
    ScheduleFired,
    ScheduleLate,
    StateRefused,
    StoreFailing,
    StoreSwept,
)
from .hand import InHand
from .memory import Memory
from .outbox import NoTransaction, Outbox
from .quarantine import Quarantine
from .records import Failure
from .reports import REASONS, Counts, Group, Letter, StoryEvent
from .retention import KEEP_ALL, Retention
from .schedule import Schedule, cron, every
from .schedule_clock import ScheduleClock, ScheduleRecord, schedules
from .sqlite import Sqlite
from .store import Store

# isort: split
# Last: `quarantine` is also the name of a room, and whoever is imported later wins.
from upright.supervision.retry import Retry, RetryAfter, discard, quarantine, retry, retry_after

__all__ = [
    "KEEP_ALL",
    "REASONS",
    "AddressTaken",
    "Counts",
    "DeliveryFailed",
    "DeliveryLost",
    "Durable",
    "Failure",
    "Group",
    "InHand",
    "Letter",
    "MailboxOpened",
    "MailboxParked",
    "Memory",
    "NoStore",
    "NoTransaction",
    "NotStaged",
    "Outbox",
    "OutcomeUnknown",
    "Quarantine",
    "Quarantining",
    "Retention",
    "Retry",
    "RetryAfter",
    "Schedule",
    "ScheduleClock",
    "ScheduleFired",
    "ScheduleLate",
    "ScheduleRecord",
    "Sqlite",
    "StateRefused",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFailing",
    "StoreSwept",
    "StoreTooNew",
    "StoreUnavailable",
    "StoryEvent",
    "Undecodable",
    "Unencodable",
    "cron",
    "discard",
    "every",
    "handler",
    "local",
    "quarantine",
    "retry",
    "retry_after",
    "schedules",
]
