"""The definition of a state machine as a picture, and one run's way through it."""

from .definition import Definition
from .run_record import RunRecord


def mermaid(definition: Definition, record: RunRecord | None = None) -> str:
    """A Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {definition.initial.name}"]
    for one in definition.transitions.values():
        lines.append(f"    {one.source.name} --> {one.to.name}: {one.name}")
        lines += [
            f"    {one.source.name} --> {state.name}: {one.name} {why}"
            for why, state in (("rejected", one.on_reject), ("failed", one.on_failure))
            if state is not None
        ]
    lines += [f"    {state.name} --> [*]" for state in definition.states if state in definition.final]
    return "\n".join(lines)


def svg(definition: Definition, record: RunRecord | None = None) -> str:
    """An SVG picture."""
    raise NotImplementedError
