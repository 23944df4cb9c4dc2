"""What a run does next: decided here, from its definition and its record, without I/O; carried out by the `runner`.

a run that                                  | does next
is to be cancelled, and nothing is joining  | takes back what was done, then goes to the state `cancelled`
compensates                                 | takes back the latest step that is not taken back; at the end, goes on
is in a final state                         | finishes
has a step whose guard is true              | that step
has an early signal that fits               | that signal's step, also while branches are under way
has a step whose guard raises a refusal     | what follows a `Reject` of that step
else                                        | waits: for a signal, a time, branches, or for ever
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .definition import Definition
from .run_record import Done, RunRecord
from .steps import Reject, Transition, consulted


class Perform(msgspec.Struct, frozen=True):
    """Do that step; `signal`: with that early signal's payload, the `place`-th that waits."""

    transition: Transition
    signal: bytes | None = None
    place: int = -1


class Refused(msgspec.Struct, frozen=True):
    """The guard of that step does not merely say no: it raised `error`, which counts as a `Reject` of the step.
    `place`: of the early signal that it was asked about.
    """

    transition: Transition
    error: Reject
    place: int = -1


class Undo(msgspec.Struct, frozen=True):
    """Take that step back."""

    done: Done
    transition: Transition


class Arrive(msgspec.Struct, frozen=True):
    """All is taken back: be in the goal."""


class Finish(msgspec.Struct, frozen=True):
    """The run is over."""


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do until something comes; `timers`: what comes by itself."""

    timers: tuple[Transition, ...] = ()


class Lost(msgspec.Struct, frozen=True):
    """The definition knows nothing any more of where the run is; `why`."""

    why: str


Move = Perform | Refused | Undo | Arrive | Finish | Wait | Lost


def next_move(definition: Definition, record: RunRecord, data: Callable[[], Any]) -> Move:
    """What comes next. `data`: gives the data, if a guard wants to see it. Raises what a guard raises."""
    if record.status == "compensating":
        done = record.to_undo
        if done is None:
            return Arrive()
        transition = definition.transitions.get(done.step)
        if transition is None or transition.undo is None:
            return Lost(f"it has no step {done.step!r} with an undo any more, which is to be taken back")
        return Undo(done, transition)
    state = definition.state(record.state)
    if state is None:
        return Lost(f"it has no state {record.state!r} any more")
    if state in definition.final:
        return Finish()
    if record.joining is not None:
        if record.joining.step not in definition.transitions:
            return Lost(f"it has no step {record.joining.step!r} any more, whose branches are waited for")
        if record.cancel is not None:
            return Wait(_timers(definition, record))
        return _onward(definition, record, [one for one in definition.out[state] if one.kind == "signal"], data)
    return _onward(definition, record, definition.out[state], data)


def _onward(definition: Definition, record: RunRecord, ways: list[Transition], data: Callable[[], Any]) -> Move:
    known: list[Any] = []

    def lets(transition: Transition) -> bool:
        if transition.when is None:
            return True
        if not known:
            known.append(data())
        return bool(consulted(transition.when, known[0]))

    for found in _candidates(record, ways):
        try:
            if lets(found.transition):
                return found
        except Reject as error:
            return Refused(found.transition, error, found.place)
    return Wait(_timers(definition, record))


def _candidates(record: RunRecord, ways: list[Transition]) -> Iterator[Perform]:
    """What may be done, if its guard lets it: steps first, then the signals that came early."""
    for transition in ways:
        if transition.starts_by_itself:
            yield Perform(transition)
    for place, (name, payload) in enumerate(record.inbox):
        for transition in ways:
            if transition.kind == "signal" and transition.name == name:
                yield Perform(transition, payload, place)


def _timers(definition: Definition, record: RunRecord) -> tuple[Transition, ...]:
    state = definition.state(record.state)
    return tuple(one for one in definition.out[state] if one.kind == "after") if state is not None else ()
