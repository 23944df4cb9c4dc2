"""Running and seeing: a system as a service, its health and its drain, the socket for those who look, and logs."""

from .admin import Admin
from .admin_client import call, calling
from .controls import Controls
from .errors import Failed, NotFound, SocketRefused, Unreachable, Wrong
from .events import (
    HealthChanged,
    ServiceDraining,
    ServiceHurried,
    ServiceStarted,
    ServiceStopped,
    WorkerEnded,
    WorkerHung,
    WorkerReady,
    WorkerStarted,
)
from .health import Check, HealthLimits, HealthReport
from .health_app import HealthApp
from .health_server import AddressInUse, HealthServer
from .launch import Launch, launch
from .logs import add_turn, configure_logs
from .notify import Notifier
from .service import Service, run
from .store_controls import StoreControls
from .store_from import store_from
from .tree_from import NoTree, tree_from
from .watch import Health

__all__ = [
    "AddressInUse",
    "Admin",
    "Check",
    "Controls",
    "Failed",
    "Health",
    "HealthApp",
    "HealthChanged",
    "HealthLimits",
    "HealthReport",
    "HealthServer",
    "Launch",
    "NoTree",
    "NotFound",
    "Notifier",
    "Service",
    "ServiceDraining",
    "ServiceHurried",
    "ServiceStarted",
    "ServiceStopped",
    "SocketRefused",
    "StoreControls",
    "Unreachable",
    "WorkerEnded",
    "WorkerHung",
    "WorkerReady",
    "WorkerStarted",
    "Wrong",
    "add_turn",
    "call",
    "calling",
    "configure_logs",
    "launch",
    "run",
    "store_from",
    "tree_from",
]
