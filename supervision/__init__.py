"""Supervision: trees of actors that are kept up."""

from .backoff import Backoff
from .bulkhead import Bulkhead
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
from .fallback import Answer, Fallback
from .hedge import Hedge
from .intensity import Intensity
from .partitioned import Partitioned
from .plan import Plan
from .pool import Pool
from .rate_limit import RateLimit
from .retry_budget import RetryBudget, RetryPermit
from .routing import ByKey, Routing, by_key
from .spec import ChildSpec
from .supervisor import Supervisor
from .timeout import Timeout

# isort: split
# Last: some of these words are also the names of rooms, and whoever is imported later wins, for pyright at least.
from .build import child, dynamic, partitioned, pool, supervisor

__all__ = [
    "AlreadyPresent",
    "AlreadyStarted",
    "Answer",
    "Backoff",
    "Bulkhead",
    "BulkheadFull",
    "ByKey",
    "ChildInfo",
    "ChildSpec",
    "Circuit",
    "CircuitBreaker",
    "CircuitOpen",
    "Counts",
    "DynamicSupervisor",
    "Fallback",
    "Hedge",
    "IllegalTransition",
    "Intensity",
    "InvalidSpec",
    "NotFound",
    "NotStarted",
    "Partitioned",
    "Plan",
    "Pool",
    "RateLimit",
    "RateLimited",
    "Restarting",
    "RetryBudget",
    "RetryPermit",
    "Routing",
    "Running",
    "SupervisionRefused",
    "Supervisor",
    "Timeout",
    "TooManyChildren",
    "Unroutable",
    "by_key",
    "child",
    "dynamic",
    "partitioned",
    "pool",
    "supervisor",
]
