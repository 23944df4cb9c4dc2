"""Where a policy stands, as probes, metrics and lists tell it."""

from typing import Any


def standing(at_work: Any) -> str:
    """Of a gate: closed, open, half-open, or the mode in which an operator has put a circuit; "" for a policy of
    another kind, which has no such states.
    """
    machine: Any = getattr(at_work, "machine", at_work)
    mode, state = getattr(machine, "mode", ""), getattr(machine, "state", "")
    return str(state if mode in ("", "automatic") else mode)
