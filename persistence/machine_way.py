"""The edges of a state machine, and which of them a run has taken: what its drawings show, whatever they look like.

The edges come from the definition alone; the way of a run is read from its history.
"""

import enum
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from .definition import Definition
from .run_record import ENDED, HistoryEvent, RunRecord
from .steps import Transition

State = enum.Enum
Why = Literal["", "rejected", "failed"]


class Edge(msgspec.Struct, frozen=True):
    """Where a transition may lead: when it is done, or why it goes elsewhere."""

    transition: Transition
    to: State
    why: Why = ""

    @property
    def source(self) -> State:
        """Where it begins."""
        return self.transition.source

    @property
    def key(self) -> tuple[str, Why]:
        """What tells it from all others of its definition."""
        return self.transition.name, self.why

    @property
    def marks(self) -> str:
        """What sort of transition it is, if it is no plain step: `after 60 s`, `parallel: pack, label`."""
        one = self.transition
        match one.kind:
            case "step":
                return ""
            case "signal":
                return "signal"
            case "after":
                return f"after {seconds(one.delay)}"
            case "parallel":
                return f"parallel: {', '.join(named(branch) for branch in one.branches)}"
            case "each":
                return f"each: {named(one.branches[0])}, {one.at_once} at once"
            case "call":
                return f"call: {named(one.machine)}"

    @property
    def guard(self) -> str:
        """The guard by its name; empty for none."""
        return "" if self.transition.when is None else f"[{named(self.transition.when)}]"


def edges(definition: Definition) -> list[Edge]:
    """All edges, in the order of their definition."""
    found: list[Edge] = []
    for one in definition.transitions.values():
        found.append(Edge(one, one.to))
        if one.on_reject is not None:
            found.append(Edge(one, one.on_reject, "rejected"))
        if one.on_failure is not None:
            found.append(Edge(one, one.on_failure, "failed"))
    return found


class Way:
    """How a run went through its definition. `taken`: of each edge that it took, the lines of its history; `entered`:
    when it came into a state last, by the state's value; `undone`: when a step was taken back last; `tried`: of a step
    that was not done since, the latest attempt, which failed. `here`: the state in which it is; None if the definition
    does not know it any more.
    """

    def __init__(self, definition: Definition, record: RunRecord) -> None:
        self.record = record
        self.here = definition.state(record.state)
        self.taken: dict[tuple[str, Why], list[HistoryEvent]] = {}
        self.entered: dict[str, float] = {}
        self.undone: dict[str, float] = {}
        self.tried: dict[str, HistoryEvent] = {}
        self._definition = definition
        self._leads = {edge.key: str(edge.to.value) for edge in edges(definition)}
        self._undo = {named(one.undo): one.name for one in definition.transitions.values() if one.undo is not None}
        last: HistoryEvent | None = None
        for event in record.history:
            last = self._read(event, last)

    def _read(self, event: HistoryEvent, last: HistoryEvent | None) -> HistoryEvent | None:
        """Take a line in; what may turn out to have led into the state that is entered next."""
        match event.name:
            case "completed" | "rejected" | "failed":
                return self._ended(event)
            case "entered":
                self.entered[event.state] = event.at
                if last is not None:
                    self._arrived(last, event.state)
                return None
            case "compensated":
                self.undone[event.step] = event.at
                self.tried.pop(event.step, None)
            case "redriven":
                return None
            case _:
                pass
        return last

    def _ended(self, event: HistoryEvent) -> HistoryEvent:
        step = event.step if event.step in self._definition.transitions else self._undo.get(event.step, event.step)
        if event.name == "failed":
            self.tried[step] = event
        else:
            self.tried.pop(step, None)
        if event.name == "completed":
            self.undone.pop(step, None)
        return event

    def _arrived(self, last: HistoryEvent, state: str) -> None:
        why: Why = "rejected" if last.name == "rejected" else "failed" if last.name == "failed" else ""
        key = last.step, why
        if self._leads.get(key) == state:
            self.taken.setdefault(key, []).append(last)
            self.tried.pop(last.step, None)

    @property
    def status(self) -> str:
        """How the run stands, as people are told it."""
        return "failed" if self.record.letter else self.record.status

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.record.status in ENDED

    def passed(self, state: State) -> bool:
        """Whether it has been in that state, and is there no more."""
        return state is not self.here and str(state.value) in self.entered

    def story(self, edge: Edge) -> list[str]:
        """What became of that edge, a line each: when it was taken, after how many attempts, when it was taken back."""
        taken = self.taken.get(edge.key)
        if not taken:
            return []
        last = taken[-1]
        words = [self.time(last.at)] if len(taken) == 1 else [f"{len(taken)} times", f"last {self.time(last.at)}"]
        if last.attempt > 1:
            words.append(f"attempt {last.attempt}")
        lines = [", ".join(words)]
        if not edge.why and edge.transition.name in self.undone:
            lines.append(f"taken back {self.time(self.undone[edge.transition.name])}")
        return lines

    def errors(self, edge: Edge) -> list[str]:
        """What went wrong there: why it was rejected or failed; for a step that is still tried, the latest error."""
        taken = self.taken.get(edge.key)
        if edge.why:
            return [taken[-1].error] if taken and taken[-1].error else []
        lines: list[str] = []
        tried, joining = self.tried.get(edge.transition.name), self.record.joining
        if tried is not None:
            lines.append(f"attempt {tried.attempt} failed {self.time(tried.at)}: {tried.error}")
        if joining is not None and joining.step == edge.transition.name and not self.is_over:
            lines += [joining.rejected] if joining.rejected else []
            lines += [error for _, error in sorted(joining.failed.items())]
        return lines

    def progress(self, edge: Edge) -> str:
        """How many of the branches that are waited for there are done; empty if none are."""
        joining = self.record.joining
        if edge.why or joining is None or joining.step != edge.transition.name or self.is_over:
            return ""
        return f"{len(joining.results)} of {joining.size} done"

    def position(self) -> str:
        """How the run stands, in one line."""
        words = [self.status]
        if self.here is None:
            words.append(f"in {self.record.state!r}, a state that is not defined any more")
        if self.record.started:
            words.append(f"started {day_of(self.record.started)} {self.time(self.record.started)} UTC")
        if self.record.finished:
            words.append(f"took {seconds(round(self.record.finished - self.record.started, 3))}")
        return ", ".join(words)

    def time(self, at: float) -> str:
        """The time of day in UTC; with the day if it is not the one on which the run began."""
        clock = moment(at).strftime("%H:%M:%S.%f")[:-3]
        return clock if day_of(at) == day_of(self.record.started) else f"{day_of(at)} {clock}"


def moment(at: float) -> datetime:
    """Seconds since the epoch, as a time in UTC."""
    return datetime.fromtimestamp(at, UTC)


def day_of(at: float) -> str:
    """The day in UTC."""
    return moment(at).strftime("%Y-%m-%d")


def seconds(number: float) -> str:
    """Seconds as they were written: `0.5 s`, `86400 s`."""
    return f"{int(number) if number == int(number) else number} s"


def named(function: Any) -> str:
    """The name by which people know a function or a class."""
    found: object = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    return "lambda" if found == "<lambda>" else str(found or type(function).__name__)


def in_order(definition: Definition, way: Way | None) -> Iterator[tuple[State, str]]:
    """Each state with how it stands in the run: `current`, `passed` or nothing."""
    for state in definition.states:
        if way is None:
            yield state, ""
        else:
            yield state, "current" if state is way.here else "passed" if way.passed(state) else ""
