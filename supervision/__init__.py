"""Supervision: trees of actors that are kept up."""

from .backoff import Backoff
from .charge import ChildInfo, Counts
from .dynamic import DynamicSupervisor
from .errors import (
    AlreadyPresent,
    AlreadyStarted,
    InvalidSpec,
    NotFound,
    NotStarted,
    Restarting,
    Running,
    SupervisionRefused,
    TooManyChildren,
)
from .intensity import Intensity
from .plan import Plan
from .spec import ChildSpec
from .supervisor import Supervisor

# isort: split
# Last: two of these words are also the names of rooms, and whoever is imported later wins, for pyright at least.
from .build import child, dynamic, supervisor

__all__ = [
    "AlreadyPresent",
    "AlreadyStarted",
    "Backoff",
    "ChildInfo",
    "ChildSpec",
    "Counts",
    "DynamicSupervisor",
    "Intensity",
    "InvalidSpec",
    "NotFound",
    "NotStarted",
    "Plan",
    "Restarting",
    "Running",
    "SupervisionRefused",
    "Supervisor",
    "TooManyChildren",
    "child",
    "dynamic",
    "supervisor",
]
