"""What the marks of a state machine's methods mean together, checked when the class is made.

A definition that cannot work is refused then, each fault with an error of its own, and not found out by a run that
stands still at night.
"""

import enum
from collections.abc import Iterable

from .steps import Transition

State = enum.Enum


class DefinitionError(TypeError):
    """A state machine's definition cannot work."""


class UnknownState(DefinitionError):
    """A transition names a state that is not one of the class's `State`."""


class UnreachableState(DefinitionError):
    """No transition leads to a state."""


class NoWayOut(DefinitionError):
    """From a state no way leads to a final one."""


class AmbiguousSteps(DefinitionError):
    """Two steps lead out of one state, and neither has a guard."""


class Definition:
    """The states and transitions of one class. `final`: the states in which a run is done. `cancelled`: where one is
    that was cancelled.
    """

    def __init__(
        self,
        title: str,
        states: type[State],
        initial: State,
        transitions: Iterable[Transition],
        cancelled: State | None = None,
    ) -> None:
        self.title, self.states, self.initial, self.cancelled = title, states, initial, cancelled
        self._check_names()
        self.transitions = {one.name: one for one in transitions}
        self._by_value = {str(state.value): state for state in states}
        self._known(initial, "initial")
        if cancelled is not None:
            self._known(cancelled, "cancelled")
        for one in self.transitions.values():
            for state in (one.source, *one.targets):
                self._known(state, one.name)
        self.out: dict[State, list[Transition]] = {state: [] for state in states}
        for one in self.transitions.values():
            self.out[one.source].append(one)
        for ways in self.out.values():  # the guarded ones first, each in its order; the one without a guard stands last
            ways.sort(key=lambda one: one.when is None)
        self.final = frozenset(state for state, ways in self.out.items() if not ways)
        self._check_steps()
        self._check_ways()

    def state(self, value: str) -> State | None:
        """The state of that value; None if there is none."""
        return self._by_value.get(value)

    def _known(self, state: object, where: str) -> None:
        if not isinstance(state, self.states):
            names = ", ".join(one.name for one in self.states)
            raise UnknownState(f"expected {where} of {self.title} to name one of {names}, got {state!r}")

    def _check_names(self) -> None:
        spelled: dict[str, State] = {}
        for state in self.states:
            other = spelled.setdefault(str(state.value), state)
            if other is not state:
                raise DefinitionError(
                    f"expected the values of {other.name} and {state.name} of {self.title} to be spelled differently, "
                    f"for that is how they are stored: both are {state.value!s}"
                )

    def _check_steps(self) -> None:
        for state, ways in self.out.items():
            free = [one.name for one in ways if one.starts_by_itself and one.when is None]
            if len(free) > 1:
                raise AmbiguousSteps(
                    f"expected one step without a guard out of {state.name} of {self.title}, got "
                    f"{' and '.join(free)}: give all but one a guard, when=…"
                )
            plain = free and self.transitions[free[0]].kind == "step"
            never = [one.name for one in ways if plain and not one.starts_by_itself]
            if never:
                raise AmbiguousSteps(
                    f"expected {self.title} to wait in {state.name} for {' and '.join(never)}, but {free[0]} is begun "
                    "there at once: give it a guard, when=…, or a state of its own"
                )

    def _check_ways(self) -> None:
        reached = {self.initial} if self.cancelled is None else {self.initial, self.cancelled}
        ahead = list(reached)
        while ahead:
            for one in self.out[ahead.pop()]:
                for state in one.targets:
                    if state not in reached:
                        reached.add(state)
                        ahead.append(state)
        unreached = [state.name for state in self.states if state not in reached]
        if unreached:
            raise UnreachableState(
                f"expected a transition to {' and '.join(unreached)} of {self.title}: none leads there"
            )
        ending = set(self.final)
        while True:
            ahead_of = {state for state, ways in self.out.items() if any(ending & {*one.targets} for one in ways)}
            more = ahead_of - ending
            if not more:
                break
            ending |= more
        stuck = [state.name for state in self.states if state not in ending]
        if stuck:
            raise NoWayOut(
                f"expected a way from {' and '.join(stuck)} of {self.title} to a final state, one that no transition "
                "leaves: there is none"
            )
