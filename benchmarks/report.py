"""The report of a benchmark: medians with their spread, ratios taken round by round, and whether goals are reached."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from upright.actors.accelerator import METHODS

Figures = dict[str, float]
RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "uvloop", "msgspec", "anyio", "pykka", "thespian", "actio", "xoscar", "purgatory", "aiobreaker", "pybreaker",
    "aiolimiter", "tenacity", "stamina", "dbos", "temporalio",
)  # fmt: skip


class Trials(NamedTuple):
    """What the contenders measured, a dict of figures a round; and why some did not."""

    rounds: dict[str, list[Figures]]
    left_out: dict[str, str]
    failed: dict[str, str]


@dataclass(frozen=True)
class AtLeast:
    """A goal: `ours` does at least `factor` times as well as `theirs`, in the figure that the benchmark compares."""

    theirs: str
    factor: float
    ours: str = "upright"

    def reached(self, rounds: Mapping[str, Sequence[Figures]], figure: str) -> float | None:
        """How many times as well it does; None when one of both has no figures."""
        return ratio(rounds.get(self.ours, ()), rounds.get(self.theirs, ()), figure)

    @property
    def wanted(self) -> float:
        return self.factor

    def words(self, figure: str) -> str:
        return f"{self.ours} ≥ {self.factor:g} × {self.theirs} ({figure})"


@dataclass(frozen=True)
class AtMost:
    """A goal: `figure` of `ours` is `most` or less."""

    figure: str
    most: float
    ours: str = "upright"

    def reached(self, rounds: Mapping[str, Sequence[Figures]], _: str) -> float | None:
        found = [one[self.figure] for one in rounds.get(self.ours, ())]
        return statistics.median(found) if found else None

    @property
    def wanted(self) -> float:
        return self.most

    def words(self, _: str) -> str:
        return f"{self.ours}: {self.figure} ≤ {self.most:,g}"


def better(ours: float, theirs: float, figure: str) -> float:
    """How many times as well we do: rates (`…per_s`) are better when high, all other figures are costs."""
    above, below = (ours, theirs) if figure.endswith("per_s") else (theirs, ours)
    return above / below if below else float("inf")


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures], figure: str) -> float | None:
    """The median over the rounds, each of which compares what ran side by side."""
    pairs = [better(mine[figure], other[figure], figure) for mine, other in zip(ours, theirs, strict=False)]
    return statistics.median(pairs) if pairs else None


def verdict(goal: AtLeast | AtMost, reached: float | None) -> str:
    """In words: met, missed, missed by more than a factor of two, or not measured."""
    if reached is None:
        return "not measured"
    share = reached / goal.wanted if isinstance(goal, AtLeast) else goal.wanted / max(reached, 1e-9)
    return "met" if share >= 1 else "missed" if share >= 0.5 else "missed by more than 2×"


def report(question: str, trials: Trials, figure: str, ours: str | None, goals: Sequence[AtLeast | AtMost]) -> None:
    """Print the table and the goals, and write both down."""
    measured = {name: rounds for name, rounds in trials.rounds.items() if rounds and name not in trials.failed}
    rows = {name: row(rounds) for name, rounds in measured.items()}
    mine = measured.get(ours, ()) if ours is not None else ()
    ratios = {name: ratio(mine, rounds, figure) for name, rounds in measured.items()}
    verdicts = [outcome(goal, measured, figure) for goal in goals]
    machine = where()
    print(f"\n{question}\n  {machine}")
    for name, found in rows.items():
        print(line(name, found, figure, ratios[name]))
    for name, why in trials.left_out.items():
        print(f"  {name:30} left out: {why}")
    for name, why in trials.failed.items():
        print(f"  {name:30} FAILED: {why}")
    for one in verdicts:
        reached = "" if one["reached"] is None else f"{one['reached']:,.2f}: "
        print(f"  goal {one['goal']:60} {reached}{one['verdict']}")
    RESULTS.mkdir(exist_ok=True)
    result: dict[str, Any] = {"question": question, "machine": machine, "figure": figure, "ours": ours, "rows": rows}
    result |= {"ours_to_theirs": ratios, "goals": verdicts, "left_out": trials.left_out, "failed": trials.failed}
    (RESULTS / f"{Path(sys.argv[0]).stem}.json").write_text(json.dumps(result, indent=2) + "\n")


def row(rounds: Sequence[Figures]) -> dict[str, Figures]:
    """Each figure's median, and its least and most over the rounds."""
    columns = {key: [one[key] for one in rounds] for key in rounds[0]}
    return {
        key: {"median": statistics.median(column), "least": min(column), "most": max(column)}
        for key, column in columns.items()
    }


def line(name: str, found: Mapping[str, Figures], figure: str, ratio: float | None) -> str:
    """One contender, for people: the figure compared with its spread, the ratio, and the medians of all others."""
    main = found[figure]
    rest = [f"{key} {shown(value['median'])}" for key, value in found.items() if key != figure]
    spread = f"({shown(main['least'])} … {shown(main['most'])})"
    compared = f"ours ×{ratio:.2f}" if ratio is not None else ""
    return f"  {name:30} {figure} {shown(main['median']):>10}  {spread:25} {compared:12} {', '.join(rest)}".rstrip()


def shown(value: float) -> str:
    """A number for people."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def outcome(goal: AtLeast | AtMost, rounds: Mapping[str, Sequence[Figures]], figure: str) -> dict[str, Any]:
    """A goal and what became of it."""
    reached = goal.reached(rounds, figure)
    return {
        "goal": goal.words(figure),
        "wanted": goal.wanted,
        "reached": reached,
        "verdict": verdict(goal, reached),
    }


def where() -> str:
    """Where this ran, and with what."""
    found: list[str] = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    if shutil.which("erl"):
        ask = 'io:format("~s", [erlang:system_info(otp_release)]), halt().'
        release = subprocess.run(["erl", "-noshell", "-eval", ask], capture_output=True, text=True, check=True)
        found.append(f"Erlang/OTP {release.stdout}")
    ours = "with the accelerator" if METHODS else "without the accelerator"
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}"
    return f"{machine}; upright {ours}; {', '.join(found)}"
