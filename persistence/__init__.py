"""Durable mailboxes: at least once, retries, idempotency keys, delays, quarantine; state that is saved with the ack."""

from .attempt import InHand
from .codec import Undecodable, Unencodable, handler, local
from .definition import AmbiguousSteps, DefinitionError, NoWayOut, UnknownState, UnreachableState
from .durable import Durable
from .entities import Entities, entities
from .errors import (
    AddressTaken,
    NoEntity,
    NoStore,
    NotStaged,
    OutcomeUnknown,
    RunFailed,
    RunNotFound,
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
    MailboxPaused,
    MailboxResumed,
    Quarantining,
    ScheduleFired,
    ScheduleLate,
    StateRefused,
    StoreFailing,
    StoreSwept,
)
from .guard_records import StoredBreaker
from .memory import Memory
from .outbox import NoTransaction, Outbox
from .quarantine import Quarantine
from .records import Failure
from .reports import REASONS, Counts, Group, Letter, StoryEvent
from .retention import KEEP_ALL, Retention
from .run import Run, RunInfo
from .run_record import HistoryEvent
from .runner import machine
from .schedule import Schedule, cron, every
from .schedule_clock import ScheduleClock, ScheduleRecord, schedules
from .schedule_records import StoredSchedule
from .sqlite import Sqlite
from .state_machine import StateMachine, StepContext
from .steps import Reject, after, call, each, parallel, signal, step
from .store import Store

# isort: split
# Last: `quarantine` is also the name of a room, and whoever is imported later wins.
from upright.supervision.retry import Retry, RetryAfter, discard, quarantine, retry, retry_after

__all__ = [
    "KEEP_ALL",
    "REASONS",
    "AddressTaken",
    "AmbiguousSteps",
    "Counts",
    "DefinitionError",
    "DeliveryFailed",
    "DeliveryLost",
    "Durable",
    "Entities",
    "Failure",
    "Group",
    "HistoryEvent",
    "InHand",
    "Letter",
    "MailboxOpened",
    "MailboxParked",
    "MailboxPaused",
    "MailboxResumed",
    "Memory",
    "NoEntity",
    "NoStore",
    "NoTransaction",
    "NoWayOut",
    "NotStaged",
    "Outbox",
    "OutcomeUnknown",
    "Quarantine",
    "Quarantining",
    "Reject",
    "Retention",
    "Retry",
    "RetryAfter",
    "Run",
    "RunFailed",
    "RunInfo",
    "RunNotFound",
    "Schedule",
    "ScheduleClock",
    "ScheduleFired",
    "ScheduleLate",
    "ScheduleRecord",
    "Sqlite",
    "StateMachine",
    "StateRefused",
    "StepContext",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFailing",
    "StoreSwept",
    "StoreTooNew",
    "StoreUnavailable",
    "StoredBreaker",
    "StoredSchedule",
    "StoryEvent",
    "Undecodable",
    "Unencodable",
    "UnknownState",
    "UnreachableState",
    "after",
    "call",
    "cron",
    "discard",
    "each",
    "entities",
    "every",
    "handler",
    "local",
    "machine",
    "parallel",
    "quarantine",
    "retry",
    "retry_after",
    "schedules",
    "signal",
    "step",
]
