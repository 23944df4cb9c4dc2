"""Random machines in random stories, beside a model that knows nothing of messages, records and stores.

The machines have steps with guards, signals, time-outs, ways for a `Reject` and for a failure, and undos. In each story
calls fail or are rejected, signals and cancels come, systems are started anew, and what has failed is redriven. After
each chapter the run has to stand where the model stands: its state, its status, and what was done, once each.
"""

import asyncio
import contextlib
import copy
import enum
import types
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.actors.lives import Oops
from upright.actors import ActorSystem
from upright.actors.testing import VirtualTimeLoop, advance
from upright.persistence import Memory, Reject, Retry, StateMachine, machine
from upright.persistence.definition import DefinitionError
from upright.persistence.steps import after, signal, step
from upright.supervision import supervisor

SOON = Retry(max_attempts=3, base=0.01, jitter="none")
CHAPTER, DELAY = 10.0, 103.0
"""Seconds of a chapter, and those after which a state is left by itself: never at the instant of something else."""
MOST = 12
Outcome = Literal["ok", "oops", "no"]


class S(enum.StrEnum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"
    END = "end"
    OFF = "off"


class Way(msgspec.Struct, frozen=True):
    """A transition. `parity`: of the number of words for which its guard is true; None for no guard."""

    kind: Literal["step", "signal", "after"]
    source: S
    to: S
    undo: bool = False
    parity: int | None = None
    on_reject: S | None = None
    on_failure: S | None = None


class Data(msgspec.Struct):
    words: list[str] = []


STATES = st.sampled_from(S)
SOURCES = st.sampled_from([S.A, S.B, S.C, S.D])
WAYS = st.builds(
    Way,
    st.sampled_from(["step", "step", "signal", "after"]),
    SOURCES,
    STATES,
    st.booleans(),
    st.none() | st.integers(0, 1),
    st.none() | STATES,
    st.none() | STATES,
)
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(["ok", "ok", "ok", "oops", "oops", "no"])
CHAPTERS = st.sampled_from(["signal 0", "signal 1", "signal 2", "cancel", "restart", "redrive", "wait", "wait"])


def method(name: str, calls: list[Outcome]) -> Callable[..., Awaitable[None]]:
    """A step that does what comes next in the story."""

    async def call(self: Any, data: Data) -> None:
        data.words.append(name)
        match calls.pop(0) if calls else "ok":
            case "oops":
                raise Oops(name)
            case "no":
                raise Reject(name)
            case _:
                done = self.ctx.idempotency_key
                assert done not in self.effects, "it was done twice"
                self.effects[done] = name

    call.__name__ = name
    return call


def guard(parity: int | None) -> Callable[[Data], bool] | None:
    return None if parity is None else (lambda data: len(data.words) % 2 == parity and len(data.words) < MOST)


def classed(ways: dict[str, Way], calls: list[Outcome], effects: dict[str, str]) -> Any:
    """The machine with these ways."""
    members: dict[str, Any] = {"State": S, "initial": S.A, "cancelled": S.OFF, "effects": effects}
    for name, way in ways.items():
        undo: Any = method(f"undo {name}", calls) if way.undo else None
        options: dict[str, Any] = {"to": way.to, "when": guard(way.parity), "undo": undo, "retry": SOON}
        if way.kind != "after":
            options |= {"on_reject": way.on_reject, "on_failure": way.on_failure}
        mark = {"step": step, "signal": signal}.get(way.kind)
        made = mark(way.source, **options) if mark is not None else after(DELAY, way.source, **options)
        members[name] = made(method(name, calls))
    members["__orig_bases__"] = (StateMachine[Data],)
    return types.new_class("M", (StateMachine,), {}, lambda empty: empty.update(members))


class Failing(Exception):
    """The message has no attempt left: all that it did is undone."""


class Model:
    """Where a run stands. `stuck`: the message that failed. `timer`: what comes by itself, and when."""

    def __init__(self, ways: dict[str, Way], calls: list[Outcome]) -> None:
        self.ways, self.calls = ways, calls
        self.final = {state for state in S if all(way.source is not state for way in ways.values())}
        self.state, self.status, self.words = S.A, "running", list[str]()
        self.done: list[str] = []
        self.inbox: list[str] = []
        self.goal, self.outcome, self.cancelled = S.END, "", False
        self.stuck: str | None = None
        self.timer: tuple[float, str] | None = None
        self.timed = False
        self.clock = 0.0

    def handle(self, message: str) -> None:
        """One message, and then all moves that follow."""
        kept = copy.deepcopy(
            {name: value for name, value in vars(self).items() if name not in ("ways", "calls", "clock")}
        )
        redriven = message == self.stuck
        try:
            if self.apply(message, redriven):
                self.stuck = None
                self.rest()
        except Failing:
            vars(self).update(kept)
            self.stuck = self.stuck or message
        else:
            while self.status in ("running", "compensating") and self.stuck is None:
                self.handle("go")

    def apply(self, message: str, redriven: bool = False) -> bool:
        """Whether it moved the run. A signal that leads a failed one nowhere is kept: it has failed all the same."""
        kind, _, name = message.partition(" ")
        over = self.status in ("completed", "rejected", "cancelled")
        if over or (kind == "cancel" and self.cancelled) or (kind == "time" and self.status == "compensating"):
            return False
        if kind == "time":
            way = self.ways[name]
            if not self.lets(way):
                return False
            self.perform(name, way)
            return True
        if kind == "signal":
            self.inbox.append(name)
        self.cancelled = self.cancelled or kind == "cancel"
        if self.stuck is not None and not redriven and not self.leads_on():
            return False
        self.move()
        return True

    def leads_on(self) -> bool:
        """Whether something else than what has failed is to be done."""
        if self.cancelled or self.status == "compensating":
            return self.status != "compensating"
        steps = any(self.lets(way) for _, way in self.out("step"))
        return not steps and any(self.lets(way) and name in self.inbox for name, way in self.out("signal"))

    def move(self) -> None:
        if self.cancelled and self.status != "compensating":
            self.status, self.goal, self.outcome = "compensating", S.OFF, "cancelled"
            return
        if self.status == "compensating":
            if self.done:
                if self.call(f"undo {self.done[-1]}", final=False) != "ok":
                    raise Failing
                self.done.pop()
            return
        if self.state in self.final:
            return
        own = sorted(self.out("step"), key=lambda one: one[1].parity is None)
        for name, way in own:
            if self.lets(way):
                self.perform(name, way)
                return
        for place, name in enumerate(self.inbox):
            if self.ways[name].source is self.state and self.lets(self.ways[name]):
                del self.inbox[place]
                self.perform(name, self.ways[name])
                return

    def rest(self) -> None:
        """What it is now."""
        if self.status == "compensating":
            if not self.done:
                self.enter(self.goal)
                self.status = self.outcome
            return
        if self.state in self.final:
            self.status = "completed"
            return
        steps = any(self.lets(way) for _, way in self.out("step"))
        signals = any(self.lets(way) and name in self.inbox for name, way in self.out("signal"))
        self.status = "running" if steps or signals else "waiting"
        if self.status == "waiting" and not self.timed:
            self.timed = True
            for name, _ in self.out("after"):
                self.timer = self.clock + DELAY, name

    def perform(self, name: str, way: Way) -> None:
        match self.call(name, final=way.on_reject is None):
            case "ok":
                if way.undo:
                    self.done.append(name)
                self.enter(way.to)
            case "no":
                self.divert(way.on_reject)
            case _:
                self.divert(way.on_failure)

    def divert(self, state: S | None) -> None:
        if state is None:
            raise Failing
        if state in self.final:
            self.status, self.goal, self.outcome = "compensating", state, "rejected"
        else:
            self.enter(state)

    def enter(self, state: S) -> None:
        self.state, self.timer, self.timed = state, None, False

    def call(self, name: str, final: bool) -> Outcome:
        """How it ends after all attempts. An undo cannot be rejected: that is an error as others."""
        for _ in range(3):
            outcome: Outcome = self.calls.pop(0) if self.calls else "ok"
            if outcome == "ok":
                self.words.append(name)
                return "ok"
            if outcome == "no" and not name.startswith("undo"):
                if final:
                    raise Failing
                return "no"
        return "oops"

    def out(self, kind: str) -> list[tuple[str, Way]]:
        return [(name, way) for name, way in self.ways.items() if way.source is self.state and way.kind == kind]

    def lets(self, way: Way) -> bool:
        found = guard(way.parity)
        return found is None or found(Data(self.words))

    def pass_time(self) -> None:
        end = self.clock + CHAPTER
        while self.timer is not None and self.timer[0] < end:
            (self.clock, name), self.timer = self.timer, None
            self.handle(f"time {name}")
        self.clock = end


def trimmed(way: Way) -> Way:
    """What may be of it: a step has a guard, or the run might go round for ever; a time leads to one state only."""
    if way.kind == "step" and way.parity is None:
        return msgspec.structs.replace(way, parity=0)
    return msgspec.structs.replace(way, on_reject=None, on_failure=None) if way.kind == "after" else way


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(WAYS, min_size=2, max_size=7), st.lists(OUTCOMES, max_size=25), st.lists(CHAPTERS, max_size=8))
def test_a_run_stands_where_the_model_stands(ways: list[Way], outcomes: list[Outcome], chapters: list[str]) -> None:
    named = {f"w{number}": trimmed(way) for number, way in enumerate(ways)}
    one_timer = [way.source for way in ways if way.kind == "after"]
    assume(len(one_timer) == len(set(one_timer)))
    calls, effects = list(outcomes), dict[str, str]()
    kind = None
    with contextlib.suppress(DefinitionError):
        kind = classed(named, calls, effects)
    assume(kind is not None)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(tell(kind, Model(named, list(outcomes)), effects, chapters))


