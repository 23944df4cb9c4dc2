"""The test kit: virtual time, probes, recorded events. The pytest plugin is `upright.actors.testing.plugin`."""

from .probe import Probe, probe
from .recorder import Recorder
from .steps import kill, settle
from .virtual_time import VirtualDeadlock, VirtualTimeLoop, advance, hold_time

__all__ = [
    "Probe",
    "Recorder",
    "VirtualDeadlock",
    "VirtualTimeLoop",
    "advance",
    "hold_time",
    "kill",
    "probe",
    "settle",
]
