"""Supervision: trees of actors that are kept up."""

from .backoff import Backoff
from .build import child, supervisor
from .charge import ChildInfo, Counts
from .errors import (
    AlreadyPresent,
    AlreadyStarted,
    NotFound,
    NotStarted,
    Restarting,
    Running,
    SupervisionRefused,
)
from .intensity import Intensity
from .plan import Plan
from .spec import ChildSpec
from .supervisor import Supervisor

__all__ = [
    "AlreadyPresent",
    "AlreadyStarted",
    "Backoff",
    "ChildInfo",
    "ChildSpec",
    "Counts",
    "Intensity",
    "NotFound",
    "NotStarted",
    "Plan",
    "Restarting",
    "Running",
    "SupervisionRefused",
    "Supervisor",
    "child",
    "supervisor",
]