async def tell(kind: Any, model: Model, effects: dict[str, str], chapters: list[str]) -> None:
    """A story, chapter by chapter."""
    store = Memory()

    def system() -> ActorSystem:
        return ActorSystem(supervisor("top", machine("m", kind)), store=store, log=None, blocked_after=None)

    running = await system().__aenter__()
    try:
        await kind.start(running, Data(), id="o")
        model.handle("go")
        for chapter in ("", *chapters):
            run = kind.run(running, "o")
            signals = [name for name, way in model.ways.items() if way.kind == "signal"]
            match chapter.partition(" "):
                case "signal", _, number if signals:
                    name = signals[int(number) % len(signals)]
                    await run.signal(getattr(kind, name))
                    model.handle(f"signal {name}")
                case "cancel", _, _:
                    await run.cancel()
                    model.handle("cancel")
                case "redrive", _, _ if model.stuck is not None:
                    await run.redrive()
                    model.handle(model.stuck)
                case "restart", _, _:
                    await running.__aexit__(None, None, None)
                    running = await system().__aenter__()
                case _:
                    pass
            for _ in range(11 if chapter == "wait" else 1):
                await advance(CHAPTER)
                model.pass_time()
            await compare(kind.run(running, "o"), model, effects)
    finally:
        await running.__aexit__(None, None, None)


async def compare(run: Any, model: Model, effects: dict[str, str]) -> None:
    expected = "failed" if model.stuck is not None else model.status
    assert (await run.state(), await run.status()) == (model.state, expected)
    assert (await run.data()).words == model.words
    assert list(effects.values())[-1:] == model.words[-1:] or expected == "failed"
