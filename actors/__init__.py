"""Actors in memory: typed messages, mailboxes, refs, watching, dead letters, events, and the system that runs them."""

from .actor import Actor
from .bus import EventBus
from .context import Context
from .dead_letters import DeadLetters
from .durable import Receipt
from .errors import (
    ActorError,
    ActorFailed,
    ActorGone,
    ActorRestarting,
    AskCycle,
    AskFailed,
    AskTimedOut,
    Detached,
    GuardRefused,
    Ignore,
    MailboxFull,
    NameTaken,
    NotDurable,
    NotInHand,
    Refuse,
    StartFailed,
    StashFull,
    SystemFailed,
    SystemNotRunning,
    UnknownHandler,
    WrongArguments,
    WrongClass,
)
from .event_log import EventLog
from .exits import Crashed, Exit, Killed, NoActor, Normal, Shutdown
from .guards import Guards
from .handlers import concurrent
from .message import DeadLetter, Message
from .options import Blueprint, Bounded
from .refs import Ref
from .seat import Turn, current_turn
from .system import ActorSystem
from .timer_key import TimerKey
from .timers import Timer
from .topics import Group, Topic
from .tree import Node
from .watching import Down

__all__ = [
    "Actor",
    "ActorError",
    "ActorFailed",
    "ActorGone",
    "ActorRestarting",
    "ActorSystem",
    "AskCycle",
    "AskFailed",
    "AskTimedOut",
    "Blueprint",
    "Bounded",
    "Context",
    "Crashed",
    "DeadLetter",
    "DeadLetters",
    "Detached",
    "Down",
    "EventBus",
    "EventLog",
    "Exit",
    "Group",
    "GuardRefused",
    "Guards",
    "Ignore",
    "Killed",
    "MailboxFull",
    "Message",
    "NameTaken",
    "NoActor",
    "Node",
    "Normal",
    "NotDurable",
    "NotInHand",
    "Receipt",
    "Ref",
    "Refuse",
    "Shutdown",
    "StartFailed",
    "StashFull",
    "SystemFailed",
    "SystemNotRunning",
    "Timer",
    "TimerKey",
    "Topic",
    "Turn",
    "UnknownHandler",
    "WrongArguments",
    "WrongClass",
    "concurrent",
    "current_turn",
]
