"""The test kit: virtual time, probes, recorded events, chaos. The pytest plugin is `upright.actors.testing.plugin`."""

from .call_chaos import CallChaos
from .chaos import Chaos
from .probe import Probe, probe
from .recorder import Recorder
from .steps import kill, settle
from .strikes import ChaosCrash, ChaosNotAllowed, ChaosStruck, Strikes
from .virtual_time import VirtualDeadlock, VirtualTimeLoop, advance, hold_time

__all__ = [
    "CallChaos",
    "Chaos",
    "ChaosCrash",
    "ChaosNotAllowed",
    "ChaosStruck",
    "Probe",
    "Recorder",
    "Strikes",
    "VirtualDeadlock",
    "VirtualTimeLoop",
    "advance",
    "hold_time",
    "kill",
    "probe",
    "settle",
]
