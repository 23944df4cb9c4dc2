"""Supervision: trees of actors that are kept up."""

from .backoff import Backoff
from .charge import ChildInfo, Counts
from .circuit_breaker import Circuit, CircuitBreaker
from .dynamic import DynamicSupervisor
from .errors import (
    AlreadyPresent,
    AlreadyStarted,
    BulkheadFull,
    CircuitOpen,
    IllegalTransition,
    InvalidSpec,
    NotFound,
    NotStarted,
    RateLimited,
    Restarting,
    Running,
    SupervisionRefused,
    TooManyChildren,
    Unroutable,
)
from .intensity import Intensity
from .partitioned import Partitioned
from .plan import Plan
from .pool import Pool
from .routing import ByKey, Routing, by_key
from .spec import ChildSpec
from .supervisor import Supervisor

# isort: split
# Last: some of these words are also the names of rooms, and whoever is imported later wins, for pyright at least.
from .build import child, dynamic, partitioned, pool, supervisor

__all__ = [
    "AlreadyPresent",
    "AlreadyStarted",
    "Backoff",
    "BulkheadFull",
    "ByKey",
    "ChildInfo",
    "ChildSpec",
    "Circuit",
    "CircuitBreaker",
    "CircuitOpen",
    "Counts",
    "DynamicSupervisor",
    "IllegalTransition",
    "Intensity",
    "InvalidSpec",
    "NotFound",
    "NotStarted",
    "Partitioned",
    "Plan",
    "Pool",
    "RateLimited",
    "Restarting",
    "Routing",
    "Running",
    "SupervisionRefused",
    "Supervisor",
    "TooManyChildren",
    "Unroutable",
    "by_key",
    "child",
    "dynamic",
    "partitioned",
    "pool",
    "supervisor",
]
